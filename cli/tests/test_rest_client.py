"""The REST client with a gateway that restarts, breaks off, and refuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from rushes_cli import output
from rushes_cli.commands import events as events_command
from rushes_cli.data_folder import DataFolder
from rushes_cli.demo_flow import follow
from rushes_cli.rest_client import GatewayUnreachableError, RequestRefusedError, RestClient
from servicekit.embedded.process import free_port
from servicekit.testing import tcp_server

NO_ANSWER = b""
"""The connection is closed instead of an answer."""


def answer(status: str, body: bytes, *, length: int | None = None, kind: str = "application/json") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nConnection: close\r\n"
    return f"{head}Content-Length: {len(body) if length is None else length}\r\n\r\n".encode() + body


def stream(*blocks: str) -> bytes:
    head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    return (head + "".join(f"{block}\n\n" for block in blocks)).encode()


def event(sequence: int) -> str:
    return f'id: {sequence}\nevent: job.created\ndata: {{"job_id": "job_{sequence}"}}'


class Gateway:
    """Answers one request of each connection with the next of `answers`; records the requests."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        self.requests: list[str] = []
        self.base = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.requests.append(head.decode())
        writer.write(self.answers.pop(0))
        await writer.drain()


@pytest.fixture
async def gateway(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gateway]:
    monkeypatch.setattr("rushes_cli.rest_client._PAUSE", 0.01)
    gateway = Gateway()
    async with tcp_server(gateway.serve) as port:
        gateway.base = f"http://127.0.0.1:{port}"
        yield gateway


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[RestClient]:
    async with RestClient(gateway.base, "key") as client:
        yield client


async def test_a_read_waits_for_a_gateway_that_restarts(client: RestClient, gateway: Gateway) -> None:
    gateway.answers = [
        NO_ANSWER,
        answer("503 Service Unavailable", b"{}"),
        answer("200 OK", b'{"id": "job_1"}'),
    ]
    assert await client.get("/api/v3/jobs/job_1") == {"id": "job_1"}
    assert len(gateway.requests) == 3


async def test_a_refusal_is_raised_at_once(client: RestClient, gateway: Gateway) -> None:
    gateway.answers = [answer("404 Not Found", b'{"detail": "there is no job job_1"}')]
    with pytest.raises(RequestRefusedError, match="there is no job job_1"):
        await client.get("/api/v3/jobs/job_1")
    assert len(gateway.requests) == 1


async def test_what_changes_something_is_sent_once(client: RestClient, gateway: Gateway) -> None:
    gateway.answers = [NO_ANSWER, answer("200 OK", b"{}")]
    with pytest.raises(GatewayUnreachableError, match="does not answer"):
        await client.post("/api/v3/jobs/job_1/approve")
    assert len(gateway.requests) == 1


async def test_an_unreachable_gateway_is_an_error_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("rushes_cli.rest_client._PAUSE", 0.0)
    async with RestClient(f"http://127.0.0.1:{free_port()}", "key") as client:
        with pytest.raises(GatewayUnreachableError, match="does not answer"):
            await client.get("/api/v3/jobs")
        with pytest.raises(GatewayUnreachableError, match="does not answer"):
            await client.download("/api/v3/media/med_1", tmp_path / "clip.mp4")
        with pytest.raises(GatewayUnreachableError, match="does not answer"):
            async with aclosing(client.events("/api/v3/events")) as events:
                await anext(events)


async def test_a_download_that_breaks_off_begins_again(
    client: RestClient, gateway: Gateway, tmp_path: Path
) -> None:
    gateway.answers = [
        answer("200 OK", b"half", length=8, kind="video/mp4"),
        answer("200 OK", b"complete", kind="video/mp4"),
    ]
    await client.download("/api/v3/media/med_1", tmp_path / "clip.mp4")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"clip.mp4": b"complete"}


async def test_a_stream_that_ends_goes_on_where_it_was(client: RestClient, gateway: Gateway) -> None:
    gateway.answers = [stream("id: 4", event(5)), NO_ANSWER, stream("id: 5", event(6))]
    async with aclosing(client.events("/api/v3/events", after=4)) as events:
        got = [(await anext(events)).sequence for _ in range(4)]
    assert got == [4, 5, 5, 6]
    places = [
        line for head in gateway.requests for line in head.lower().splitlines() if "last-event-id" in line
    ]
    assert places == ["last-event-id: 4", "last-event-id: 5", "last-event-id: 5"]


async def test_events_are_read_to_where_the_log_ended_at_the_start(
    client: RestClient, gateway: Gateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(events_command, "connect", lambda _folder: client)
    gateway.answers = [
        stream("id: 7"),
        stream("id: 0", event(3)),  # the gateway stops in the middle
        stream("id: 3", event(5), "id: 7", event(8)),
    ]
    with output.console.capture() as printed:
        wanted = {"job": "", "types": "job", "after": None, "follow": False}
        assert await events_command.events(DataFolder(tmp_path), **wanted) == 0  # type: ignore[arg-type]
    assert [line.split()[0] for line in printed.get().splitlines()] == ["3", "5"]


async def test_an_empty_log_is_read_at_once(
    client: RestClient, gateway: Gateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(events_command, "connect", lambda _folder: client)
    gateway.answers = [stream("id: 0")]
    assert await events_command.events(DataFolder(tmp_path), job="", types="", after=None, follow=False) == 0
    assert len(gateway.requests) == 1


@pytest.mark.parametrize("status", ["401 Unauthorized", "404 Not Found"])
async def test_a_job_that_may_not_be_read_is_not_waited_for(
    client: RestClient, gateway: Gateway, status: str
) -> None:
    refusal = answer(status, b'{"detail": "not for you"}')
    gateway.answers = [refusal] * 2  # the live stream, and the job itself
    with pytest.raises(RequestRefusedError, match="not for you"):
        async with aclosing(follow(client, "job_1", within=60.0)) as jobs:  # type: ignore[type-var]
            await anext(jobs)
