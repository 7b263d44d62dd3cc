"""Inputs: secrets that nobody is shown, and assets that must exist."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct
from running_catalog import RunningCatalog

from rushes.catalog.v1 import generations_pb2, jobs_pb2
from rushes.events.v1 import events_pb2
from servicekit.errors import Invalid
from servicekit.ids import new_id


def _request(**given: Any) -> generations_pb2.CreateGenerationRequest:
    made = Struct()
    made.update(given)
    return generations_pb2.CreateGenerationRequest(model="rushes/instant", input=made)


async def _recorded(catalog: RunningCatalog) -> list[Any]:
    return list(
        (await catalog.generations.ListGenerations(generations_pb2.ListGenerationsRequest())).generations
    )


async def test_a_secret_goes_to_the_provider_and_is_shown_to_nobody(catalog: RunningCatalog) -> None:
    made = await catalog.generation(prompt="x", api_key="hush-hush")
    batch = generations_pb2.BatchCreateGenerationsRequest(requests=[_request(api_key="hush-hush")])
    await catalog.generations.CancelGeneration(generations_pb2.CancelGenerationRequest(id=made.id))
    again = await catalog.generations.RetryGeneration(generations_pb2.RetryGenerationRequest(id=made.id))
    shown = [
        made,
        again,
        await catalog.get(made.id),
        await catalog.generations.BatchCreateGenerations(batch),
        *await _recorded(catalog),
    ]
    assert dict(made.input) == {"prompt": "x", "api_key": "[secret]"}
    assert "hush" not in str(shown)
    work = await catalog.begin(again.id)
    assert dict(work.input) == {"prompt": "x", "api_key": "hush-hush"}
    assert work.secret_fields == ["api_key"], "the provider shows it to nobody either"
    assert all(b"hush" not in event.data for event in await catalog.events_in_log("generation.>"))


async def test_an_asset_nobody_knows_is_refused_by_its_field_and_nothing_is_recorded(
    catalog: RunningCatalog,
) -> None:
    unknown = new_id("asset")
    with pytest.raises(Invalid, match="upload the file") as refused:
        await catalog.generation(image=f"asset:{unknown}")
    (problem,) = refused.value.fields
    assert problem.field == "input.image"
    assert unknown in problem.message
    known = await catalog.asset((await catalog.campaign(photos=0)).id)
    good, bad = _request(image=f"asset:{known.id}"), _request(image=f"asset:{unknown}")
    with pytest.raises(Invalid) as refused:
        await catalog.generations.BatchCreateGenerations(
            generations_pb2.BatchCreateGenerationsRequest(requests=[good, bad, bad])
        )
    assert [each.field for each in refused.value.fields] == [
        "requests[1].input.image",
        "requests[2].input.image",
    ]
    assert not await _recorded(catalog)
    made = await catalog.generation(image=f"asset:{known.id}", prompt="asset: a villa")
    (requested,) = await catalog.published(f"generation.requested.replicate.{made.id}")
    assert requested.message(events_pb2.GenerationRequested).asset_ids == [known.id]


async def test_a_plan_with_files_nobody_knows_is_refused_by_their_fields(catalog: RunningCatalog) -> None:
    campaign = await catalog.campaign(photos=1)
    known, unknown = await catalog.asset(campaign.id), new_id("asset")
    pair = jobs_pb2.ImagePair(first_asset_id=known.id, last_asset_id=unknown)
    with pytest.raises(Invalid, match=unknown) as refused:
        await catalog.jobs.CreateJobFromImagePairs(
            jobs_pb2.CreateJobFromImagePairsRequest(campaign_id=campaign.id, pairs=[pair])
        )
    assert [each.field for each in refused.value.fields] == ["pairs[0].last_asset_id"]
    music = jobs_pb2.MusicRequest(asset_id=unknown)
    with pytest.raises(Invalid, match=unknown) as refused:
        await catalog.jobs.CreateJob(jobs_pb2.CreateJobRequest(campaign_id=campaign.id, music=music))
    assert [each.field for each in refused.value.fields] == ["music.asset_id"]
    with pytest.raises(Invalid, match="deterministic or llm") as refused:
        await catalog.jobs.CreateJob(jobs_pb2.CreateJobRequest(campaign_id=campaign.id, planner="magic"))
    assert [each.field for each in refused.value.fields] == ["planner"]
    assert not (await catalog.jobs.ListJobs(jobs_pb2.ListJobsRequest())).jobs


async def test_a_model_nobody_knows_is_named_by_its_place_in_the_batch(catalog: RunningCatalog) -> None:
    wrong = generations_pb2.CreateGenerationRequest(model="nobody/nothing")
    batch = generations_pb2.BatchCreateGenerationsRequest(requests=[_request(), wrong])
    with pytest.raises(Invalid) as refused:
        await catalog.generations.BatchCreateGenerations(batch)
    assert [each.field for each in refused.value.fields] == ["requests[1].model"]
