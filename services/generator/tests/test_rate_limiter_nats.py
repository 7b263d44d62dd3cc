"""Starts are spaced over replicas that share nothing but the event log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise
from typing import Any, ClassVar

import pytest
from generator_world import RecordingOperatorLog, World

from events.topology import streams
from generator.adapters.runs.kv_cell import KeyValueCell
from generator.adapters.runs.operator_log import BREAKER_TRIPPED, StructlogOperatorLog
from generator.adapters.runs.wakeups import LogWakeUps
from generator.core.inputs.domain.run_spec import RunSpec
from generator.core.runs.domain.events import PredictionSucceeded
from generator.core.runs.domain.prediction import Prediction
from generator.core.runs.domain.provider_errors import SubmissionOutcome
from generator.core.runs.rate_limiter import OperatorLog, RateLimiter
from generator.edges.events import consumers
from rushes.events.v1 import events_pb2
from servicekit.clock import SystemClock
from servicekit.errors import Limited
from servicekit.events import Event, EventLog
from servicekit.testing import NatsFixture, eventually

DELAY = 0.05


@pytest.fixture
async def logs(nats: NatsFixture) -> AsyncIterator[list[EventLog]]:
    """The connections of three replicas."""
    logs = [
        EventLog(nats.url, service=f"generator-{number}", clock=SystemClock(), streams=streams())
        for number in range(3)
    ]
    for log in logs:
        await log.start()
    yield logs
    for log in logs:
        await log.stop()


class WatchedCell(KeyValueCell):
    """Records which starts were granted."""

    granted: ClassVar[list[float]] = []

    async def write(self, value: Any, revision: int) -> bool:
        written = await super().write(value, revision)
        if written:
            self.granted.append(value["next_start"])
        return written


async def test_a_start_granted_before_a_429_waits_for_its_end() -> None:
    world = World(delay=3.0)
    limiter, other = world.limiter, world.new_limiter()
    started: list[float] = []

    async def start() -> None:
        await limiter.acquire()
        started.append(world.clock.monotonic())

    async def limited() -> None:
        await world.clock.sleep(1.0)
        await other.block(10.0, 0.0)

    await world.clock.run(start(), start(), limited())  # the second has its start at 3 s
    assert started[0] == 0.0
    assert started[1] >= 11.0


async def test_three_rate_limiters_racing_keep_their_distance(logs: list[EventLog]) -> None:
    operators = RecordingOperatorLog()
    limiters = [
        RateLimiter(WatchedCell(log, provider="replicate"), SystemClock(), operators, delay=DELAY)
        for log in logs
    ]
    starts: list[float] = []

    async def work(limiter: RateLimiter) -> None:
        for _ in range(7):
            await limiter.acquire()
            starts.append(time.monotonic())

    await asyncio.gather(*(work(limiter) for limiter in limiters for _ in range(2)))
    granted = sorted(WatchedCell.granted)
    assert len(starts) == len(granted) == 42  # no start was granted twice, and none was lost
    assert all(later - earlier >= DELAY - 1e-6 for earlier, later in pairwise(granted))
    # Nobody starts before its time; the first may wake up late, which brings it nearer to the last.
    assert max(starts) - min(starts) >= 38 * DELAY


async def test_one_replica_trips_the_breaker_for_all_and_one_resets_it(logs: list[EventLog]) -> None:
    operator_logs = RecordingOperatorLog(), RecordingOperatorLog()
    one, two = (
        RateLimiter(
            KeyValueCell(log, provider="replicate"),
            SystemClock(),
            operators,
            delay=0.0,
            probe_every=30.0,
            patience=0.2,
        )
        for log, operators in zip(logs, operator_logs, strict=False)
    )
    await one.acquire()
    await asyncio.gather(one.trip("402 no credit"), two.trip("402 no credit"))
    assert [operators.alarms for operators in operator_logs] == [["breaker_opened"], ["breaker_opened"]]
    with pytest.raises(Limited) as caught:
        await two.acquire()
    assert caught.value.retry_after is not None
    assert caught.value.retry_after > 25
    await two.start()
    probes = await asyncio.gather(one.acquire(), two.acquire(), return_exceptions=True)
    assert sum(isinstance(each, Limited) for each in probes) == 1  # one probe over all replicas
    await one.reset()
    assert await two.tripped() == ""
    assert [operators.notes for operators in operator_logs] == [["breaker_closed"], ["breaker_closed"]]
    await two.acquire()
    await two.block(5.0, 0.0)
    with pytest.raises(Limited):
        await one.acquire()


async def test_each_process_reports_once_that_the_breaker_is_tripped_and_knows_when_it_is_reset() -> None:
    world = World()
    ours, others = StructlogOperatorLog("replicate"), RecordingOperatorLog()
    shows = BREAKER_TRIPPED.labels("replicate")

    def replica(operators: OperatorLog) -> RateLimiter:
        return RateLimiter(world.cell, SystemClock(), operators, delay=0.0)

    here, elsewhere = replica(ours), replica(others)
    await here.trip("402 no credit")
    assert shows._value.get() == 1
    restarted = RecordingOperatorLog()
    again = replica(restarted)
    await again.start()  # what a start does
    await again.trip("402 no credit")  # the probe is refused
    assert await again.tripped() == "402 no credit"
    assert restarted.alarms == ["breaker_opened"]
    await elsewhere.trip("402 no credit")
    await elsewhere.reset()
    assert shows._value.get() == 1
    assert await here.tripped() == ""  # what it reads every few seconds
    assert shows._value.get() == 0
    assert await again.tripped() == ""
    assert restarted.notes == ["breaker_closed"]
    await elsewhere.trip("401 no token")
    assert others.alarms == ["breaker_opened", "breaker_opened"], "tripped once more is reported again"


async def test_operators_see_the_limits_and_who_waits() -> None:
    world = World(delay=3.0)
    limiter, other = world.limiter, world.new_limiter()
    seen: list[tuple[float, float]] = []

    async def read() -> None:
        for seconds in (1.0, 9.0, 600.0):
            await world.clock.sleep(seconds)
            await limiter.tripped()
            seen.append(world.operators.limits)

    async def limited() -> None:
        await world.clock.sleep(0.5)
        await other.block(4.0, 10.0)

    await world.clock.run(limiter.acquire(), limiter.acquire(), limited(), read())
    assert seen == [(10.0, 3.5), (10.0, 0.0), (3.0, 0.0)], "limited for a while, slower for ten minutes"
    assert world.operators.waiting == [1, 2, 1, 0]


async def test_a_wake_up_reaches_the_poller_of_another_replica(logs: list[EventLog]) -> None:
    one, two, _ = logs
    async with LogWakeUps(one, SystemClock()).subscribe("att_1", "p1") as subscription:
        for _ in range(2):  # nats-py's ping overtakes what is not written yet; the second one cannot
            await one.client.flush()
        await LogWakeUps(two, SystemClock()).send("att_2")
        await LogWakeUps(two, SystemClock()).send("att_1")
        began = time.monotonic()
        await subscription.wait(20)
        assert time.monotonic() - began < 5


async def test_a_prediction_is_handed_to_the_poller_of_that_very_prediction_here(
    logs: list[EventLog],
) -> None:
    here, elsewhere = LogWakeUps(logs[0], SystemClock()), LogWakeUps(logs[1], SystemClock())
    done = Prediction("p1", "succeeded")
    assert not here.hand_over("att_1", done)
    async with here.subscribe("att_1", "p1") as subscription:
        assert not elsewhere.hand_over("att_1", done)
        assert not here.hand_over("att_1", Prediction("p2", "succeeded"))
        assert here.hand_over("att_1", done)
        assert await subscription.wait(20) is done
        assert await subscription.wait(0) is None
    assert not here.hand_over("att_1", done)


async def test_three_generators_share_one_limit(logs: list[EventLog]) -> None:
    """Six generations, three replicas, two in flight over all of them, and their starts apart."""
    world = World(clock=SystemClock(), reads=1, delay=0.1)
    replicas = []
    for log in logs:
        limiter = RateLimiter(
            KeyValueCell(log, provider="replicate"), SystemClock(), world.operators, delay=world.delay
        )
        ports = replace(world.ports(), limiter=limiter)
        replicas += consumers(log, ports, provider="replicate", concurrency=2)
    generations = [world.attempts.add() for _ in range(6)]
    running = _Peak(world)
    world.provider.create = running.create  # type: ignore[method-assign]
    for each in replicas:
        await each.start()
    for number, generation in enumerate(generations):
        message = events_pb2.GenerationRequested(generation_id=generation, round=1)
        await logs[0].publish(
            Event(
                f"e{number}", "generation.requested", f"replicate.{generation}", message.SerializeToString()
            )
        )
    await eventually(lambda: len(world.published(PredictionSucceeded)) == 6, within=30)
    assert running.peak == 2
    assert world.provider.charges == 6
    assert max(world.provider.starts) - min(world.provider.starts) >= 4 * world.delay
    for part in replicas:
        await part.stop()


class _Peak:
    """How many runs were open at once."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._create = world.provider.create
        self.peak = 0

    async def create(self, run: RunSpec, *, webhook: str, timeout: float) -> SubmissionOutcome:  # noqa: ASYNC109
        outcome = await self._create(run, webhook=webhook, timeout=timeout)
        self.peak = max(self.peak, sum(not run.is_final for run in self._world.provider.runs.values()))
        return outcome
