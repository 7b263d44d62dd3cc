"""Every stored file is compared with its record; an unreachable gateway does not count as damage."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator

import pytest

from rushes_cli.rest_client import GatewayUnreachableError, RestClient
from rushes_cli.verify_content import DamagedFile, find_damaged
from servicekit.testing import tcp_server

STATS, ASSETS = "/api/v3/admin/storage/stats", "/api/v3/assets"


class Gateway:
    """Answers by path. A body shorter than its entry in `lengths` breaks off."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}
        self.lengths: dict[str, int] = {}
        self.requests: list[str] = []
        self.ends_after = ""
        self.base = ""

    def holds(self, path: str, body: bytes, *, stored: bytes | None = None) -> dict[str, object]:
        """Serve a file; returns its record. `stored`: the bytes of the record, when the file has changed."""
        self.bodies[path] = body
        sha256 = hashlib.sha256(body if stored is None else stored).hexdigest()
        return {"id": path.rpartition("/")[2], "url": path, "sha256": sha256}

    def lists(self, path: str, token: str, answer: dict[str, object]) -> None:
        self.bodies[f"{path}?{token}"] = json.dumps(answer).encode()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = (await reader.readuntil(b"\r\n\r\n")).decode().split(" ")[1]
        path, _, query = target.partition("?")
        if self.ends_after and self.ends_after in self.requests:
            return
        self.requests.append(path)
        token = dict(pair.split("=") for pair in query.split("&") if pair).get("page_token", "")
        body = self.bodies.get(f"{path}?{token}" if path in (STATS, ASSETS) else path)
        status = "200 OK" if body is not None else "404 Not Found"
        length = self.lengths.get(path, len(body or b""))
        head = f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        writer.write(head.encode() + (body or b""))
        await writer.drain()


@pytest.fixture
async def gateway(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gateway]:
    monkeypatch.setattr("rushes_cli.rest_client._PAUSE", 0.001)
    gateway = Gateway()
    async with tcp_server(gateway.serve) as port:
        gateway.base = f"http://127.0.0.1:{port}"
        yield gateway


async def test_files_of_every_page_are_read_and_compared(gateway: Gateway) -> None:
    whole = gateway.holds("/media/whole", b"clip")
    other = gateway.holds("/media/other", b"clip", stored=b"clop")
    missing = {"id": "missing", "url": "/media/missing", "sha256": "0"}
    short = gateway.holds("/cuts/short", b"half")
    gateway.lengths["/cuts/short"] = 8
    picture = gateway.holds("/assets/picture", b"photo", stored=b"phota")
    gateway.lists(STATS, "", {"files": [whole, other], "next_page_token": "more"})
    gateway.lists(STATS, "more", {"files": [missing, short], "next_page_token": ""})
    asset = {**picture, "facts": {"sha256": picture["sha256"]}}
    gateway.lists(ASSETS, "", {"assets": [asset], "next_page_token": ""})
    async with RestClient(gateway.base, "key") as client:
        found = await find_damaged(client)
    assert found == [
        DamagedFile("other", "/media/other", "other bytes than were stored"),
        DamagedFile("short", "/cuts/short", "cannot be read to its end"),
        DamagedFile("picture", "/assets/picture", "other bytes than were stored"),
    ]
    assert gateway.requests.count("/media/whole") == 1


async def test_a_gateway_that_stops_meanwhile_is_an_error_and_no_damage(gateway: Gateway) -> None:
    files = [gateway.holds(f"/media/{number}", b"clip") for number in range(3)]
    gateway.lists(STATS, "", {"files": files, "next_page_token": ""})
    gateway.ends_after = "/media/0"
    async with RestClient(gateway.base, "key") as client:
        with pytest.raises(GatewayUnreachableError, match="does not answer"):
            await find_damaged(client)
