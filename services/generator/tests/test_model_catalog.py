"""The model catalog while the provider hangs or fails in part, and when there is too much to cache."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Any, TypeVar

import pytest
from generator_world import World

from generator.core.models.domain.prices import Price, PriceTable
from generator.core.models.model_catalog import Collection, DefaultModels, Model, ModelCatalog
from generator.core.models.provider_cache import BACK_OFF, FIRST_PATIENCE, STALE_PATIENCE, ProviderCache
from generator.core.scenes.domain.photos import Photo, PhotoFeatures
from generator.edges.models import ModelService
from generator.edges.scenes import PlanService
from generator.edges.webhooks import WebhookService
from rushes.generator.v1 import models_pb2, plan_pb2, webhooks_pb2
from servicekit.errors import AppError, Forbidden, Limited, NotFound, TimedOut, Unauthenticated, Unavailable
from servicekit.testing import SimulatedClock, eventually

T = TypeVar("T")
TTL = 60.0
CONTEXT: Any = None
"""No servicer uses it."""


class FakeModelSource:
    """A `ModelSource` that hangs, fails, or answers; `calls` counts."""

    def __init__(self) -> None:
        self.calls = 0
        self.answers = asyncio.Event()
        self.answers.set()
        self.fails: dict[str, AppError] = {}
        self.names = ("one", "two")

    async def _answer(self, what: str) -> None:
        self.calls += 1
        await self.answers.wait()
        if error := self.fails.get(what) or self.fails.get("all"):
            raise error

    async def collections(self) -> list[Collection]:
        await self._answer("collections")
        return [Collection(slug, slug, "") for slug in ("text-to-video", "image-to-video")]

    async def models_in(self, slug: str) -> list[Model]:
        await self._answer(slug)
        return [model(slug)]

    async def model(self, owner: str, name: str) -> Model:
        await self._answer(f"{owner}/{name}")
        return model(name, owner)

    async def version_schema(self, owner: str, name: str, version: str) -> Any:
        await self._answer(version)
        return {}


def model(name: str, owner: str = "rushes") -> Model:
    return Model(owner, name, "", "", 0, True, "v", None, {})


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock()


@pytest.fixture
def source() -> FakeModelSource:
    return FakeModelSource()


@pytest.fixture
async def catalog(source: FakeModelSource, clock: SimulatedClock) -> AsyncIterator[ModelCatalog]:
    catalog = ModelCatalog(source, clock, ttl=TTL)
    yield catalog
    await catalog.stop()


async def after(clock: SimulatedClock, seconds: float, work: Awaitable[T], *, sleepers: int = 1) -> T:
    """What the work answers when the time moves so far; it must not answer before."""
    task = asyncio.ensure_future(work)
    await eventually(lambda: clock.sleeping >= sleepers)
    assert not task.done()
    clock.advance(seconds)
    return await asyncio.wait_for(task, 5.0)


async def test_what_is_cached_is_answered_within_a_second_while_the_provider_hangs(
    catalog: ModelCatalog, source: FakeModelSource, clock: SimulatedClock
) -> None:
    assert not (await catalog.collections()).stale
    clock.advance(TTL)
    source.answers.clear()
    answer = await after(clock, STALE_PATIENCE, catalog.collections())
    assert answer.stale
    assert len(answer.value) == 2
    for _ in range(5):  # nobody pays for it again
        assert (await asyncio.wait_for(catalog.collections(), 5.0)).stale
    assert source.calls == 2
    clock.advance(BACK_OFF)
    assert (await after(clock, STALE_PATIENCE, catalog.collections())).stale
    assert source.calls == 2, "the first call is still under way"
    source.answers.set()

    async def fresh() -> None:
        assert not (await catalog.collections()).stale

    await eventually(fresh)
    assert source.calls == 2


async def test_the_whole_list_waits_for_one_patience_not_for_one_each(
    catalog: ModelCatalog, source: FakeModelSource, clock: SimulatedClock
) -> None:
    await catalog.models()
    clock.advance(TTL)
    source.answers.clear()
    listing = asyncio.ensure_future(catalog.models())
    for sleepers in (1, 2):  # for the collections, then for both groups of models at once
        await eventually(lambda wanted=sleepers: clock.sleeping == wanted)
        clock.advance(STALE_PATIENCE)
    answer = await asyncio.wait_for(listing, 5.0)
    assert answer.stale
    assert len(answer.value) == 2


async def test_all_wait_for_the_same_answer_and_go_on_after_those_who_left(
    catalog: ModelCatalog, source: FakeModelSource, clock: SimulatedClock
) -> None:
    source.answers.clear()
    first = asyncio.ensure_future(catalog.model("a", "b"))
    others = [asyncio.ensure_future(catalog.model("a", "b")) for _ in range(5)]
    await eventually(lambda: clock.sleeping == 6)
    first.cancel()
    source.answers.set()
    assert {each.name for each in await asyncio.gather(*others)} == {"b"}
    assert source.calls == 1


async def test_what_was_never_read_is_given_up_before_the_callers_give_up(
    catalog: ModelCatalog, source: FakeModelSource, clock: SimulatedClock
) -> None:
    source.answers.clear()
    with pytest.raises(TimedOut, match="try again"):
        await after(clock, FIRST_PATIENCE, catalog.model("a", "b"))


async def test_an_error_is_not_followed_by_another_call_at_once(
    catalog: ModelCatalog, source: FakeModelSource, clock: SimulatedClock
) -> None:
    await catalog.model("a", "b")
    clock.advance(TTL)
    source.fails["a/b"] = Limited("slow down")
    for _ in range(3):
        await catalog.model("a", "b")
    assert source.calls == 2
    source.fails["a/b"] = NotFound("gone")
    clock.advance(BACK_OFF)
    for _ in range(2):
        with pytest.raises(NotFound):
            await catalog.model("a", "b")


async def test_a_collection_that_fails_is_left_out_and_all_that_fail_raise(
    catalog: ModelCatalog, source: FakeModelSource
) -> None:
    source.fails["text-to-video"] = Unavailable("away")
    answer = await catalog.models()
    assert answer.stale
    assert [each.model.name for each in answer.value] == ["image-to-video"]
    with pytest.raises(Unavailable):
        await catalog.models("text-to-video")
    source.fails.clear()
    assert not (await catalog.models()).stale


async def test_all_collections_that_fail_are_an_error(catalog: ModelCatalog, source: FakeModelSource) -> None:
    source.fails |= {slug: Unavailable("away") for slug in ("text-to-video", "image-to-video")}
    with pytest.raises(Unavailable):
        await catalog.models()


@pytest.mark.parametrize(
    "trouble", [Unavailable("x"), TimedOut("x"), Limited("x"), Unauthenticated("x"), Forbidden("x")]
)
async def test_a_blip_chooses_no_other_model(
    catalog: ModelCatalog, source: FakeModelSource, trouble: AppError
) -> None:
    source.fails["all"] = trouble
    with pytest.raises(type(trouble)):
        await DefaultModels(catalog).scene()
    source.fails = {"rushes/camera-move": NotFound("none")}
    assert await DefaultModels(catalog).scene() == "google/veo-3-fast"


async def test_only_what_was_used_last_is_cached(clock: SimulatedClock) -> None:
    cache = ProviderCache(clock, ttl=TTL, size=3)
    fetched: list[int] = []

    async def read(key: int) -> bool:
        """Whether it was cached."""

        async def fetch() -> int:
            fetched.append(key)
            return key

        before = len(fetched)
        await cache.get(key, fetch)
        return len(fetched) == before

    for key in (1, 2, 3, 1, 4):
        await read(key)
    assert [await read(key) for key in (1, 3, 4)] == [True, True, True]
    assert not await read(2)
    for key in range(100):
        await read(key)
    assert len(cache._entries) == 3


async def test_stopping_ends_what_is_being_read(catalog: ModelCatalog, source: FakeModelSource) -> None:
    source.answers.clear()
    reading = asyncio.ensure_future(catalog.collections())
    await eventually(lambda: source.calls == 1)
    await asyncio.wait_for(catalog.stop(), 5.0)
    with pytest.raises(TimedOut):
        await asyncio.wait_for(reading, 5.0)


@pytest.mark.parametrize(
    "refusal", [Unauthenticated("401 invalid token"), Unauthenticated("402 no credit"), Forbidden("403")]
)
async def test_an_error_of_our_token_is_not_reported_as_one_of_the_callers_key(
    catalog: ModelCatalog, source: FakeModelSource, refusal: AppError
) -> None:
    source.fails["all"] = refusal
    models = ModelService(catalog, PriceTable({}, {}, Price("made up")), provider="replicate", deadline=60.0)
    plans = PlanService(_NoFeatures(), DefaultModels(catalog))
    calls: list[Awaitable[Any]] = [
        models.ListModels(models_pb2.ListModelsRequest(), CONTEXT),
        models.ListCollections(models_pb2.ListCollectionsRequest(), CONTEXT),
        models.GetModel(models_pb2.GetModelRequest(owner="a", name="b"), CONTEXT),
        models.GetModelSchema(models_pb2.GetModelSchemaRequest(owner="a", name="b"), CONTEXT),
        models.PrepareInput(models_pb2.PrepareInputRequest(model="a/b"), CONTEXT),
        plans.PlanScenes(plan_pb2.PlanScenesRequest(scene_count=1), CONTEXT),
    ]
    for each in calls:
        with pytest.raises(Unavailable, match=r"not yours.*REPLICATE_API_TOKEN") as caught:
            await each
        assert refusal.message in caught.value.message


async def test_a_secret_that_we_may_not_read_makes_no_webhook_a_forgery() -> None:
    class Refused:
        async def webhook_secret(self, *, fresh: bool = False) -> str:
            raise Unauthenticated("401 invalid token")

    webhooks = WebhookService(World().ports(), Refused())
    with pytest.raises(Unavailable, match="REPLICATE_API_TOKEN"):
        await webhooks.ReceiveWebhook(webhooks_pb2.ReceiveWebhookRequest(), CONTEXT)


class _NoFeatures:
    async def read(self, photos: Sequence[Photo]) -> dict[str, PhotoFeatures]:
        return {}
