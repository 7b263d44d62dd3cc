"""Consumers against a real nats-server: each event is settled by its outcome, and none is lost."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from prometheus_client import REGISTRY
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from servicekit.errors import Conflict, Internal, Invalid, NotFound, Unavailable
from servicekit.events import Consumer, ConsumerSpec, Event, EventLog, Handler, RetryLater
from servicekit.events import consumer as consumer_module
from servicekit.events.lease import DeliveryLease
from servicekit.telemetry import traces
from servicekit.testing import STREAMS, NatsFixture, SimulatedClock, eventually

SPEC = ConsumerSpec("tester-predictions", ("prediction.>",), ack_wait=2.0)


@pytest.fixture
async def log(nats: NatsFixture, clock: SimulatedClock) -> AsyncIterator[EventLog]:
    log = EventLog(nats.url, service="tester", clock=clock, streams=STREAMS, patience=10.0)
    await log.start()
    yield log
    await log.stop()


async def publish(log: EventLog, *numbers: int, type_: str = "prediction.succeeded") -> None:
    for number in numbers:
        await log.publish(Event(id=f"e{number}", type=type_, key=f"gen_{number}", data=b"%d" % number))


def consumer(
    log: EventLog, handler: Handler, spec: ConsumerSpec = SPEC, *, stop_budget: float = 1.0
) -> Consumer:
    return Consumer(log, spec, {"prediction.succeeded": handler}, stop_budget=stop_budget)


async def pending(log: EventLog, spec: ConsumerSpec = SPEC) -> tuple[int, int]:
    """Delivered and not settled; not delivered yet."""
    info = await log.js.consumer_info("RUSHES", spec.name)
    return info.num_ack_pending or 0, info.num_pending or 0


async def dead_letters(log: EventLog) -> int:
    return (await log.js.stream_info("RUSHES_DLQ")).state.messages


def _confirmations(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Grows by one with each heartbeat that the server has answered."""
    confirmed: list[float] = []
    confirm = DeliveryLease.confirm

    def noted(lease: DeliveryLease, sent: float) -> None:
        confirm(lease, sent)
        confirmed.append(sent)

    monkeypatch.setattr(DeliveryLease, "confirm", noted)
    return confirmed


async def test_what_returns_is_acknowledged(log: EventLog) -> None:
    seen: list[Event] = []

    async def handle(event: Event) -> None:
        assert event.lease.fresh()
        seen.append(event)

    subject = consumer(log, handle)
    await publish(log, 1, 2)
    await publish(log, 3, type_="prediction.progressed")  # no handler: ignored, not stuck
    assert await subject.run_once() == 3
    assert {event.id for event in seen} == {"e1", "e2"}
    assert await pending(log) == (0, 0)
    await subject.stop()


async def test_an_invalid_event_goes_to_the_dead_letters_with_its_reason(log: EventLog) -> None:
    async def handle(event: Event) -> None:
        raise Invalid("no such thing as -1 s")

    subject = consumer(log, handle)
    await publish(log, 1)
    await subject.run_once()
    message = await log.js.get_msg("RUSHES_DLQ", seq=1)
    headers = message.headers or {}
    assert message.subject == "dlq.tester-predictions"
    assert message.data == b"1"
    assert headers["ce-id"] == "e1"
    assert headers["x-reason"] == "Invalid: no such thing as -1 s"
    assert (headers["x-kind"], headers["x-subject"]) == ("invalid", "prediction.succeeded.gen_1")
    assert (headers["x-sequence"], headers["x-deliveries"]) == ("1", "1")
    assert await pending(log) == (0, 0)
    await subject.stop()


async def test_an_internal_error_is_retried_and_then_a_dead_letter(log: EventLog) -> None:
    deliveries: list[int] = []

    async def handle(event: Event) -> None:
        deliveries.append(event.deliveries)
        raise ZeroDivisionError

    spec = ConsumerSpec("tester-predictions", ("prediction.>",), max_internal_errors=2)
    subject = consumer(log, handle, spec)
    await publish(log, 1)
    assert await subject.run_once() == 1
    assert await dead_letters(log) == 0
    assert await subject.run_once(wait=5.0) == 1
    assert deliveries == [1, 2]
    assert await dead_letters(log) == 1
    await subject.stop()


async def test_only_errors_of_the_same_kind_count_and_no_deliveries_put_off(log: EventLog) -> None:
    put_off: list[Exception] = [RetryLater(0.0)] * 12 + [Unavailable("down", retry_after=0.0)] * 6
    early = [NotFound("early", retry_after=0.0)] * 4
    raised = iter([*put_off, *early, Internal("fault", retry_after=0.0), Internal("fault", retry_after=0.0)])
    deliveries: list[int] = []

    async def handle(event: Event) -> None:
        deliveries.append(event.deliveries)
        raise next(raised)

    spec = ConsumerSpec("tester-predictions", ("prediction.>",), max_internal_errors=2)
    subject = consumer(log, handle, spec)
    await publish(log, 1)
    for number in range(1, 24):
        assert await subject.run_once(wait=5.0) == 1
        assert deliveries[-1] == number
        assert await dead_letters(log) == 0
    assert await subject.run_once(wait=5.0) == 1
    assert await dead_letters(log) == 1, "the second fault of ours, though the 24th delivery"
    await subject.stop()


@pytest.mark.parametrize(
    "error", [RetryLater(0.05), Unavailable("down", retry_after=0.05), NotFound("early", retry_after=0.05)]
)
async def test_later_comes_again(log: EventLog, error: Exception) -> None:
    tries: list[int] = []

    async def handle(event: Event) -> None:
        tries.append(event.deliveries)
        if len(tries) < 3:
            raise error

    subject = consumer(log, handle)
    await publish(log, 1)
    for _ in range(3):
        assert await subject.run_once(wait=5.0) == 1
    assert tries == [1, 2, 3]
    assert await pending(log) == (0, 0)
    assert await dead_letters(log) == 0
    await subject.stop()


async def test_already_done_is_done(log: EventLog) -> None:
    async def handle(event: Event) -> None:
        raise Conflict("recorded before", code="already_done")

    subject = consumer(log, handle)
    await publish(log, 1)
    await subject.run_once()
    assert await pending(log) == (0, 0)
    assert await dead_letters(log) == 0
    await subject.stop()


async def test_an_event_in_an_idle_hour_is_handled_at_once_and_slots_are_respected(log: EventLog) -> None:
    busy = most = 0
    release = asyncio.Event()

    async def handle(event: Event) -> None:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await release.wait()
        busy -= 1

    spec = ConsumerSpec("tester-predictions", ("prediction.>",), slots=3)
    subject = consumer(log, handle, spec)
    await subject.start()
    loop = asyncio.get_running_loop()
    before = loop.time()
    await publish(log, 1)
    await eventually(lambda: busy == 1)
    assert loop.time() - before < 0.5
    await publish(log, *range(2, 11))
    await eventually(lambda: busy == 3)
    assert await pending(log, spec) == (3, 7), "no more is taken than there is room for"
    release.set()

    async def all_done() -> bool:
        return await pending(log, spec) == (0, 0)

    await eventually(all_done)
    assert most == 3
    await subject.stop()


async def test_heartbeats_prolong_long_work(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    beats = _confirmations(monkeypatch)
    spec = ConsumerSpec("tester-predictions", ("prediction.>",), ack_wait=0.6)
    seen: list[int] = []
    fresh: list[bool] = []

    async def handle(event: Event) -> None:
        seen.append(event.deliveries)
        for number in range(1, 7):  # two of them would not be enough: six are twice ack_wait
            await eventually(lambda number=number: len(beats) >= number)
            fresh.append(event.lease.fresh())

    subject = consumer(log, handle, spec)
    await subject.start()
    await publish(log, 1)
    await eventually(lambda: len(fresh) >= 6)
    await subject.stop()
    assert seen == [1]
    assert all(fresh), fresh
    assert await pending(log, spec) == (0, 0)


async def test_the_lease_goes_stale_when_heartbeats_stay_unanswered(
    log: EventLog, nats: NatsFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats = _confirmations(monkeypatch)
    spec = ConsumerSpec("tester-predictions", ("prediction.>",), ack_wait=0.6)
    lapsed = asyncio.Event()
    after_restart: list[bool] = []
    killed, restarted = asyncio.Event(), asyncio.Event()

    async def handle(event: Event) -> None:
        if event.deliveries > 1:
            return
        assert event.lease.fresh()
        await killed.wait()
        before = len(beats)
        began = time.monotonic()
        await eventually(lambda: not event.lease.fresh())
        await eventually(lambda: time.monotonic() - began > spec.ack_wait)
        lapsed.set()
        await restarted.wait()
        await eventually(lambda: len(beats) > before)
        after_restart.append(event.lease.fresh())

    subject = consumer(log, handle, spec)
    await subject.start()
    await publish(log, 1)
    await eventually(lambda: len(subject._running) == 1)
    await nats.kill()
    killed.set()
    async with asyncio.timeout(5):
        await lapsed.wait()
    await nats.restart()
    restarted.set()
    await eventually(lambda: bool(after_restart))
    assert after_restart == [False], "another replica may have had it: never fresh again"
    await subject.stop()


async def test_stop_gives_unfinished_events_to_another_replica_at_once(log: EventLog) -> None:
    spec = ConsumerSpec("tester-predictions", ("prediction.>",), ack_wait=30.0, slots=2)
    taken: list[str] = []

    async def never(event: Event) -> None:
        await asyncio.Event().wait()

    async def quick(event: Event) -> None:
        taken.append(event.id)

    first = consumer(log, never, spec, stop_budget=0.05)
    await first.start()
    await publish(log, 1, 2, 3)
    await eventually(lambda: len(first._running) == 2)
    second = consumer(log, quick, spec)
    await second.start()
    await eventually(lambda: taken == ["e3"])
    loop = asyncio.get_running_loop()
    before = loop.time()
    await first.stop()
    await eventually(lambda: sorted(taken) == ["e1", "e2", "e3"], within=2.0)
    assert loop.time() - before < 2.0
    await second.stop()
    await second.stop()


async def test_stopping_everything_takes_no_drain_timeout(nats: NatsFixture, clock: SimulatedClock) -> None:
    log = EventLog(nats.url, service="tester", clock=clock, streams=STREAMS)
    await log.start()

    async def handle(event: Event) -> None:
        return

    subject = consumer(log, handle)
    await subject.start()
    await publish(log, 1)
    loop = asyncio.get_running_loop()
    before = loop.time()
    await subject.stop()
    await log.stop()
    assert loop.time() - before < 1.0


async def test_nothing_is_lost_when_nats_is_killed_again_and_again(log: EventLog, nats: NatsFixture) -> None:
    handled: Counter[int] = Counter()

    async def handle(event: Event) -> None:
        await asyncio.sleep(0)
        handled[int(event.data)] += 1

    spec = ConsumerSpec("tester-predictions", ("prediction.>",), ack_wait=1.0, slots=4)
    subject = consumer(log, handle, spec)
    await subject.start()
    for number in range(120):
        if number in {30, 80}:
            await nats.restart()
        await publish(log, number)

    async def all_acknowledged() -> None:
        assert len(handled) == 120
        assert await pending(log, spec) == (0, 0)

    await eventually(all_acknowledged, within=20.0)
    assert (await log.js.stream_info("RUSHES")).state.messages == 120
    await subject.stop()


async def test_a_server_that_lost_its_data_gets_the_consumer_again(log: EventLog, nats: NatsFixture) -> None:
    seen: list[str] = []

    async def handle(event: Event) -> None:
        seen.append(event.id)

    subject = consumer(log, handle)
    await subject.start()
    await publish(log, 1)
    await eventually(lambda: seen == ["e1"])
    await nats.restart(wipe=True)
    await publish(log, 2)
    await eventually(lambda: seen == ["e1", "e2"])
    await subject.stop()


async def test_the_trace_goes_on_in_the_handler(log: EventLog) -> None:
    seen: list[str] = []

    async def handle(event: Event) -> None:
        seen.append(traces.trace_id())

    subject = consumer(log, handle)
    with traces.span("test"):
        mine = traces.trace_id()
        await publish(log, 1)
    await subject.run_once()
    assert seen == [mine]
    await subject.stop()


async def test_logs_and_spans_name_the_records_of_an_event(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces._Tracing, "provider", TracerProvider(shutdown_on_exit=False))
    seen: list[object] = []

    async def handle(event: Event) -> None:
        span = trace.get_current_span()
        assert isinstance(span, ReadableSpan)
        seen.append((span.attributes or {})["job_id"])
        raise RetryLater(60.0)

    subject = consumer(log, handle)
    await log.publish(Event("e1", "prediction.succeeded", "gen_1", refs={"job": "job_1"}))
    with capture_logs(processors=[merge_contextvars]) as logged:
        await subject.run_once()
    await subject.stop()
    assert seen == ["job_1"]
    assert [line["job_id"] for line in logged if line["event"] == "event later"] == ["job_1"]


async def test_the_lag_is_measured(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer_module, "MEASURE_EVERY", 0.05)
    go_on = asyncio.Event()

    async def handle(event: Event) -> None:
        await go_on.wait()

    def lag() -> tuple[float | None, ...]:
        labels = [{"consumer": SPEC.name, "state": state} for state in ("pending", "unacknowledged")]
        return tuple(REGISTRY.get_sample_value("rushes_consumer_lag_events", each) for each in labels)

    subject = Consumer(log, replace(SPEC, slots=1), {"prediction.succeeded": handle})
    await publish(log, 1, 2, 3)
    await subject.start()
    await eventually(lambda: lag() == (2, 1))
    go_on.set()
    await eventually(lambda: lag() == (0, 0))
    await subject.stop()


async def test_a_consumer_that_exists_is_updated(log: EventLog) -> None:
    async def handle(event: Event) -> None:
        return

    for ack_wait, limit in ((5.0, 1000), (7.0, 4)):
        spec = ConsumerSpec("tester-predictions", ("prediction.>",), ack_wait=ack_wait, max_in_flight=limit)
        subject = consumer(log, handle, spec)
        await subject.run_once()
        await subject.stop()
    config = (await log.js.consumer_info("RUSHES", "tester-predictions")).config
    assert (config.ack_wait, config.max_ack_pending, config.max_deliver) == (7.0, 4, -1)
