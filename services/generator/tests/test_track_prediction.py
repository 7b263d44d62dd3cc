"""What is paid for is tracked until the provider has recorded how it ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from generator_world import World

from generator.core.runs.domain.events import PredictionCanceled, PredictionFailed, PredictionSucceeded
from generator.core.runs.domain.prediction import Prediction
from generator.core.runs.publish_outcome import INLINE_WAITS
from servicekit.errors import AppError, Limited, NotFound, TimedOut, Unavailable

LATE = 1800.0 + 60.0 + 5.0
"""Seconds after the intent: past the deadline and what the provider gets beyond it."""


class Troubled:
    """Stands before the provider's `get`: the first reads end with these; `at` has their times."""

    def __init__(
        self, world: World, *errors: AppError, then: Callable[[Prediction], Prediction] | None = None
    ):
        self._world = world
        self._errors = list(errors)
        self._then = then or (lambda run: run)
        self._get = world.provider.get
        self.at: list[float] = []
        world.provider.get = self.get  # type: ignore[method-assign]

    async def get(self, prediction_id: str) -> Prediction:
        self.at.append(self._world.clock.monotonic())
        if self._errors:
            raise self._errors.pop(0)
        return self._then(await self._get(prediction_id))


async def running(world: World) -> str:
    """A generation whose run is recorded, and which nobody tracks any more."""
    generation = world.attempts.add()
    assert not await world.deliver(generation, kill_at=8)
    assert world.attempts.generations[generation].attempts[0].prediction_id == "p0"
    return generation


@pytest.mark.parametrize(
    "error", [Unavailable("503"), TimedOut("no answer"), Limited("429", retry_after=4.0)]
)
async def test_a_failed_read_past_the_deadline_throws_nothing_away(error: AppError) -> None:
    world = World(reads=0)
    generation = await running(world)
    await world.provider.get("p0")  # it succeeds while we are away
    world.clock.advance(LATE)
    Troubled(world, error)
    assert await world.deliver(generation)
    assert world.published(PredictionSucceeded)
    assert not world.published(PredictionFailed) + world.published(PredictionCanceled)


async def test_a_run_that_is_not_found_for_some_seconds_is_not_gone() -> None:
    world = World(reads=0)
    generation = await running(world)
    polls = Troubled(world, *[NotFound("the provider's replica lags")] * 7)
    assert await world.deliver(generation)
    assert 8 < polls.at[6] - polls.at[0] < 15
    assert world.published(PredictionSucceeded)
    assert not world.published(PredictionFailed)


async def test_a_delivery_that_cannot_read_past_the_deadline_comes_back() -> None:
    world = World(reads=0)
    generation = await running(world)
    await world.provider.get("p0")
    world.clock.advance(LATE)
    world.provider.away = True
    assert not await world.deliver(generation)
    assert not world.published(PredictionFailed)
    world.provider.away = False
    assert await world.deliver(generation)
    assert world.published(PredictionSucceeded)


async def test_past_the_deadline_what_the_provider_knows_no_longer_is_gone() -> None:
    world = World(reads=0)
    generation = await running(world)
    world.clock.advance(LATE)
    Troubled(world, *(NotFound("p0") for _ in range(20)))
    assert await world.deliver(generation)
    assert [event.error.code for event in world.published(PredictionFailed)] == ["gone"]


@pytest.mark.parametrize("blind", [0, 2], ids=["read at once", "unreadable for a while"])
async def test_a_run_that_ends_well_while_it_is_stopped_has_succeeded(blind: int) -> None:
    world = World(reads=10**9)
    generation = await running(world)
    world.clock.advance(LATE)
    troubled = Troubled(world)

    async def too_late(prediction_id: str) -> None:
        run = world.provider.runs[prediction_id]
        world.provider.runs[prediction_id] = replace(run, status="succeeded", output="https://x.test/a.mp4")
        troubled._errors = [Unavailable("503")] * blind

    world.provider.cancel = too_late  # type: ignore[method-assign]
    assert await world.deliver(generation)
    assert world.published(PredictionSucceeded)
    assert not world.published(PredictionFailed)


async def test_a_poller_pauses_as_long_as_the_provider_demands() -> None:
    world = World(reads=3)
    generation = await running(world)
    polls = Troubled(world, Limited("429", retry_after=31.0))
    assert await world.deliver(generation)
    assert polls.at[1] - polls.at[0] >= 31.0
    assert polls.at[2] - polls.at[1] < 5.0, "the pause is over"


async def test_a_wake_up_does_not_shorten_the_pause() -> None:
    world = World(reads=3)
    generation = await running(world)
    polls = Troubled(world, Limited("429", retry_after=31.0))
    world.woken_after = [3.0, 5.0]
    assert await world.deliver(generation)
    assert polls.at[1] - polls.at[0] >= 31.0


INLINE = "data:image/png;base64," + "A" * 10_000


@pytest.mark.parametrize("reads", range(1, len(INLINE_WAITS) + 1))
async def test_an_output_too_large_to_carry_is_fetched_by_its_later_address(reads: int) -> None:
    world = World(reads=0)
    world.largest_event = 5_000
    world.provider.ends = [Prediction("", "succeeded", [INLINE])]
    generation = await running(world)
    troubled = Troubled(
        world,
        then=lambda run: replace(run, output="https://x.test/a.png") if len(troubled.at) > reads else run,
    )
    assert await world.deliver(generation)
    (succeeded,) = world.published(PredictionSucceeded)
    assert succeeded.addresses == ("https://x.test/a.png",)
    assert not world.published(PredictionFailed)
    assert len(troubled.at) == reads + 1
