"""What uvloop says of a connection that has just closed, where asyncio's own loop says nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop

from servicekit.clock import SystemClock
from servicekit.errors import Unavailable
from servicekit.events import Consumer, ConsumerSpec, Event, EventLog
from servicekit.events.pull import Pull
from servicekit.testing import STREAMS, eventually, nats_server


def make_event(number: int) -> Event:
    return Event(id=f"e{number}", type="prediction.succeeded", key=f"gen_{number}")


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[EventLog]:
    log = EventLog(url, service="tester", clock=SystemClock(), streams=STREAMS, patience=10.0)
    await log.start()
    yield log
    await log.stop()


async def closed(log: EventLog) -> None:
    """The moment between a connection's end and nats-py's notice of it; whoever writes, writes to it."""
    client: Any = log.client
    client._flusher_task.cancel()
    await asyncio.wait([client._flusher_task])
    client._transport._io_writer.transport.abort()
    await asyncio.sleep(0)  # the transport is told so in this round of the loop, its reader in the next
    with pytest.raises(RuntimeError, match="the handler is closed"):
        await client.publish("x", b"")
    assert log.is_connected


def on_uvloop(scene: Callable[[], Awaitable[None]]) -> None:
    async def play() -> None:
        await scene()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(play())


def test_publishing_outlives_a_connection_that_has_just_closed() -> None:
    async def scene() -> None:
        async with nats_server() as url, connected(url) as log:
            await log.publish(make_event(1))
            await closed(log)
            assert await log.publish(make_event(2)) == 2

    on_uvloop(scene)


def test_a_signal_is_only_a_hint() -> None:
    async def scene() -> None:
        received: list[bytes] = []
        async with nats_server() as url, connected(url) as log, connected(url) as listener:
            await listener.listen("wake.x", lambda _, data: received.append(data))
            await listener.client.flush()
            await closed(log)
            await log.signal("wake.x", b"at a bad moment")  # raises nothing; lost, or late
            assert await log.publish(make_event(1)) == 1
            await log.signal("wake.x", b"later")
            await eventually(lambda: received[-1:] == [b"later"])

    on_uvloop(scene)


class PullRequests:
    """Pull requests; with `log` set, the next one comes just after the connection has closed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log: EventLog | None = None
        self.last: Pull | None = None
        request = Pull.request

        async def requesting(pull: Pull, count: int, **options: Any) -> None:
            log, self.log, self.last = self.log, None, pull
            if log is not None:
                await closed(log)
            await request(pull, count, **options)

        monkeypatch.setattr(Pull, "request", requesting)

    def too_late(self, log: EventLog) -> None:
        assert self.last is not None
        self.last.forget()
        self.log = log


def test_a_consumer_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        seen: list[str] = []
        pull_requests = PullRequests(monkeypatch)

        async def handle(event: Event) -> None:
            seen.append(event.id)

        async with nats_server() as url, connected(url) as log:
            spec = ConsumerSpec("tester-predictions", ("prediction.>",), slots=1)
            consumer = Consumer(log, spec, {"prediction.succeeded": handle})
            await consumer.start()
            await log.publish(make_event(1))
            await eventually(lambda: seen == ["e1"])
            pull_requests.too_late(log)
            await eventually(lambda: pull_requests.log is None)
            for number in range(2, 6):  # the requests of before are still good for two of them
                await log.publish(make_event(number))
            await eventually(lambda: seen == [f"e{number}" for number in range(1, 6)])
            await consumer.stop()

    on_uvloop(scene)


def test_a_reader_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        pull_requests = PullRequests(monkeypatch)
        async with nats_server() as url, connected(url) as log:
            await log.publish(make_event(1))
            reader = await log.tail(after=0)
            assert (await anext(reader)).id == "e1"
            pull_requests.too_late(log)
            following = asyncio.ensure_future(anext(reader))
            await eventually(lambda: pull_requests.log is None)
            await log.publish(make_event(2))
            assert (await following).id == "e2"
            await reader.aclose()  # type: ignore[attr-defined]

    on_uvloop(scene)


def test_stopping_survives_a_connection_that_has_just_closed() -> None:
    async def scene() -> None:
        async with nats_server() as url:
            log = EventLog(url, service="tester", clock=SystemClock(), streams=STREAMS)
            await log.start()
            client = log.client
            await closed(log)
            async with asyncio.timeout(2):
                await log.stop()
            assert client.is_closed
            assert not log.is_connected
            with pytest.raises(Unavailable, match="not started, or stopped"):
                await log.publish(make_event(1))

    on_uvloop(scene)
