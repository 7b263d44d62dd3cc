"""Models, schemas and default models as the sandbox publishes them, and while it is away."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from generator.adapters.models.replicate_models import ReplicateModels
from generator.adapters.replicate_client import ReplicateClient
from generator.core.inputs.prepare_input import prepare_input
from generator.core.models.domain.media_kinds import MediaKind
from generator.core.models.domain.model_schema import read_parameters
from generator.core.models.domain.prices import load_prices
from generator.core.models.model_catalog import DefaultModels, ModelCatalog
from servicekit.clock import SystemClock
from servicekit.errors import Invalid, NotFound, TimedOut, Unavailable

PRICES = load_prices((Path(__file__).parents[1] / "generator" / "prices.toml").read_text())


async def test_collections_models_and_kinds(client: ReplicateClient) -> None:
    catalog = ModelCatalog(ReplicateModels(client), SystemClock())
    slugs = {each.slug for each in (await catalog.collections()).value}
    assert {"text-to-video", "image-to-video", "text-to-image", "music-generation"} <= slugs
    listed = (await catalog.models()).value
    kinds = {each.model.full_name: each.kind for each in listed}
    assert len(listed) >= 50
    assert kinds["rushes/camera-move"] is MediaKind.VIDEO
    assert kinds["rushes/still"] is MediaKind.IMAGE
    assert kinds["rushes/music-bed"] is MediaKind.AUDIO
    assert kinds["google/veo-3-fast"] is MediaKind.VIDEO
    music = (await catalog.models("music-generation")).value
    assert {each.kind for each in music} == {MediaKind.AUDIO}
    with pytest.raises(NotFound, match="text-to-video"):
        await catalog.models("no-such")
    assert read_parameters((await catalog.model("rushes", "every-form")).openapi)


async def test_unknown_models_odd_models_and_foreign_versions(client: ReplicateClient) -> None:
    catalog = ModelCatalog(ReplicateModels(client), SystemClock())
    with pytest.raises(NotFound, match=r"no model nobody/nothing.*api/v3/models"):
        await prepare_input(catalog, PRICES, "nobody/nothing", "", {})
    with pytest.raises(Invalid) as caught:
        await prepare_input(catalog, PRICES, "studio-nord/slow-pan", "0" * 64, {"image": "https://x.test/a"})
    assert [each.field for each in caught.value.fields] == ["version"]
    newest = (await catalog.model("rushes", "camera-move")).version
    image = {"image": "https://x.test/a"}
    with pytest.raises(Invalid, match="leave the version out") as caught:
        await prepare_input(catalog, PRICES, "rushes/camera-move", "0" * 64, image)
    assert [each.field for each in caught.value.fields] == ["version"]
    assert (await prepare_input(catalog, PRICES, "rushes/camera-move", newest, image)).spec.version == ""
    with pytest.raises(Invalid):
        await prepare_input(catalog, PRICES, "no name", "", {})
    with pytest.raises(Invalid, match="no version"):
        await prepare_input(catalog, PRICES, "rushes/no-version", "", {})
    free = await prepare_input(catalog, PRICES, "rushes/no-schema", "", {"anything": 1.0})
    assert free.spec.input == {"anything": 1}
    assert free.spec.version
    ready = await prepare_input(
        catalog, PRICES, "rushes/camera-move", "", {"image": "https://x.test/a", "duration": "4"}
    )
    assert (ready.spec.version, ready.spec.kind, ready.spec.input["duration"]) == ("", MediaKind.VIDEO, 4)
    assert ready.estimate.micros == 20_000
    assert "price table" in ready.estimate.basis


async def test_the_default_models_are_ours_where_they_exist(client: ReplicateClient) -> None:
    catalog = ModelCatalog(ReplicateModels(client), SystemClock())
    assert await DefaultModels(catalog).scene() == "rushes/camera-move"
    assert await DefaultModels(catalog).music() == "rushes/music-bed"
    assert await DefaultModels(catalog).pair() == "rushes/first-last"
    assert await DefaultModels(catalog, scene="a/b").scene() == "a/b"


async def test_stale_answers_while_the_provider_is_away_and_one_fetch_at_a_time() -> None:
    calls = 0
    away = False

    def answer(_: httpx.Request) -> httpx.Response:
        nonlocal calls
        calls += 1
        return (
            httpx.Response(503)
            if away
            else httpx.Response(200, json={"results": [{"slug": "a"}], "next": None})
        )

    client = ReplicateClient("https://api.test", "", transport=httpx.MockTransport(answer))
    await client.start()
    catalog = ModelCatalog(ReplicateModels(client), SystemClock(), ttl=0.0)
    await asyncio.gather(*(ModelCatalog.collections(catalog) for _ in range(2)))
    fresh = ModelCatalog(ReplicateModels(client), SystemClock(), ttl=60.0)
    calls = 0
    await asyncio.gather(*(fresh.collections() for _ in range(10)))
    assert calls == 1
    away = True
    cached = await catalog.collections()
    assert cached.stale
    assert cached.value[0].slug == "a"
    with pytest.raises((Unavailable, TimedOut)):
        await ModelCatalog(ReplicateModels(client), SystemClock()).collections()
    await client.stop()
