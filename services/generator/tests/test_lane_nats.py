"""Starts are spaced over replicas that share nothing but the event log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise
from typing import Any, ClassVar

import pytest
from generator_world import Notebook, World

from events.topology import streams
from generator.adapters.event_log import LogCell, LogWakes
from generator.adapters.journal import LANE_CLOSED, LogJournal
from generator.core.facts import Succeeded
from generator.core.lane import SharedLane
from generator.core.outcomes import Outcome
from generator.core.ports import Journal, Order
from generator.core.prediction import Prediction
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


class WatchedCell(LogCell):
    """Tells which starts were given out."""

    given: ClassVar[list[float]] = []

    async def write(self, value: Any, revision: int) -> bool:
        written = await super().write(value, revision)
        if written:
            self.given.append(value["next_start"])
        return written


async def test_a_turn_taken_before_a_429_waits_for_its_end() -> None:
    world = World(delay=3.0)
    lane, other = world.lane, world.new_lane()
    started: list[float] = []

    async def start() -> None:
        await lane.turn()
        started.append(world.clock.elapsed)

    async def limited() -> None:
        await world.clock.sleep(1.0)
        await other.block(10.0, 0.0)

    await world.clock.run(start(), start(), limited())  # the second has its turn at 3 s
    assert started[0] == 0.0
    assert started[1] >= 11.0


async def test_three_lanes_racing_keep_their_distance(logs: list[EventLog]) -> None:
    journal = Notebook()
    lanes = [
        SharedLane(WatchedCell(log, lane="replicate"), SystemClock(), journal, delay=DELAY) for log in logs
    ]
    starts: list[float] = []

    async def work(lane: SharedLane) -> None:
        for _ in range(7):
            await lane.turn()
            starts.append(time.monotonic())

    await asyncio.gather(*(work(lane) for lane in lanes for _ in range(2)))
    given = sorted(WatchedCell.given)
    assert len(starts) == len(given) == 42  # no turn was given twice, and none was lost
    assert all(later - earlier >= DELAY - 1e-6 for earlier, later in pairwise(given))
    # Nobody starts before its turn; the first may wake up late, which brings it nearer to the last.
    assert max(starts) - min(starts) >= 38 * DELAY


async def test_one_replica_closes_the_lane_for_all_and_one_opens_it(logs: list[EventLog]) -> None:
    journals = Notebook(), Notebook()
    one, two = (
        SharedLane(
            LogCell(log, lane="replicate"), SystemClock(), journal, delay=0.0, probe_every=30.0, patience=0.2
        )
        for log, journal in zip(logs, journals, strict=False)
    )
    await one.turn()
    await asyncio.gather(one.close("402 no credit"), two.close("402 no credit"))
    assert [journal.alarms for journal in journals] == [["lane_closed"], ["lane_closed"]]
    with pytest.raises(Limited) as caught:
        await two.turn()
    assert caught.value.retry_after is not None
    assert caught.value.retry_after > 25
    await two.try_now()
    probes = await asyncio.gather(one.turn(), two.turn(), return_exceptions=True)
    assert sum(isinstance(each, Limited) for each in probes) == 1  # one probe over all replicas
    await one.reopen()
    assert await two.closed() == ""
    assert [journal.notes for journal in journals] == [["lane_reopened"], ["lane_reopened"]]
    await two.turn()
    await two.block(5.0, 0.0)
    with pytest.raises(Limited):
        await one.turn()


async def test_each_process_says_once_that_the_lane_is_closed_and_knows_when_it_is_open() -> None:
    world = World()
    ours, others = LogJournal("replicate"), Notebook()
    shows = LANE_CLOSED.labels("replicate")

    def replica(journal: Journal) -> SharedLane:
        return SharedLane(world.cell, SystemClock(), journal, delay=0.0)

    here, elsewhere = replica(ours), replica(others)
    await here.close("402 no credit")
    assert shows._value.get() == 1
    restarted = Notebook()
    again = replica(restarted)
    await again.try_now()  # what a start does
    await again.close("402 no credit")  # the probe finds it closed
    assert await again.closed() == "402 no credit"
    assert restarted.alarms == ["lane_closed"]
    await elsewhere.close("402 no credit")
    await elsewhere.reopen()
    assert shows._value.get() == 1
    assert await here.closed() == ""  # what it asks itself every LANE_PROBE_S
    assert shows._value.get() == 0
    assert await again.closed() == ""
    assert restarted.notes == ["lane_reopened"]
    await elsewhere.close("401 no token")
    assert others.alarms == ["lane_closed", "lane_closed"], "closing once more is news again"


async def test_a_poke_wakes_the_follower_of_another_replica(logs: list[EventLog]) -> None:
    one, two, _ = logs
    async with LogWakes(one, SystemClock()).listening("att_1", "p1") as ear:
        for _ in range(2):  # nats-py's ping overtakes what is not written yet; the second one cannot
            await one.client.flush()
        await LogWakes(two, SystemClock()).poke("att_2")
        await LogWakes(two, SystemClock()).poke("att_1")
        began = time.monotonic()
        await ear.wait(20)
        assert time.monotonic() - began < 5


async def test_news_go_straight_to_who_follows_that_very_prediction_here(logs: list[EventLog]) -> None:
    here, elsewhere = LogWakes(logs[0], SystemClock()), LogWakes(logs[1], SystemClock())
    done = Prediction("p1", "succeeded")
    assert not here.hand_over("att_1", done)
    async with here.listening("att_1", "p1") as ear:
        assert not elsewhere.hand_over("att_1", done)
        assert not here.hand_over("att_1", Prediction("p2", "succeeded"))
        assert here.hand_over("att_1", done)
        assert await ear.wait(20) is done
        assert await ear.wait(0) is None
    assert not here.hand_over("att_1", done)


async def test_three_generators_share_one_limit(logs: list[EventLog]) -> None:
    """Six generations, three replicas, two in flight over all of them, and their starts apart."""
    world = World(clock=SystemClock(), looks=1, delay=0.1)
    replicas = []
    for log in logs:
        lane = SharedLane(LogCell(log, lane="replicate"), SystemClock(), world.journal, delay=world.delay)
        ports = replace(world.ports(), lane=lane)
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
    await eventually(lambda: len(world.said(Succeeded)) == 6, within=30)
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

    async def create(self, order: Order, *, timeout: float) -> Outcome:  # noqa: ASYNC109
        outcome = await self._create(order, timeout=timeout)
        self.peak = max(self.peak, sum(not run.final for run in self._world.provider.runs.values()))
        return outcome
