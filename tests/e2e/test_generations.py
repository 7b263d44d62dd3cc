"""Single generations over REST: every kind of output, coerced inputs, and wrong requests refused unpaid."""

from __future__ import annotations

from typing import Any

import pytest

from servicekit.ids import new_id
from tests.e2e.system import System

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]


RUNS = {
    "images": ("rushes/still", {"prompt": "a lake house", "num_outputs": "2"}, "image", 2),
    "music": ("rushes/music-bed", {"prompt": "calm", "duration": 2.0}, "audio", 1),
    "voice": ("rushes/voice-over", {"text": "Welcome home."}, "audio", 1),
    "title": ("rushes/title-card", {"text": "Lake house", "duration": 2, "resolution": "720p"}, "video", 1),
    "object": ("rushes/bundle", {"prompt": "x"}, "video", 1),
}


@pytest.mark.parametrize("what", RUNS)
async def test_every_kind_of_output_is_stored_with_its_facts(what: str, system: System) -> None:
    model, input_, kind, count = RUNS[what]
    requested = await system.post("/api/v3/generations", {"model": model, "input": input_})
    done = await system.final_generation(requested["id"])
    assert done["status"] == "completed", done["error"]
    assert [each["facts"]["kind"] for each in done["media"]] == [kind] * count
    for media in done["media"]:
        facts = media["facts"]
        stored = await system.bytes_of(media["url"])
        assert len(stored) == facts["size_bytes"]
        assert (facts["duration_s"] > 0) == (kind != "image")
        assert (facts["width"] > 0) == (kind != "audio")
        assert media["thumbnail_url"] or kind == "audio"
        if media["thumbnail_url"]:
            assert len(await system.bytes_of(media["thumbnail_url"])) > 500


async def test_a_community_model_runs_by_its_version(system: System, photos: list[Any]) -> None:
    campaign = await system.campaign(photos[:1])
    assets = (await system.get(f"/api/v3/campaigns/{campaign['id']}/assets"))["assets"]
    requested = await system.post(
        "/api/v3/generations",
        {"model": "studio-nord/slow-pan", "input": {"image": f"asset:{assets[0]['id']}", "duration": 2}},
    )
    assert requested["version"]
    done = await system.final_generation(requested["id"])
    assert done["status"] == "completed", done["error"]


async def test_a_batch_is_admitted_whole_or_not_at_all(system: System) -> None:
    before = len((await system.get("/api/v3/generations", page_size=200))["generations"])
    good = {"model": "rushes/instant", "input": {"prompt": "x"}}
    bad = {"model": "rushes/instant", "input": {"promt": "x"}}
    refused = await system.http.post("/api/v3/generations:batch", json={"requests": [good, bad]})
    assert refused.status_code == 422
    assert any("promt" in each["field"] for each in refused.json()["errors"])
    assert len((await system.get("/api/v3/generations", page_size=200))["generations"]) == before
    admitted = await system.post("/api/v3/generations:batch", {"requests": [good, good, good]})
    for each in admitted["generations"]:
        assert (await system.final_generation(each["id"]))["status"] == "completed"


async def test_a_cap_refuses_and_a_higher_one_admits(system: System, photos: list[Any]) -> None:
    campaign = await system.campaign([], budget_cents=0)
    before = len(await system.charges())
    wanted = {"model": "rushes/instant", "input": {"prompt": "x"}, "campaign_id": campaign["id"]}
    requested = await system.http.post("/api/v3/generations", json=wanted)
    assert requested.status_code == 409
    assert "budget_cents" in requested.json()["detail"]
    assert len(await system.charges()) == before
    await system.http.put(f"/api/v3/campaigns/{campaign['id']}", json={"budget_cents": 100})
    done = await system.final_generation((await system.post("/api/v3/generations", wanted))["id"])
    assert done["status"] == "completed", done["error"]
    record = await system.get(f"/api/v3/campaigns/{campaign['id']}")
    assert record["spent_cents"] == done["cost_cents"] > 0
    assert record["reserved_cents"] == 0


def _run(model: str, **input_: Any) -> dict[str, Any]:
    return {"model": model, "input": input_}


_JOB, _CAMPAIGN, _ASSET = new_id("job"), new_id("campaign"), new_id("asset")
WRONG: dict[str, tuple[dict[str, Any], int, str, str, str]] = {
    # what: the body, the status, and the field, the value and the way out in the answer
    "unknown model": (
        {"model": "rushes/camera-moov", "input": {}},
        404,
        "model",
        "rushes/camera-moov",
        "GET /api/v3/models?q=camera-moov",
    ),
    "no model": ({"model": "", "input": {}}, 422, "model", "", "is required"),
    "version of another model": (
        {"model": "studio-nord/slow-pan", "version": "f" * 64, "input": {"image": "https://x.test/a.jpg"}},
        422,
        "version",
        "f" * 64,
        "leave it out",
    ),
    "version of an official model": (
        {"model": "rushes/instant", "version": "f" * 64, "input": {}},
        422,
        "version",
        "f" * 64,
        "leave the version out",
    ),
    "campaign of another kind": (
        {"model": "rushes/instant", "input": {}, "campaign_id": _JOB},
        422,
        "campaign_id",
        _JOB,
        "starts with cmp_",
    ),
    "campaign nobody knows": (
        {"model": "rushes/instant", "input": {}, "campaign_id": _CAMPAIGN},
        404,
        "campaign_id",
        _CAMPAIGN,
        "GET /api/v3/campaigns",
    ),
    "no integer": (
        _run("rushes/music-bed", duration="soon"),
        422,
        "input.duration",
        '"soon"',
        "whole number",
    ),
    "out of bounds": (_run("rushes/music-bed", duration=500), 422, "input.duration", "500", "at most 120"),
    "no text": (_run("rushes/still", prompt=[1]), 422, "input.prompt", "[1]", "must be text"),
    "a long text": (_run("rushes/still", prompt="x" * 5000), 422, "input.prompt", "5,000", "at most 4,000"),
    "a missing one": (_run("rushes/still"), 422, "input.prompt", "", "required by rushes/still: give it"),
    "not of the list": (
        _run("rushes/camera-move", image="https://x.test/a.jpg", move="up"),
        422,
        "input.move",
        '"up"',
        "zoom-in, zoom-out",
    ),
    "no switch": (
        _run("rushes/every-form", prompt="x", fast="perhaps"),
        422,
        "input.fast",
        '"perhaps"',
        "true or false",
    ),
    "no list": (
        _run("rushes/every-form", prompt="x", reference_images=5),
        422,
        "input.reference_images",
        "5",
        "must be a list",
    ),
    "no file": (
        _run("rushes/camera-move", image="photo.jpg"),
        422,
        "input.image",
        '"photo.jpg"',
        "an https:// address",
    ),
    "a file nobody knows": (
        _run("rushes/camera-move", image=f"asset:{_ASSET}"),
        422,
        "input.image",
        _ASSET,
        "upload the file to /api/v3/assets",
    ),
    "no name": (_run("rushes/still", promt="x"), 422, "input.promt", "promt", 'did you mean "prompt"'),
}


@pytest.mark.parametrize("what", WRONG)
async def test_a_wrong_request_is_refused_by_field_and_nothing_is_recorded(what: str, system: System) -> None:
    body, status, field, value, way_out = WRONG[what]
    before = len((await system.get("/api/v3/generations", page_size=200))["generations"])
    got = await system.http.post("/api/v3/generations", json=body)
    assert got.status_code == status, got.text
    assert got.headers["content-type"] == "application/problem+json"
    problems = {each["field"]: f"{each['field']} {each['message']}" for each in got.json()["errors"]}
    assert field in problems, got.text
    assert value in problems[field]
    assert way_out in problems[field]
    assert len((await system.get("/api/v3/generations", page_size=200))["generations"]) == before


async def test_a_request_of_10_mb_is_refused_by_its_size_and_nothing_is_recorded(system: System) -> None:
    before = len((await system.get("/api/v3/generations", page_size=200))["generations"])
    got = await system.http.post("/api/v3/generations", json=_run("rushes/still", prompt="x" * 10_000_000))
    assert (got.status_code, got.headers["content-type"]) == (413, "application/problem+json"), got.text
    assert "1,048,576" in got.json()["detail"], "the limit"
    assert "10,000," in got.json()["detail"], "the size"
    assert len((await system.get("/api/v3/generations", page_size=200))["generations"]) == before


async def test_a_secret_is_sent_and_never_shown(system: System) -> None:
    given = {"prompt": "asset: a villa", "api_key": "hush-hush"}
    requested = await system.http.post("/api/v3/generations", json=_run("rushes/every-form", **given))
    assert requested.status_code == 202, requested.text
    generation = requested.json()["id"]
    read = await system.http.get(f"/api/v3/generations/{generation}")
    listed = await system.http.get("/api/v3/generations")
    assert (await system.final_generation(generation))["status"] == "completed"
    assert read.json()["input"] == {"prompt": "asset: a villa", "api_key": "[secret]"}
    assert "hush" not in requested.text + read.text + listed.text
    wrong = await system.http.post(
        "/api/v3/generations", json=_run("rushes/every-form", prompt="x", api_key=["hush-hush"])
    )
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "input.api_key")
    assert "hush" not in wrong.text
    (sent,) = [each for each in await system.predictions() if each["input"].get("api_key")]
    assert sent["input"]["api_key"] == "hush-hush"
    assert sent["input"]["prompt"] == "asset: a villa"


async def test_a_model_without_a_schema_takes_any_object(system: System) -> None:
    requested = await system.post(
        "/api/v3/generations", {"model": "rushes/no-schema", "input": {"anything": 1}}
    )
    assert (await system.final_generation(requested["id"]))["status"] == "completed"


async def test_a_negative_budget_is_no_budget(system: System) -> None:
    client = await system.post("/api/v3/clients", {"name": "x"})
    got = await system.http.post(
        "/api/v3/campaigns", json={"name": "y", "client_id": client["id"], "budget_cents": -1}
    )
    assert got.status_code == 422
    assert got.json()["errors"][0]["field"] == "budget_cents"


async def test_fifty_models_and_more_can_be_found(system: System) -> None:
    found = await system.get("/api/v3/models", page_size=200)
    assert len(found["models"]) >= 50
    videos = await system.get("/api/v3/models", collection="image-to-video", q="veo")
    assert videos["models"]
    assert all("image-to-video" in each["collections"] for each in videos["models"])
    schema = await system.get("/api/v3/models/rushes/every-form/schema")
    kinds = {each["name"]: each["type"] for each in schema["parameters"]}
    assert kinds["prompt"] == "string"
    assert kinds["steps"] == "integer"
    assert kinds["reference_images"] == "array"
    assert kinds["mask"] == "file"
    assert kinds["fast"] == "boolean"
    assert kinds["guidance"] == "number"
    parameters = {each["name"]: each for each in schema["parameters"]}
    assert parameters["layers"]["items"]["enum"] == ["sky", "lawn", "facade"]
    assert [each["minimum"] for each in parameters["zoom"]["variants"]] == [1, None]
    assert (parameters["size"]["items"], parameters["size"]["variants"]) == (None, [])
    assert (parameters["mask"]["accept"], parameters["old_size"]["deprecated"]) == ("image/*", True)
