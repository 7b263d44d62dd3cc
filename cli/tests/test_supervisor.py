from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest

from rushes_cli.folder import DataFolder
from rushes_cli.problems import Problem
from rushes_cli.stack import given
from rushes_cli.stack.services import Options
from rushes_cli.stack.supervisor import Stack, _Watched
from servicekit.embedded.process import ServerProcess, free_port
from servicekit.testing import tcp_server


@pytest.mark.parametrize(
    ("address", "servers"),
    [
        ("https://s3.eu-central-1.amazonaws.com", [("https", "s3.eu-central-1.amazonaws.com", 443)]),
        ("http://store", [("http", "store", 80)]),
        ("http://127.0.0.1:8333", [("http", "127.0.0.1", 8333)]),
        ("nats://host", [("nats", "host", 4222)]),
        (
            "nats://a:1, nats://user:secret@b,tls://[::1]:3",
            [("nats", "a", 1), ("nats", "b", 4222), ("tls", "::1", 3)],
        ),
    ],
)
def test_where_given_parts_are(address: str, servers: list[tuple[str, str, int]]) -> None:
    assert given.servers(address) == servers


@pytest.mark.parametrize("address", ["nonsense", "nats://host:x", "host:4222", "ftp://host", "http://:80"])
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(Problem, match="is no address"):
        given.servers(address)


async def test_one_server_of_a_cluster_is_enough_and_passwords_are_not_told() -> None:
    dead = f"nats://user:secret@127.0.0.1:{free_port()}"
    with pytest.raises(Problem, match=r"Nobody answers at nats://127\.0\.0\.1:") as raised:
        await given.refuse_dead(dead)
    assert "secret" not in str(raised.value)

    async def answer(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        """Nothing: it is there."""

    async with tcp_server(answer) as port:
        await given.refuse_dead(f"{dead},nats://127.0.0.1:{port}")


class Dead:
    """A server that has died, and tells when it is started again."""

    def __init__(self, folder: Path) -> None:
        self.process = ServerProcess("dead", folder / "dead.log")
        self.is_alive = False
        self.started = asyncio.Event()

    async def start(self) -> None:
        self.is_alive = True
        self.started.set()

    async def stop(self) -> None:
        self.is_alive = False


async def test_what_died_is_restarted_also_when_nothing_can_be_told(tmp_path: Path) -> None:
    def tell(line: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    stack, dead = Stack(DataFolder(tmp_path / "gone"), Options(), tell), Dead(tmp_path)
    stack._watched.append(_Watched("dead", dead, lambda: "somewhere"))
    supervising = asyncio.create_task(stack.supervise())
    for _ in range(2):
        async with asyncio.timeout(10):
            await dead.started.wait()
        dead.started.clear()
        dead.is_alive = False
    supervising.cancel()
    await stack.stop()
