"""A wall clock that is set, by NTP or after a pause of the machine, neither stops submissions nor runs."""

from __future__ import annotations

from itertools import pairwise

import pytest
from generator_world import World
from hypothesis import given, settings
from hypothesis import strategies as st

from generator.core.runs.domain import rate_limit_state as limits
from generator.core.runs.domain.events import PredictionCanceled, PredictionFailed, PredictionSucceeded
from generator.core.runs.domain.prediction import Prediction
from generator.core.runs.domain.rate_limit_state import (
    CLOCKS_APART,
    RateLimitState,
    StartDenied,
    StartGranted,
)
from generator.core.runs.run_generation import GenerationRequest, run_generation
from servicekit.errors import Limited

BACK = pytest.mark.parametrize("back", [0.5, 5.0, 35.0, 300.0, 86_400.0, 1e9])


@BACK
async def test_starts_are_as_far_apart_as_ever(back: float) -> None:
    world = World()
    await world.settle(world.attempts.add())
    await world.clock.run(world.limiter.acquire())
    before = world.clock.monotonic()
    world.clock.wall_offset -= back
    starts: list[float] = []

    async def start() -> None:
        await world.limiter.acquire()
        starts.append(world.clock.monotonic() - before)

    results = await world.clock.run(*(start() for _ in range(4)))
    assert results == [None] * 4
    assert [later - earlier for earlier, later in pairwise(starts)] == pytest.approx([1.0] * 3)
    assert starts[0] <= 1.0 + CLOCKS_APART


@BACK
async def test_a_429_blocks_for_its_wait_and_no_longer(back: float) -> None:
    world = World()
    await world.limiter.block(9.0, 0.0)
    world.clock.advance(4.0)
    world.clock.wall_offset -= back
    (answer,) = await world.clock.run(world.limiter.acquire())
    assert isinstance(answer, StartGranted)
    assert 9.0 <= world.clock.monotonic() <= 4.0 + 9.0 + CLOCKS_APART


@BACK
async def test_a_block_that_is_over_stays_over(back: float) -> None:
    world = World()
    await world.limiter.block(3601.0, 10.0)
    world.clock.advance(4000.0)
    await world.clock.run(world.limiter.acquire())
    world.clock.advance(100.0)
    before = world.clock.monotonic()
    world.clock.wall_offset -= back
    await world.clock.run(world.limiter.acquire())
    assert world.clock.monotonic() - before <= 1.0 + CLOCKS_APART


@BACK
async def test_a_tripped_breaker_is_probed_in_time(back: float) -> None:
    world = World()
    await world.limiter.trip("402 no credit")
    world.clock.wall_offset -= back
    (denied,) = await world.clock.run(world.limiter.acquire())
    assert isinstance(denied, Limited)
    assert denied.retry_after is not None
    assert denied.retry_after <= 30.0 + CLOCKS_APART
    world.clock.advance(denied.retry_after)
    (probe,) = await world.clock.run(world.limiter.acquire())
    assert probe.probe


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(0, 20),
            st.sampled_from(["take", "block", "trip", "reset", "set back"]),
            st.floats(0, 1e7),
        ),
        max_size=40,
    )
)
def test_no_wait_is_longer_than_what_was_ever_rightful(steps: list[tuple[float, str, float]]) -> None:
    """Than the wait for the next start when the last one was taken, or the one that the provider demanded."""
    state, true_time, back = RateLimitState(), 1e9, 0.0
    last_start, ahead = 0.0, 0.0
    for passed, what, amount in steps:
        true_time += passed
        now = true_time - back
        if what == "set back":
            back += amount
        elif what == "block":
            state = limits.block(state, now, wait=7.0)
        elif what == "trip":
            state = limits.trip(state, now, reason="402", probe_every=30.0)
        elif what == "reset":
            state = limits.reset(state)
        else:
            state, answer = take(state, now)
            assert answer.wait <= (30.0 if state.tripped else max(ahead, 7.0)) + CLOCKS_APART + 1e-3
            if isinstance(answer, StartDenied):
                assert isinstance(take(state, now + answer.wait + 1e-3)[1], StartGranted)
            elif not answer.probe:
                assert true_time + answer.wait >= last_start + 1.0 - 1e-3
                last_start, ahead = true_time + answer.wait, answer.wait + 1.0
        state = RateLimitState.load(state.dump())


def take(state: RateLimitState, now: float) -> tuple[RateLimitState, StartGranted | StartDenied]:
    return limits.take_start(state, now, delay=1.0, probe_every=30.0, patience=20.0)


def test_the_state_of_an_older_release_is_believed() -> None:
    old = {"next_start": 1001.0, "blocked_until": 1040.0, "spacing": 0.0, "spacing_until": 0.0, "tripped": ""}
    _, answer = take(RateLimitState.load(old), 1000.0)
    assert answer.wait == 40.0


@pytest.mark.parametrize("back", [30.0, 300.0, 86_400.0])
@pytest.mark.parametrize("echo", [True, False], ids=["webhook echoed", "by input and time"])
async def test_an_attempt_without_an_answer_is_reconciled_in_time(back: float, echo: bool) -> None:
    world = World(echo=echo, webhooks=echo)
    generation = world.attempts.add()
    world.provider.script = ["reset"]
    assert not await world.deliver(generation)
    before = world.clock.monotonic()
    world.clock.wall_offset -= back
    assert await world.deliver(generation)
    assert world.clock.monotonic() - before <= 60.0
    assert world.provider.charges == 1
    assert world.published(PredictionSucceeded)


@pytest.mark.parametrize("offset", [-86_400.0, -300.0, 300.0, 86_400.0])
async def test_a_run_is_stopped_at_its_deadline_and_no_sooner(offset: float) -> None:
    world = World(reads=0)
    world.provider.ends = [Prediction("", "pondering") for _ in range(5000)]
    generation = world.attempts.add()

    async def set_clock() -> None:
        await world.clock.sleep(60.0)
        world.clock.wall_offset += offset

    began = world.clock.monotonic()
    await world.clock.run(run_generation(world.ports(), GenerationRequest(generation)), set_clock())
    assert world.published(PredictionCanceled) or world.published(PredictionFailed)
    assert 1860.0 <= world.clock.monotonic() - began <= 1880.0
