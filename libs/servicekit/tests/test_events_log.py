"""The event log against a real nats-server: facts are stored once, in order, over crashes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import nats as nats_client
import pytest
from prometheus_client import REGISTRY

from servicekit.errors import Conflict, Invalid, Unavailable
from servicekit.events import Event, EventLog
from servicekit.telemetry import traces
from servicekit.testing import STREAMS, NatsFixture, SimulatedClock, eventually


@pytest.fixture
async def log(nats: NatsFixture, clock: SimulatedClock) -> AsyncIterator[EventLog]:
    log = EventLog(nats.url, service="tester", clock=clock, streams=STREAMS, patience=10.0)
    await log.start()
    yield log
    await log.stop()


def make_event(number: int, type_: str = "prediction.succeeded") -> Event:
    return Event(
        id=f"gen_{number}:1:done", type=type_, key=f"gen_{number}", data=b"%d" % number, refs={"job": "job_1"}
    )


async def take(events: AsyncIterator[Event], count: int) -> list[Event]:
    async with asyncio.timeout(10):
        return [await anext(events) for _ in range(count)]


async def test_an_event_published_twice_is_stored_once(log: EventLog) -> None:
    first = await log.publish(make_event(1))
    assert await log.publish(make_event(1)) == first
    assert await log.publish(make_event(2)) == first + 1


async def test_the_headers_are_cloud_events(log: EventLog, clock: SimulatedClock) -> None:
    with traces.span("test"):
        await log.publish(
            Event(id="e1", type="generation.requested", key="replicate.gen_1", refs={"job": "job_1"})
        )
        trace = traces.trace_id()
    message = await log.js.get_msg("RUSHES", seq=1)
    headers = message.headers or {}
    assert message.subject == "generation.requested.replicate.gen_1"
    assert headers["Nats-Msg-Id"] == headers["ce-id"] == "e1"
    assert (headers["ce-type"], headers["ce-subject"]) == ("generation.requested", "replicate.gen_1")
    assert (headers["ce-source"], headers["ce-time"]) == ("tester", clock.now().isoformat())
    assert headers["ce-jobid"] == "job_1"
    assert trace in headers["traceparent"]


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (Event(id="", type="job.created", key="job_1"), "id"),
        (Event(id="e", type="created", key="job_1"), "type"),
        (Event(id="e", type="job.created", key="job_1 >"), "key"),
        (Event(id="e", type="job.created", key="job_1", refs={"client_id": "cli_1"}), "refs"),
        (Event(id="e", type="weather.changed", key="x"), "weather"),
    ],
)
async def test_what_nobody_could_find_again_is_refused(log: EventLog, event: Event, field: str) -> None:
    with pytest.raises(Invalid, match=field):
        await log.publish(event)


async def test_publish_waits_for_a_server_that_comes_back(log: EventLog, nats: NatsFixture) -> None:
    await log.publish(make_event(1))
    assert REGISTRY.get_sample_value("rushes_event_log_away") == 0
    await nats.kill()
    await eventually(lambda: REGISTRY.get_sample_value("rushes_event_log_away") == 1)
    publishing = asyncio.create_task(log.publish(make_event(2)))
    await eventually(lambda: not log.is_connected)
    await nats.restart()
    assert await publishing == 2
    assert REGISTRY.get_sample_value("rushes_event_log_away") == 0


async def test_publish_gives_up_in_time(nats: NatsFixture, clock: SimulatedClock) -> None:
    log = EventLog(nats.url, service="tester", clock=clock, streams=STREAMS, patience=0.3)
    await log.start()
    await nats.kill()
    with pytest.raises(Unavailable, match=r"publish prediction\.succeeded\.gen_1"):
        await log.publish(make_event(1))
    await log.stop()


async def test_a_missing_server_at_start_is_reported_with_the_way_out(clock: SimulatedClock) -> None:
    log = EventLog("nats://127.0.0.1:9", service="tester", clock=clock, streams=STREAMS, patience=0.3)
    with pytest.raises(Unavailable, match=r"nats://127\.0\.0\.1:9 within 0\.3 s: start it"):
        await log.start()
    await log.stop()


async def test_a_server_that_lost_its_data_gets_the_streams_again(log: EventLog, nats: NatsFixture) -> None:
    await log.publish(make_event(1))
    bucket = await log.bucket("limits")
    await bucket.put("k", 1)
    await nats.restart(wipe=True)
    assert await log.publish(make_event(2)) == 1
    await bucket.put("k", 2)
    assert (await bucket.get("k") or (None, 0))[0] == 2


async def test_an_older_stream_is_updated(nats: NatsFixture, clock: SimulatedClock) -> None:
    connection = await nats_client.connect(nats.url)
    await connection.jetstream().add_stream(name="RUSHES", subjects=["job.>"], max_age=5)
    await connection.close()
    log = EventLog(nats.url, service="tester", clock=clock, streams=STREAMS)
    await log.start()
    config = (await log.js.stream_info("RUSHES")).config
    wanted = STREAMS[0]
    assert wanted.max_age is not None
    assert config.max_age == wanted.max_age.total_seconds()
    assert config.duplicate_window == wanted.duplicate_window.total_seconds()
    assert set(config.subjects or []) == set(wanted.subjects)
    await log.stop()


async def test_tail_from_a_sequence_then_what_comes(log: EventLog) -> None:
    for number in range(1, 5):
        await log.publish(make_event(number))
    events = await log.tail(after=2)
    assert [event.sequence for event in await take(events, 2)] == [3, 4]
    await log.publish(make_event(5))
    (event,) = await take(events, 1)
    assert (event.id, event.key, event.refs, event.data) == ("gen_5:1:done", "gen_5", {"job": "job_1"}, b"5")
    await events.aclose()  # type: ignore[attr-defined]


async def test_tail_from_now_and_filtered(log: EventLog) -> None:
    await log.publish(make_event(1))
    events = await log.tail(["job.>", "prediction.failed.>"])
    await log.publish(make_event(2))
    await log.publish(make_event(3, "prediction.failed"))
    await log.publish(make_event(4, "job.completed"))
    assert [event.key for event in await take(events, 2)] == ["gen_3", "gen_4"]
    await events.aclose()  # type: ignore[attr-defined]


async def test_tail_has_no_gap_over_crashes(log: EventLog, nats: NatsFixture) -> None:
    events = await log.tail(after=0)
    seen: list[int] = []

    async def read() -> None:
        async for event in events:
            seen.append(int(event.data))  # noqa: PERF401  # it never ends

    reading = asyncio.create_task(read())
    for number in range(1, 31):
        if number in {10, 20}:
            await nats.restart()
        await log.publish(make_event(number))
    await eventually(lambda: len(seen) >= 30)
    assert seen == list(range(1, 31))
    reading.cancel()
    await asyncio.wait([reading])


async def test_a_bucket_changes_by_compare_and_set(log: EventLog) -> None:
    bucket = await log.bucket("limits", ttl=60)
    assert await bucket.get("cell") is None
    first = await bucket.create("cell", {"next": 1.5})
    with pytest.raises(Conflict):
        await bucket.create("cell", {})
    assert await bucket.get("cell") == ({"next": 1.5}, first)
    second = await bucket.update("cell", {"next": 2}, revision=first)
    with pytest.raises(Conflict, match="limits/cell"):
        await bucket.update("cell", {"next": 3}, revision=first)
    with pytest.raises(Conflict, match="limits/cell"):
        await bucket.delete("cell", revision=first)
    assert await bucket.get("cell") == ({"next": 2}, second)
    await bucket.delete("cell", revision=second)
    assert await bucket.get("cell") is None
    with pytest.raises(Conflict):
        await bucket.delete("cell", revision=second)
    await bucket.delete("cell")
    assert await bucket.create("cell", 7) > second
    with pytest.raises(Invalid):
        await bucket.put("a b", 1)


async def test_racing_updates_lose_no_step(log: EventLog) -> None:
    bucket = await log.bucket("limits")
    await bucket.put("count", 0)

    async def add_one() -> None:
        while True:
            value, revision = await bucket.get("count") or (0, 0)
            try:
                await bucket.update("count", value + 1, revision=revision)
            except Conflict:
                continue
            return

    await asyncio.gather(*(add_one() for _ in range(10)))
    assert (await bucket.get("count") or (0, 0))[0] == 10


async def test_a_signal_reaches_who_listens_now(log: EventLog) -> None:
    received: list[tuple[str, bytes]] = []
    end = await log.listen("wake.prediction.*", lambda subject, data: received.append((subject, data)))
    await log.client.flush()
    await log.signal("wake.prediction.att_1", b"x")
    await eventually(lambda: received == [("wake.prediction.att_1", b"x")])
    await end()
    await log.signal("wake.prediction.att_2")
    await log.client.flush()
    assert len(received) == 1
