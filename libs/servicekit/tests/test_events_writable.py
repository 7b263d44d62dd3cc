"""The log knows whether it stores events. (After a failed write nats-server refuses all, without a word.)"""

from __future__ import annotations

import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
from nats.js.api import DiscardPolicy

from servicekit.errors import Unavailable
from servicekit.events import Event, EventLog
from servicekit.events import log as log_module
from servicekit.testing import STREAMS, NatsFixture, SimulatedClock


@pytest.fixture
async def log(nats: NatsFixture, clock: SimulatedClock) -> AsyncIterator[EventLog]:
    log = EventLog(nats.url, service="tester", clock=clock, streams=STREAMS, patience=0.5)
    await log.start()
    yield log
    await log.stop()


@pytest.fixture
async def watcher(nats: NatsFixture, clock: SimulatedClock) -> AsyncIterator[EventLog]:
    """Another process, which publishes nothing."""
    log = EventLog(nats.url, service="watcher", clock=clock, streams=STREAMS)
    await log.start()
    yield log
    await log.stop()


def make_event(number: int) -> Event:
    return Event(id=f"e{number}", type="prediction.succeeded", key=f"gen_{number}", data=b"x" * 1000)


@contextmanager
def failing_writes(nats: NatsFixture) -> Iterator[None]:
    """For the server the disk is full: no file grows beyond a kilobyte."""
    pid, unlimited = nats.server.pid, resource.RLIM_INFINITY
    assert pid is not None
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1000, unlimited))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (unlimited, unlimited))


async def test_a_log_that_stores_events_is_writable(
    log: EventLog, watcher: EventLog, nats: NatsFixture
) -> None:
    await log.bucket("cells")
    await log.publish(make_event(1))
    for each in (log, watcher):
        await each.check_writable()
    await nats.server.check_writable()
    assert nats.server.has_room
    state = (await log.js.stream_info("RUSHES")).state
    assert (state.messages, state.last_seq) == (1, 1), "the checks wrote nothing and removed nothing"


async def test_after_a_full_disk_every_process_knows_until_the_server_is_restarted(
    log: EventLog, watcher: EventLog, nats: NatsFixture
) -> None:
    await log.publish(make_event(1))
    with failing_writes(nats):
        with pytest.raises(Unavailable):
            await log.publish(make_event(2))
        with pytest.raises(Unavailable, match=r"RUSHES since a write failed \(.*file too large\): restart"):
            await watcher.check_writable()
    with pytest.raises(Unavailable):  # there is room again, and still it stores nothing
        await log.publish(make_event(2))
    for check in (log.check_writable, watcher.check_writable, nats.server.check_writable):
        with pytest.raises(Unavailable, match="RUSHES since a write failed"):
            await check()
    await nats.restart()
    assert await log.publish(make_event(2)) == 2
    for check in (log.check_writable, watcher.check_writable, nats.server.check_writable):
        await check()


async def test_a_bucket_that_stores_nothing_is_reported_too(log: EventLog, nats: NatsFixture) -> None:
    cells = await log.bucket("cells")
    await cells.put("a", "x" * 2000)
    with failing_writes(nats), pytest.raises(Unavailable):
        await cells.put("a", "y" * 2000)
    with pytest.raises(Unavailable, match="KV_cells since a write failed"):
        await log.check_writable()


async def test_events_refused_for_any_other_reason_are_reported_after_a_while(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "REFUSED_AFTER", 0.0)
    config = (await log.js.stream_info("RUSHES")).config
    config.max_bytes, config.discard = 500, DiscardPolicy.NEW
    await log.js.update_stream(config)
    with pytest.raises(Unavailable):
        await log.publish(make_event(1))
    with pytest.raises(Unavailable, match=r"has stored nothing for \d s: .*maximum bytes exceeded"):
        await log.check_writable()
    config.max_bytes = -1
    await log.js.update_stream(config)
    await log.publish(make_event(1))
    await log.check_writable()


async def test_an_event_refused_once_is_no_lasting_refusal(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "REFUSED_AFTER", 0.0)
    config = (await log.js.stream_info("RUSHES")).config
    config.max_bytes, config.discard = 500, DiscardPolicy.NEW
    await log.js.update_stream(config)
    with pytest.raises(Unavailable):
        await log.publish(make_event(1))
    with pytest.raises(Unavailable, match="maximum bytes exceeded"):
        await log.check_writable()
    monkeypatch.setattr(
        log_module, "_STILL_REFUSED", 0.0
    )  # as if nobody had published since: nothing is proven
    await log.check_writable()


async def test_a_log_that_is_away_is_not_writable(log: EventLog, nats: NatsFixture) -> None:
    await nats.kill()
    with pytest.raises(Unavailable, match="the event log"):
        await log.check_writable()
    with pytest.raises(Unavailable, match="does not answer"):
        await nats.server.check_writable()
