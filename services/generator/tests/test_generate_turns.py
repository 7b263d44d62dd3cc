"""Only what is to be bought takes a turn: what is paid for waits for none, what was stopped keeps nobody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from generator_world import World

from events.topology import streams
from generator.core.facts import Succeeded
from generator.core.generate import Request, generate
from generator.core.pacing import LaneState
from generator.core.ports import State, Step, Work
from generator.edges.events import consumers
from rushes.events.v1 import events_pb2
from servicekit.clock import SystemClock
from servicekit.events import Event, EventLog
from servicekit.testing import NatsFixture, eventually


async def lost(world: World) -> str:
    """A generation whose run has succeeded, and whose output was lost on the way here."""
    generation = world.attempts.add()
    await world.clock.run(generate(world.ports(), Request(generation)))
    book = world.attempts.generations[generation]
    assert book.attempts[0].state is State.SUCCEEDED
    book.state, book.rounds = "fetching", 2
    world.provider.starts.clear()
    return generation


async def test_what_is_paid_for_is_fetched_once_more_through_a_closed_lane() -> None:
    world = World()
    generation = await lost(world)
    await world.ports().lane.close("402 no credit")
    world.clock.elapsed += 60.0  # the next turn would be a probe
    before = LaneState.load(world.cell.value)
    assert await world.deliver(generation, number=2)
    assert [fact.whose.round for fact in world.said(Succeeded)] == [1, 2]
    assert LaneState.load(world.cell.value) == before, "the probe is left to who tries the door"
    (probe,) = await world.clock.run(world.ports().lane.turn())
    assert probe.probe


async def test_what_was_stopped_while_it_waited_takes_no_turn() -> None:
    world = World()
    stopped = [world.attempts.add(state="canceled") for _ in range(100)]
    began = world.clock.elapsed
    for each in stopped:
        (result,) = await world.clock.run(generate(world.ports(), Request(each, assets=("ast_1",))))
        assert result is None
    assert world.clock.elapsed == began
    assert (world.prepared, world.cell.value) == ([], None)
    await world.deliver(world.attempts.add())
    assert world.provider.starts == [began]


async def test_what_becomes_due_after_the_question_is_not_sent_out_of_turn() -> None:
    """Catalog says FOLLOW, and SUBMIT a moment later: the run ended in between, and may be tried again."""
    world = World()
    generation = world.attempts.add()
    ahead, asked = world.attempts.ahead, []

    async def changes(generation_id: str) -> Work:
        asked.append(generation_id)
        return Work(Step.FOLLOW) if len(asked) == 1 else await ahead(generation_id)

    world.attempts.ahead = changes  # type: ignore[method-assign]
    before = world.clock.elapsed
    await world.clock.run(world.ports().lane.turn())  # the next turn is a second later
    assert await world.deliver(generation)
    assert world.provider.starts == [before + 1.0]
    assert (world.provider.charges, world.attempts.intents) == (1, 2)
    assert [each.code for each in world.attempts.generations[generation].failures] == ["no_turn"]
    assert world.said(Succeeded)


@pytest.fixture
async def log(nats: NatsFixture) -> AsyncIterator[EventLog]:
    log = EventLog(nats.url, service="generator", clock=SystemClock(), streams=streams())
    await log.start()
    yield log
    await log.stop()


async def test_what_is_paid_for_does_not_stand_in_a_full_queue(log: EventLog) -> None:
    world = World(clock=SystemClock(), looks=10**9, delay=0.0)
    queue = [world.attempts.add() for _ in range(20)]
    paid = world.attempts.add()
    work = await world.attempts.begin(paid)
    assert work.attempt is not None
    book = world.attempts.generations[paid]
    book.attempts[0] = replace(work.attempt, state=State.SUCCEEDED, prediction_id="paid")
    book.state = "fetching"
    parts = consumers(log, world.ports(), provider="replicate", concurrency=2)
    for part in parts:
        await part.start()
    for each in queue:
        body = events_pb2.GenerationRequested(generation_id=each, round=1).SerializeToString()
        await log.publish(Event(f"{each}:1", "generation.requested", f"replicate.{each}", body))
    await eventually(lambda: world.provider.charges == 2)  # both slots are taken, for ever
    run = world.provider.runs["p0"]
    world.provider.runs["paid"] = replace(run, id="paid", status="succeeded", output="https://x.test/a.mp4")
    body = events_pb2.GenerationFetchRequested(generation_id=paid, round=2).SerializeToString()
    await log.publish(Event(f"{paid}:2", "generation.fetch_requested", f"replicate.{paid}", body))
    await eventually(lambda: [fact.whose.round for fact in world.said(Succeeded)] == [2])
    assert world.provider.charges == 3, "two in flight, and the one of before"
    for part in parts:
        await part.stop()
