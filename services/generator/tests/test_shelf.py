"""The shelf while the provider hangs, fails in part, or is asked for more than it should remember."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Any, TypeVar

import pytest
from generator_world import World

from generator.core.models.default_models import StandardModels
from generator.core.models.domain.prices import Price, PriceTable
from generator.core.models.model_catalog import Shelf
from generator.core.models.provider_cache import BACK_OFF, LONGEST, PATIENCE, Memory
from generator.core.runs.ports import Collection, Look, Model, Photo
from generator.edges.models import ModelService
from generator.edges.scenes import PlanService
from generator.edges.webhooks import WebhookService
from rushes.generator.v1 import models_pb2, plan_pb2, webhooks_pb2
from servicekit.errors import AppError, Forbidden, Limited, NotFound, TimedOut, Unauthenticated, Unavailable
from servicekit.testing import TestClock, eventually

T = TypeVar("T")
TTL = 60.0
CONTEXT: Any = None
"""No servicer looks at it."""


class Provider:
    """A library that hangs, fails, or answers; `asked` counts."""

    def __init__(self) -> None:
        self.asked = 0
        self.answers = asyncio.Event()
        self.answers.set()
        self.fails: dict[str, AppError] = {}
        self.names = ("one", "two")

    async def _say(self, what: str) -> None:
        self.asked += 1
        await self.answers.wait()
        if error := self.fails.get(what) or self.fails.get("all"):
            raise error

    async def collections(self) -> list[Collection]:
        await self._say("collections")
        return [Collection(slug, slug, "") for slug in ("text-to-video", "image-to-video")]

    async def models_in(self, slug: str) -> list[Model]:
        await self._say(slug)
        return [model(slug)]

    async def model(self, owner: str, name: str) -> Model:
        await self._say(f"{owner}/{name}")
        return model(name, owner)

    async def version(self, owner: str, name: str, version: str) -> Any:
        await self._say(version)
        return {}


def model(name: str, owner: str = "rushes") -> Model:
    return Model(owner, name, "", "", 0, True, "v", None, {})


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
async def shelf(provider: Provider, clock: TestClock) -> AsyncIterator[Shelf]:
    shelf = Shelf(provider, clock, ttl=TTL)
    yield shelf
    await shelf.stop()


async def after(clock: TestClock, seconds: float, work: Awaitable[T], *, sleepers: int = 1) -> T:
    """What the work answers when the time moves so far; it must not answer before."""
    task = asyncio.ensure_future(work)
    await eventually(lambda: clock.sleeping >= sleepers)
    assert not task.done()
    clock.advance(seconds)
    return await asyncio.wait_for(task, 5.0)


async def test_what_is_known_is_answered_within_a_second_while_the_provider_hangs(
    shelf: Shelf, provider: Provider, clock: TestClock
) -> None:
    assert not (await shelf.collections()).stale
    clock.advance(TTL)
    provider.answers.clear()
    told = await after(clock, PATIENCE, shelf.collections())
    assert told.stale
    assert len(told.value) == 2
    for _ in range(5):  # nobody pays for it again
        assert (await asyncio.wait_for(shelf.collections(), 5.0)).stale
    assert provider.asked == 2
    clock.advance(BACK_OFF)
    assert (await after(clock, PATIENCE, shelf.collections())).stale
    assert provider.asked == 2, "the first question is still under way"
    provider.answers.set()

    async def fresh() -> None:
        assert not (await shelf.collections()).stale

    await eventually(fresh)
    assert provider.asked == 2


async def test_the_whole_list_waits_for_one_patience_not_for_one_each(
    shelf: Shelf, provider: Provider, clock: TestClock
) -> None:
    await shelf.models()
    clock.advance(TTL)
    provider.answers.clear()
    listing = asyncio.ensure_future(shelf.models())
    for sleepers in (1, 2):  # for the collections, then for both groups of models at once
        await eventually(lambda wanted=sleepers: clock.sleeping == wanted)
        clock.advance(PATIENCE)
    told = await asyncio.wait_for(listing, 5.0)
    assert told.stale
    assert len(told.value) == 2


async def test_all_wait_for_the_same_answer_and_go_on_after_those_who_left(
    shelf: Shelf, provider: Provider, clock: TestClock
) -> None:
    provider.answers.clear()
    first = asyncio.ensure_future(shelf.model("a", "b"))
    others = [asyncio.ensure_future(shelf.model("a", "b")) for _ in range(5)]
    await eventually(lambda: clock.sleeping == 6)
    first.cancel()
    provider.answers.set()
    assert {each.model.name for each in await asyncio.gather(*others)} == {"b"}
    assert provider.asked == 1


async def test_what_was_never_known_is_given_up_before_the_callers_give_up(
    shelf: Shelf, provider: Provider, clock: TestClock
) -> None:
    provider.answers.clear()
    with pytest.raises(TimedOut, match="try again"):
        await after(clock, LONGEST, shelf.model("a", "b"))


async def test_a_failure_is_not_asked_about_again_at_once(
    shelf: Shelf, provider: Provider, clock: TestClock
) -> None:
    await shelf.model("a", "b")
    clock.advance(TTL)
    provider.fails["a/b"] = Limited("slow down")
    for _ in range(3):
        await shelf.model("a", "b")
    assert provider.asked == 2
    provider.fails["a/b"] = NotFound("gone")
    clock.advance(BACK_OFF)
    for _ in range(2):
        with pytest.raises(NotFound):
            await shelf.model("a", "b")


async def test_a_collection_that_fails_is_left_out_and_all_that_fail_raise(
    shelf: Shelf, provider: Provider
) -> None:
    provider.fails["text-to-video"] = Unavailable("away")
    told = await shelf.models()
    assert told.stale
    assert [each.model.name for each in told.value] == ["image-to-video"]
    with pytest.raises(Unavailable):
        await shelf.models("text-to-video")
    provider.fails.clear()
    assert not (await shelf.models()).stale


async def test_all_collections_that_fail_are_an_error(shelf: Shelf, provider: Provider) -> None:
    provider.fails |= {slug: Unavailable("away") for slug in ("text-to-video", "image-to-video")}
    with pytest.raises(Unavailable):
        await shelf.models()


@pytest.mark.parametrize(
    "trouble", [Unavailable("x"), TimedOut("x"), Limited("x"), Unauthenticated("x"), Forbidden("x")]
)
async def test_a_blip_chooses_no_other_model(shelf: Shelf, provider: Provider, trouble: AppError) -> None:
    provider.fails["all"] = trouble
    with pytest.raises(type(trouble)):
        await StandardModels(shelf).scene()
    provider.fails = {"rushes/camera-move": NotFound("none")}
    assert await StandardModels(shelf).scene() == "google/veo-3-fast"


async def test_only_what_was_used_last_is_remembered(clock: TestClock) -> None:
    memory = Memory(clock, ttl=TTL, most=3)

    async def read(key: int) -> None:
        async def fetch() -> int:
            return key

        await memory.get(key, fetch)

    for key in (1, 2, 3, 1, 4):
        await read(key)
    assert [key for key in range(1, 5) if memory.peek(key)] == [1, 3, 4]
    for key in range(100):
        await read(key)
    assert sum(memory.peek(key) is not None for key in range(100)) == 3


async def test_stopping_ends_what_is_being_read(shelf: Shelf, provider: Provider) -> None:
    provider.answers.clear()
    reading = asyncio.ensure_future(shelf.collections())
    await eventually(lambda: provider.asked == 1)
    await asyncio.wait_for(shelf.stop(), 5.0)
    with pytest.raises(TimedOut):
        await asyncio.wait_for(reading, 5.0)


@pytest.mark.parametrize(
    "refusal", [Unauthenticated("401 invalid token"), Unauthenticated("402 no credit"), Forbidden("403")]
)
async def test_what_the_provider_says_of_our_token_is_not_said_of_the_callers_key(
    shelf: Shelf, provider: Provider, refusal: AppError
) -> None:
    provider.fails["all"] = refusal
    models = ModelService(shelf, PriceTable({}, {}, Price("made up")), provider="replicate", deadline=60.0)
    plans = PlanService(_NoLooks(), StandardModels(shelf))
    asked: list[Awaitable[Any]] = [
        models.ListModels(models_pb2.ListModelsRequest(), CONTEXT),
        models.ListCollections(models_pb2.ListCollectionsRequest(), CONTEXT),
        models.GetModel(models_pb2.GetModelRequest(owner="a", name="b"), CONTEXT),
        models.GetModelSchema(models_pb2.GetModelSchemaRequest(owner="a", name="b"), CONTEXT),
        models.PrepareInput(models_pb2.PrepareInputRequest(model="a/b"), CONTEXT),
        plans.PlanScenes(plan_pb2.PlanScenesRequest(scene_count=1), CONTEXT),
    ]
    for each in asked:
        with pytest.raises(Unavailable, match=r"not yours.*REPLICATE_API_TOKEN") as told:
            await each
        assert refusal.message in told.value.message


async def test_a_secret_that_we_may_not_read_makes_no_webhook_a_forgery() -> None:
    class Refused:
        async def webhook_secret(self, *, fresh: bool = False) -> str:
            raise Unauthenticated("401 invalid token")

    webhooks = WebhookService(World().ports(), Refused())
    with pytest.raises(Unavailable, match="REPLICATE_API_TOKEN"):
        await webhooks.ReceiveWebhook(webhooks_pb2.ReceiveWebhookRequest(), CONTEXT)


class _NoLooks:
    async def look(self, photos: Sequence[Photo]) -> dict[str, Look]:
        return {}
