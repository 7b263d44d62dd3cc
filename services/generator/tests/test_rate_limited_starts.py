"""Only what is to be bought waits for a start: what is paid for does not, and what was stopped takes none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from generator_world import World

from events.topology import streams
from generator.core.runs.domain.attempt import AttemptState, NextStep, NextStepAnswer
from generator.core.runs.domain.events import PredictionSucceeded
from generator.core.runs.domain.rate_limit_state import RateLimitState
from generator.core.runs.run_generation import GenerationRequest, run_generation
from generator.edges.events import consumers
from rushes.events.v1 import events_pb2
from servicekit.clock import SystemClock
from servicekit.events import Event, EventLog
from servicekit.testing import NatsFixture, eventually


async def lost(world: World) -> str:
    """A generation whose run has succeeded, and whose output was lost on the way here."""
    generation = world.attempts.add()
    await world.clock.run(run_generation(world.ports(), GenerationRequest(generation)))
    record = world.attempts.generations[generation]
    assert record.attempts[0].state is AttemptState.SUCCEEDED
    record.state, record.rounds = "fetching", 2
    world.provider.starts.clear()
    return generation


async def test_what_is_paid_for_is_fetched_once_more_while_the_breaker_is_tripped() -> None:
    world = World()
    generation = await lost(world)
    await world.ports().limiter.trip("402 no credit")
    world.clock.advance(60.0)  # the next start would be a probe
    before = RateLimitState.load(world.cell.value)
    assert await world.deliver(generation, round_=2)
    assert [event.prediction.round for event in world.published(PredictionSucceeded)] == [1, 2]
    assert RateLimitState.load(world.cell.value) == before, "the probe is left to a submission"
    (probe,) = await world.clock.run(world.ports().limiter.acquire())
    assert probe.probe


async def test_what_was_stopped_while_it_waited_takes_no_start() -> None:
    world = World()
    stopped = [world.attempts.add(state="canceled") for _ in range(100)]
    began = world.clock.monotonic()
    for each in stopped:
        (result,) = await world.clock.run(
            run_generation(world.ports(), GenerationRequest(each, asset_ids=("ast_1",)))
        )
        assert result is None
    assert world.clock.monotonic() == began
    assert (world.uploaded_ahead, world.cell.value) == ([], None)
    await world.deliver(world.attempts.add())
    assert world.provider.starts == [began]


async def test_what_becomes_due_after_next_step_was_read_waits_for_a_start() -> None:
    """Catalog says FOLLOW, and SUBMIT a moment later: the run ended in between, and may be tried again."""
    world = World()
    generation = world.attempts.add()
    next_step, calls = world.attempts.next_step, []

    async def changes(generation_id: str) -> NextStepAnswer:
        calls.append(generation_id)
        return NextStepAnswer(NextStep.FOLLOW) if len(calls) == 1 else await next_step(generation_id)

    world.attempts.next_step = changes  # type: ignore[method-assign]
    before = world.clock.monotonic()
    await world.clock.run(world.ports().limiter.acquire())  # the next start is a second later
    assert await world.deliver(generation)
    assert world.provider.starts == [before + 1.0]
    assert (world.provider.charges, world.attempts.intents) == (1, 2)
    assert [each.code for each in world.attempts.generations[generation].errors] == ["no_turn"]
    assert world.published(PredictionSucceeded)


@pytest.fixture
async def log(nats: NatsFixture) -> AsyncIterator[EventLog]:
    log = EventLog(nats.url, service="generator", clock=SystemClock(), streams=streams())
    await log.start()
    yield log
    await log.stop()


async def test_what_is_paid_for_does_not_stand_in_a_full_queue(log: EventLog) -> None:
    world = World(clock=SystemClock(), reads=10**9, delay=0.0)
    queue = [world.attempts.add() for _ in range(20)]
    paid = world.attempts.add()
    answer = await world.attempts.begin(paid)
    assert answer.attempt is not None
    record = world.attempts.generations[paid]
    record.attempts[0] = replace(answer.attempt, state=AttemptState.SUCCEEDED, prediction_id="paid")
    record.state = "fetching"
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
    await eventually(
        lambda: [event.prediction.round for event in world.published(PredictionSucceeded)] == [2]
    )
    assert world.provider.charges == 3, "two in flight, and the one of before"
    for part in parts:
        await part.stop()
