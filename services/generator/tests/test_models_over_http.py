"""Models, schemas and standard models as the sandbox publishes them, and while it is away."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from generator.adapters.models.replicate_models import HttpLibrary
from generator.adapters.replicate_client import Api
from generator.core.inputs.prepare_input import prepare
from generator.core.models.default_models import StandardModels
from generator.core.models.domain.media_kinds import Kind
from generator.core.models.domain.model_schema import parameters
from generator.core.models.domain.prices import load
from generator.core.models.model_catalog import Shelf
from servicekit.clock import SystemClock
from servicekit.errors import Invalid, NotFound, TimedOut, Unavailable

PRICES = load((Path(__file__).parents[1] / "generator" / "prices.toml").read_text())


async def test_collections_models_and_kinds(api: Api) -> None:
    shelf = Shelf(HttpLibrary(api), SystemClock())
    slugs = {each.slug for each in (await shelf.collections()).value}
    assert {"text-to-video", "image-to-video", "text-to-image", "music-generation"} <= slugs
    listed = (await shelf.models()).value
    kinds = {each.model.full_name: each.kind for each in listed}
    assert len(listed) >= 50
    assert kinds["rushes/camera-move"] is Kind.VIDEO
    assert kinds["rushes/still"] is Kind.IMAGE
    assert kinds["rushes/music-bed"] is Kind.AUDIO
    assert kinds["google/veo-3-fast"] is Kind.VIDEO
    music = (await shelf.models("music-generation")).value
    assert {each.kind for each in music} == {Kind.AUDIO}
    with pytest.raises(NotFound, match="text-to-video"):
        await shelf.models("no-such")
    assert parameters((await shelf.model("rushes", "every-form")).model.openapi)


async def test_unknown_models_odd_models_and_foreign_versions(api: Api) -> None:
    shelf = Shelf(HttpLibrary(api), SystemClock())
    with pytest.raises(NotFound, match=r"no model nobody/nothing.*api/v3/models"):
        await prepare(shelf, PRICES, "nobody/nothing", "", {})
    with pytest.raises(Invalid) as caught:
        await prepare(shelf, PRICES, "studio-nord/slow-pan", "0" * 64, {"image": "https://x.test/a"})
    assert [each.field for each in caught.value.fields] == ["version"]
    newest = (await shelf.model("rushes", "camera-move")).model.version
    image = {"image": "https://x.test/a"}
    with pytest.raises(Invalid, match="leave the version out") as caught:
        await prepare(shelf, PRICES, "rushes/camera-move", "0" * 64, image)
    assert [each.field for each in caught.value.fields] == ["version"]
    assert (await prepare(shelf, PRICES, "rushes/camera-move", newest, image)).version == ""
    with pytest.raises(Invalid):
        await prepare(shelf, PRICES, "no name", "", {})
    with pytest.raises(Invalid, match="no version"):
        await prepare(shelf, PRICES, "rushes/no-version", "", {})
    free = await prepare(shelf, PRICES, "rushes/no-schema", "", {"anything": 1.0})
    assert free.input == {"anything": 1}
    assert free.version
    ready = await prepare(
        shelf, PRICES, "rushes/camera-move", "", {"image": "https://x.test/a", "duration": "4"}
    )
    assert (ready.version, ready.kind, ready.input["duration"]) == ("", Kind.VIDEO, 4)
    assert ready.estimate_micros == 20_000
    assert "price table" in ready.estimate_basis


async def test_the_standard_models_are_ours_where_they_exist(api: Api) -> None:
    shelf = Shelf(HttpLibrary(api), SystemClock())
    assert await StandardModels(shelf).scene() == "rushes/camera-move"
    assert await StandardModels(shelf).music() == "rushes/music-bed"
    assert await StandardModels(shelf).pair() == "rushes/first-last"
    assert await StandardModels(shelf, scene="a/b").scene() == "a/b"


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

    api = Api("https://api.test", "", transport=httpx.MockTransport(answer))
    await api.start()
    shelf = Shelf(HttpLibrary(api), SystemClock(), ttl=0.0)
    await asyncio.gather(*(Shelf.collections(shelf) for _ in range(2)))
    kept = Shelf(HttpLibrary(api), SystemClock(), ttl=60.0)
    calls = 0
    await asyncio.gather(*(kept.collections() for _ in range(10)))
    assert calls == 1
    away = True
    known = await shelf.collections()
    assert known.stale
    assert known.value[0].slug == "a"
    with pytest.raises((Unavailable, TimedOut)):
        await Shelf(HttpLibrary(api), SystemClock()).collections()
    await api.stop()
