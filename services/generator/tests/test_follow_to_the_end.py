"""What is paid for is looked for until the provider has said how it ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from generator_world import World

from generator.core.runs.domain.events import Canceled, Failed, Succeeded
from generator.core.runs.domain.prediction import Prediction
from generator.core.runs.track_prediction import INLINE_WAITS
from servicekit.errors import AppError, Limited, NotFound, TimedOut, Unavailable

LATE = 1800.0 + 60.0 + 5.0
"""Seconds after the intent: past the deadline and what the provider gets beyond it."""


class Troubled:
    """Stands before the provider's `get`: the first looks end with these, and when each look was is kept."""

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
        self.at.append(self._world.clock.elapsed)
        if self._errors:
            raise self._errors.pop(0)
        return self._then(await self._get(prediction_id))


async def running(world: World) -> str:
    """A generation whose run is recorded, and which nobody follows any more."""
    generation = world.attempts.add()
    assert not await world.deliver(generation, kill_at=8)
    assert world.attempts.generations[generation].attempts[0].prediction_id == "p0"
    return generation


@pytest.mark.parametrize(
    "trouble", [Unavailable("503"), TimedOut("no answer"), Limited("429", retry_after=4.0)]
)
async def test_a_failed_look_past_the_deadline_throws_nothing_away(trouble: AppError) -> None:
    world = World(looks=0)
    generation = await running(world)
    await world.provider.get("p0")  # it succeeds while we are away
    world.clock.elapsed += LATE
    Troubled(world, trouble)
    assert await world.deliver(generation)
    assert world.said(Succeeded)
    assert not world.said(Failed) + world.said(Canceled)


async def test_a_run_that_is_not_found_for_some_seconds_is_not_gone() -> None:
    world = World(looks=0)
    generation = await running(world)
    looks = Troubled(world, *[NotFound("the provider's replica lags")] * 7)
    assert await world.deliver(generation)
    assert 8 < looks.at[6] - looks.at[0] < 15
    assert world.said(Succeeded)
    assert not world.said(Failed)


async def test_who_cannot_look_past_the_deadline_comes_back() -> None:
    world = World(looks=0)
    generation = await running(world)
    await world.provider.get("p0")
    world.clock.elapsed += LATE
    world.provider.away = True
    assert not await world.deliver(generation)
    assert not world.said(Failed)
    world.provider.away = False
    assert await world.deliver(generation)
    assert world.said(Succeeded)


async def test_past_the_deadline_what_the_provider_knows_no_longer_is_gone() -> None:
    world = World(looks=0)
    generation = await running(world)
    world.clock.elapsed += LATE
    Troubled(world, *(NotFound("p0") for _ in range(20)))
    assert await world.deliver(generation)
    assert [fact.failure.code for fact in world.said(Failed)] == ["gone"]


@pytest.mark.parametrize("blind", [0, 2], ids=["read at once", "unreadable for a while"])
async def test_a_run_that_ends_well_while_it_is_stopped_is_kept(blind: int) -> None:
    world = World(looks=10**9)
    generation = await running(world)
    world.clock.elapsed += LATE
    troubled = Troubled(world)

    async def too_late(prediction_id: str) -> None:
        run = world.provider.runs[prediction_id]
        world.provider.runs[prediction_id] = replace(run, status="succeeded", output="https://x.test/a.mp4")
        troubled._errors = [Unavailable("503")] * blind

    world.provider.cancel = too_late  # type: ignore[method-assign]
    assert await world.deliver(generation)
    assert world.said(Succeeded)
    assert not world.said(Failed)


async def test_a_follower_rests_as_long_as_the_provider_asks() -> None:
    world = World(looks=3)
    generation = await running(world)
    looks = Troubled(world, Limited("429", retry_after=31.0))
    assert await world.deliver(generation)
    assert looks.at[1] - looks.at[0] >= 31.0
    assert looks.at[2] - looks.at[1] < 5.0, "the rest is over"


async def test_a_poke_does_not_shorten_the_rest() -> None:
    world = World(looks=3)
    generation = await running(world)
    looks = Troubled(world, Limited("429", retry_after=31.0))
    world.woken_after = [3.0, 5.0]
    assert await world.deliver(generation)
    assert looks.at[1] - looks.at[0] >= 31.0


INLINE = "data:image/png;base64," + "A" * 10_000


@pytest.mark.parametrize("looks", range(1, len(INLINE_WAITS) + 1))
async def test_an_output_too_large_to_carry_is_fetched_by_its_later_address(looks: int) -> None:
    world = World(looks=0)
    world.largest_fact = 5_000
    world.provider.ends = [Prediction("", "succeeded", [INLINE])]
    generation = await running(world)
    seen = Troubled(
        world, then=lambda run: replace(run, output="https://x.test/a.png") if len(seen.at) > looks else run
    )
    assert await world.deliver(generation)
    (succeeded,) = world.said(Succeeded)
    assert succeeded.addresses == ("https://x.test/a.png",)
    assert not world.said(Failed)
    assert len(seen.at) == looks + 1
