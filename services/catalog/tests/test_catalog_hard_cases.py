"""What somebody hostile, or two people at once, may do to a catalog, over SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from google.protobuf.struct_pb2 import Struct
from running_catalog import PRICE, RunningCatalog, running

from rushes.catalog.v1 import assets_pb2, campaigns_pb2, clients_pb2, generations_pb2, jobs_pb2
from rushes.common.v1 import media_pb2
from rushes.events.v1 import events_pb2
from servicekit.errors import Invalid, NotFound, Precondition
from servicekit.testing import NatsFixture, eventually

BATCH_DAY_CENTS = 3 * PRICE // 10_000
"""Room for three runs a day."""


@pytest_asyncio.fixture
async def pair(database_url: str, nats: NatsFixture) -> AsyncIterator[RunningCatalog]:
    """A catalog on either database."""
    async with running(database_url, str(nats), daily_budget_cents=BATCH_DAY_CENTS) as catalog:
        yield catalog


async def test_people_who_change_different_fields_at_once_both_succeed(pair: RunningCatalog) -> None:
    campaign = await pair.campaign(0)

    async def change(**fields: Any) -> None:
        await pair.campaigns.UpdateCampaign(campaigns_pb2.UpdateCampaignRequest(id=campaign.id, **fields))

    for turn in range(12):
        await asyncio.gather(change(budget_cents=turn), change(brief=f"b{turn}"), change(name=f"n{turn}"))
        now = await pair.campaigns.GetCampaign(campaigns_pb2.GetCampaignRequest(id=campaign.id))
        assert (now.budget_cents, now.brief, now.name) == (turn, f"b{turn}", f"n{turn}")


async def test_a_text_with_nul_is_refused_wherever_it_is(pair: RunningCatalog) -> None:
    metadata = Struct()
    metadata.update({"colours": ["re\0d"]})
    for request in (
        clients_pb2.CreateClientRequest(name="a\0b"),
        clients_pb2.CreateClientRequest(name="a", metadata=metadata),
    ):
        with pytest.raises(Invalid, match="NUL"):
            await pair.clients.CreateClient(request)
    with pytest.raises(Invalid, match="NUL"):
        await pair.clients.ListClients(clients_pb2.ListClientsRequest(q="a\0b"))
    with pytest.raises(Invalid, match="NUL"):
        await pair.generation(prompt="a\0b")
    campaign = await pair.campaign(1)
    music = jobs_pb2.MusicRequest(prompt="cal\0m")
    with pytest.raises(Invalid, match="NUL"):
        await pair.jobs.CreateJob(jobs_pb2.CreateJobRequest(campaign_id=campaign.id, music=music))
    made = await pair.clients.CreateClient(clients_pb2.CreateClientRequest(name="a\\u0000b"))
    assert made.name == "a\\u0000b", "the six characters are a text like any other"


async def test_an_error_text_with_nul_ends_its_generation_all_the_same(pair: RunningCatalog) -> None:
    attempt = await pair.submitted((await pair.generation()).id)
    error = media_pb2.Error(code="E\0005", message="bad \0 tensor")
    message = events_pb2.PredictionFailed(prediction=pair.ref(attempt), error=error, cost_micros=1)
    await pair.publish("prediction.failed", attempt.generation_id, message, attempt.id)
    shown = await pair.stage(attempt.generation_id, "failed")
    assert shown.error.message.endswith("bad  tensor"), shown.error


async def test_what_nobody_would_pay_for_any_more_is_not_run_again(pair: RunningCatalog) -> None:
    campaign = await pair.campaign(0)
    generation = await pair.generation(campaign.id)
    request = generations_pb2.CancelGenerationRequest(id=generation.id)
    await pair.generations.CancelGeneration(request)
    await pair.campaigns.DeleteCampaign(campaigns_pb2.DeleteCampaignRequest(id=campaign.id))
    with pytest.raises(NotFound, match=campaign.id):
        await pair.generations.RetryGeneration(generations_pb2.RetryGenerationRequest(id=generation.id))


async def test_a_run_that_comes_back_to_a_failed_job_does_not_wait_for_ever(pair: RunningCatalog) -> None:
    campaign = await pair.campaign(2)
    job = await pair.jobs.CreateJob(jobs_pb2.CreateJobRequest(campaign_id=campaign.id, scene_count=2))
    await pair.status(job.id, "awaiting_approval")
    job = await pair.jobs.ApproveJob(jobs_pb2.ApproveJobRequest(id=job.id))
    first, second = [await pair.submitted(scene.generation_id) for scene in job.scenes]
    await pair.fail(first)
    await pair.status(job.id, "failed")
    await pair.fail(second, "E6716", retryable=True, wait=0.01)
    await pair.stage(second.generation_id, "canceled")


async def test_the_music_of_a_running_job_cannot_be_deleted(pair: RunningCatalog) -> None:
    campaign = await pair.campaign(2)
    song = await pair.asset(campaign.id, "song", kind=media_pb2.MEDIA_KIND_AUDIO)
    music = jobs_pb2.MusicRequest(asset_id=song.id)
    job = await pair.jobs.CreateJob(
        jobs_pb2.CreateJobRequest(campaign_id=campaign.id, scene_count=2, music=music)
    )
    await pair.status(job.id, "awaiting_approval")
    with pytest.raises(Precondition, match=job.id):
        await pair.assets.DeleteAsset(assets_pb2.DeleteAssetRequest(id=song.id))
    await pair.jobs.CancelJob(jobs_pb2.CancelJobRequest(id=job.id))
    await pair.assets.DeleteAsset(assets_pb2.DeleteAssetRequest(id=song.id))


async def test_a_picture_of_a_draft_cannot_be_deleted(pair: RunningCatalog) -> None:
    campaign = await pair.campaign(2)
    first, last = (await pair.assets.ListAssets(assets_pb2.ListAssetsRequest(campaign_id=campaign.id))).assets
    pair.generator.go.clear()
    pairs = [jobs_pb2.ImagePair(first_asset_id=first.id, last_asset_id=last.id, prompt="x")]
    request = jobs_pb2.CreateJobFromImagePairsRequest(campaign_id=campaign.id, pairs=pairs)
    creating = asyncio.ensure_future(pair.jobs.CreateJobFromImagePairs(request))

    async def refused() -> None:
        listed = await pair.jobs.ListJobs(jobs_pb2.ListJobsRequest(campaign_id=campaign.id))
        assert [job.status for job in listed.jobs] == [jobs_pb2.JOB_STATUS_DRAFT]
        with pytest.raises(Precondition, match=listed.jobs[0].id):
            await pair.assets.DeleteAsset(assets_pb2.DeleteAssetRequest(id=last.id))

    await eventually(refused)
    pair.generator.go.set()
    await pair.status((await creating).id, "awaiting_approval")


async def test_a_photo_that_is_deleted_while_it_is_chosen_is_in_no_plan(pair: RunningCatalog) -> None:
    campaign = await pair.campaign(2)
    gone, stays = (await pair.assets.ListAssets(assets_pb2.ListAssetsRequest(campaign_id=campaign.id))).assets
    pair.generator.go.clear()
    request = jobs_pb2.CreateJobRequest(campaign_id=campaign.id, scene_count=2)
    creating = asyncio.ensure_future(pair.jobs.CreateJob(request))
    await eventually(lambda: pair.generator.planned)
    await pair.assets.DeleteAsset(assets_pb2.DeleteAssetRequest(id=gone.id))
    pair.generator.go.set()
    job = await pair.status((await creating).id, "awaiting_approval")
    assert [each.first_asset_id for each in job.scenes] == [stays.id, stays.id]


async def test_a_batch_over_two_campaigns_fits_under_the_day_as_a_whole_or_is_refused(
    pair: RunningCatalog,
) -> None:
    campaigns = [await pair.campaign(0), await pair.campaign(0)]
    given = Struct()
    given.update({"prompt": "x"})

    async def batch(each: int) -> None:
        wanted = [
            generations_pb2.CreateGenerationRequest(model="rushes/instant", input=given, campaign_id=c.id)
            for c in campaigns
            for _ in range(each)
        ]
        await pair.generations.BatchCreateGenerations(
            generations_pb2.BatchCreateGenerationsRequest(requests=wanted)
        )

    with pytest.raises(Precondition, match="the day"):
        await batch(2)  # two fit in each campaign's turn, four do not fit into the day
    assert not (await pair.generations.ListGenerations(generations_pb2.ListGenerationsRequest())).generations
    await batch(1)
