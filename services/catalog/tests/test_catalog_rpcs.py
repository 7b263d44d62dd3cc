"""The RPCs over a real server: what is refused, and how; planning that is slow, fails, or is lost."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta

import pytest
from catalog_jobs import planned
from google.protobuf.struct_pb2 import Struct
from running_catalog import MovedClock, RunningCatalog, running

from catalog.core.generations.domain.attempts import record_run_progress
from rushes.catalog.v1 import (
    assets_pb2,
    attempts_pb2,
    campaigns_pb2,
    clients_pb2,
    generations_pb2,
    jobs_pb2,
    keys_pb2,
    media_pb2,
    storage_pb2,
)
from rushes.common.v1 import media_pb2 as common_pb2
from servicekit.clock import SystemClock
from servicekit.errors import (
    AppError,
    Conflict,
    Invalid,
    Limited,
    NotFound,
    Precondition,
    Unauthenticated,
    Unavailable,
)
from servicekit.ids import new_id
from servicekit.testing import NatsFixture, eventually


async def test_an_id_of_another_kind_is_invalid_and_an_unknown_one_not_found(catalog: RunningCatalog) -> None:
    with pytest.raises(Invalid, match="is the id of a job"):
        await catalog.get(new_id("job"))
    unknown = new_id("generation")
    with pytest.raises(NotFound, match=unknown):
        await catalog.get(unknown)
    with pytest.raises(NotFound, match="campaign"):
        await catalog.generation(new_id("campaign"))
    with pytest.raises(NotFound, match="attempt"):
        await catalog.attempts.GetAttempt(attempts_pb2.GetAttemptRequest(id=new_id("attempt")))


async def test_clients_and_campaigns_are_recorded_changed_and_listed(catalog: RunningCatalog) -> None:
    meta = Struct()
    meta.update({"a": [1, "x"]})
    client = await catalog.clients.CreateClient(
        clients_pb2.CreateClientRequest(name="Harbour", metadata=meta)
    )
    changed = await catalog.clients.UpdateClient(
        clients_pb2.UpdateClientRequest(id=client.id, brand_guidelines="calm")
    )
    assert (changed.name, changed.brand_guidelines, changed.metadata) == ("Harbour", "calm", meta)
    await catalog.clients.CreateClient(clients_pb2.CreateClientRequest(name="Other"))
    listed = await catalog.clients.ListClients(clients_pb2.ListClientsRequest(q="HARB"))
    assert [each.id for each in listed.clients] == [client.id]
    campaign = await catalog.campaigns.CreateCampaign(
        campaigns_pb2.CreateCampaignRequest(name="Spring", client_id=client.id, budget_cents=0)
    )
    assert campaign.HasField("budget_cents")
    assert not campaign.HasField("brief")
    with pytest.raises(Precondition, match="delete them first"):
        await catalog.clients.DeleteClient(clients_pb2.DeleteClientRequest(id=client.id))
    with pytest.raises(NotFound, match="client"):
        await catalog.campaigns.CreateCampaign(
            campaigns_pb2.CreateCampaignRequest(name="x", client_id=new_id("client"))
        )


async def test_assets_have_addresses_of_ours_and_stay_while_a_job_needs_them(catalog: RunningCatalog) -> None:
    campaign = await catalog.campaign(photos=1)
    page = await catalog.assets.ListAssets(assets_pb2.ListAssetsRequest(campaign_id=campaign.id))
    (asset,) = page.assets
    assert asset.url == f"/api/v3/assets/{asset.id}/data"
    assert asset.thumbnail_url == f"/api/v3/assets/{asset.id}/thumbnail"
    assert asset.client_id == campaign.client_id
    thumb = media_pb2.LocateObjectRequest(asset_id=asset.id, thumbnail=True)
    assert (await catalog.media.LocateObject(thumb)).blob_key == f"thumbs/{asset.id}.webp"
    job = await planned(catalog, campaign.id, scene_count=1)
    with pytest.raises(Precondition, match=job.id):
        await catalog.assets.DeleteAsset(assets_pb2.DeleteAssetRequest(id=asset.id))
    await catalog.jobs.CancelJob(jobs_pb2.CancelJobRequest(id=job.id))
    await catalog.assets.DeleteAsset(assets_pb2.DeleteAssetRequest(id=asset.id))
    await catalog.published("asset.deleted.>")


async def test_an_asset_changes_by_the_fields_that_are_given(catalog: RunningCatalog) -> None:
    campaign = await catalog.campaign(photos=0)
    asset = await catalog.asset(campaign.id, "photo", description="a boat", tags=["sea"])
    metadata = Struct()
    metadata.update({"taken": "2026"})
    update = assets_pb2.UpdateAssetRequest(id=asset.id, name="Boat", metadata=metadata)
    changed = await catalog.assets.UpdateAsset(update)
    assert (changed.name, changed.description, list(changed.tags)) == ("Boat", "a boat", ["sea"])
    assert changed.metadata == metadata
    update = assets_pb2.UpdateAssetRequest(id=asset.id, description="", tags=["harbour"])
    changed = await catalog.assets.UpdateAsset(update)
    assert (changed.name, changed.description, list(changed.tags)) == ("Boat", "", ["harbour"])
    assert await catalog.assets.GetAsset(assets_pb2.GetAssetRequest(id=asset.id)) == changed
    tagged = await catalog.assets.ListAssets(assets_pb2.ListAssetsRequest(tag="harbour"))
    assert [each.id for each in tagged.assets] == [asset.id]


async def test_orphans_and_named_blobs_are_found_over_the_wire(catalog: RunningCatalog) -> None:
    campaign = await catalog.campaign(photos=1)
    page = await catalog.assets.ListAssets(assets_pb2.ListAssetsRequest(campaign_id=campaign.id))
    named = await catalog.storage.ListNamedBlobs(storage_pb2.ListNamedBlobsRequest())
    (photo,) = named.blobs
    assert photo.id == page.assets[0].id
    orphan = f"assets/{new_id('asset')}/original.jpg"
    found = await catalog.storage.FindUnneeded(
        storage_pb2.FindUnneededRequest(blob_keys=[photo.blob_key, orphan, "somebody/elses.txt"])
    )
    assert list(found.blob_keys) == [orphan]
    assert found.system


async def test_a_key_signs_in_until_it_is_revoked(catalog: RunningCatalog) -> None:
    made = await catalog.keys.CreateApiKey(keys_pb2.CreateApiKeyRequest(name="ci"))
    assert made.key.startswith(made.api_key.prefix)
    request = keys_pb2.AuthenticateRequest(key_sha256=hashlib.sha256(made.key.encode()).hexdigest())
    assert (await catalog.keys.Authenticate(request)).scope == keys_pb2.SCOPE_WRITE
    await catalog.keys.RevokeApiKey(keys_pb2.RevokeApiKeyRequest(id=made.api_key.id))
    with pytest.raises(Unauthenticated):
        await catalog.keys.Authenticate(request)
    operator = keys_pb2.AuthenticateRequest(key_sha256=hashlib.sha256(b"operator-key").hexdigest())
    assert (await catalog.keys.Authenticate(operator)).scope == keys_pb2.SCOPE_ADMIN
    listed = await catalog.keys.ListApiKeys(keys_pb2.ListApiKeysRequest())
    assert len(listed.api_keys) == 2
    assert made.key not in str(listed)


async def test_a_batch_is_admitted_whole_or_not_at_all(catalog: RunningCatalog) -> None:
    bad = Struct()
    bad.update({"bad": 1})
    good = generations_pb2.CreateGenerationRequest(model="rushes/instant")
    wrong = generations_pb2.CreateGenerationRequest(model="rushes/instant", input=bad)
    batch = generations_pb2.BatchCreateGenerationsRequest
    with pytest.raises(Invalid) as refused:
        await catalog.generations.BatchCreateGenerations(batch(requests=[good, wrong]))
    assert refused.value.fields[0].field == "requests[1].input.bad"
    campaign = await catalog.campaign(photos=0, budget_cents=5)
    paid = generations_pb2.CreateGenerationRequest(model="rushes/instant", campaign_id=campaign.id)
    with pytest.raises(Precondition, match="cap") as refused_money:
        await catalog.generations.BatchCreateGenerations(batch(requests=[paid] * 3))
    assert refused_money.value.code == "budget"
    nothing = await catalog.generations.ListGenerations(generations_pb2.ListGenerationsRequest())
    assert not nothing.generations
    made = await catalog.generations.BatchCreateGenerations(batch(requests=[paid] * 2))
    assert len({each.id for each in made.generations}) == 2


async def test_variants_of_one_run_are_checked_once(catalog: RunningCatalog) -> None:
    inputs = [Struct(), Struct()]
    inputs[1].update({"prompt": "another"})
    wanted = [
        generations_pb2.CreateGenerationRequest(model="rushes/instant", input=inputs[number % 2])
        for number in range(6)
    ]
    batch = generations_pb2.BatchCreateGenerationsRequest(requests=wanted)
    made = await catalog.generations.BatchCreateGenerations(batch)
    assert len(catalog.generator.prepared) == 2
    assert [dict(each.input) for each in made.generations] == [{}, {"prompt": "another"}] * 3


async def test_an_estimate_records_nothing(catalog: RunningCatalog) -> None:
    shown = await catalog.generations.EstimateGeneration(
        generations_pb2.EstimateGenerationRequest(model="rushes/instant")
    )
    assert (shown.estimated_cost_cents, shown.basis) == (2.0, "price table")
    listed = await catalog.generations.ListGenerations(generations_pb2.ListGenerationsRequest())
    assert not listed.generations


async def test_a_failed_generation_is_run_again_as_a_new_one(catalog: RunningCatalog) -> None:
    made = await catalog.generation(prompt="a boat")
    with pytest.raises(Precondition, match="only a failed"):
        await catalog.generations.RetryGeneration(generations_pb2.RetryGenerationRequest(id=made.id))
    await catalog.generations.CancelGeneration(generations_pb2.CancelGenerationRequest(id=made.id))
    again = await catalog.generations.RetryGeneration(generations_pb2.RetryGenerationRequest(id=made.id))
    assert again.id != made.id
    assert again.input == made.input
    assert again.status == generations_pb2.GENERATION_STATUS_QUEUED


async def test_two_predictions_for_an_attempt_are_a_conflict_over_the_wire(catalog: RunningCatalog) -> None:
    attempt = await catalog.submitted((await catalog.generation()).id)
    same = attempts_pb2.RecordSubmittedRequest(attempt_id=attempt.id, prediction_id=attempt.prediction_id)
    assert (await catalog.attempts.RecordSubmitted(same)).state == attempts_pb2.ATTEMPT_STATE_SUBMITTED
    other = attempts_pb2.RecordSubmittedRequest(attempt_id=attempt.id, prediction_id="another")
    with pytest.raises(Conflict):
        await catalog.attempts.RecordSubmitted(other)
    found = await catalog.attempts.FindAttempt(
        attempts_pb2.FindAttemptRequest(prediction_id=attempt.prediction_id)
    )
    assert found.id == attempt.id
    late = attempts_pb2.ReleaseAttemptRequest(attempt_id=attempt.id)
    with pytest.raises(Conflict):
        await catalog.attempts.ReleaseAttempt(late)


async def test_a_job_needs_photos(catalog: RunningCatalog) -> None:
    campaign = await catalog.campaign(photos=0)
    with pytest.raises(Precondition, match="has no photos") as refused:
        await planned(catalog, campaign.id)
    assert refused.value.code == "no_photos"
    listed = await catalog.jobs.ListJobs(jobs_pb2.ListJobsRequest())
    assert not listed.jobs


async def test_a_job_that_does_not_fit_under_the_cap_is_not_approved(catalog: RunningCatalog) -> None:
    campaign = await catalog.campaign(budget_cents=5)
    job = await planned(catalog, campaign.id)
    with pytest.raises(Precondition, match="budget_cents") as refused:
        await catalog.jobs.ApproveJob(jobs_pb2.ApproveJobRequest(id=job.id))
    assert refused.value.code == "budget"
    await catalog.campaigns.UpdateCampaign(
        campaigns_pb2.UpdateCampaignRequest(id=campaign.id, budget_cents=6)
    )
    assert (await catalog.jobs.ApproveJob(jobs_pb2.ApproveJobRequest(id=job.id))).scenes[0].generation_id


async def test_pairs_become_scenes_without_planning(catalog: RunningCatalog) -> None:
    campaign = await catalog.campaign(photos=0)
    first, last = [await catalog.asset(campaign.id) for _ in range(2)]
    sound = await catalog.asset(campaign.id, kind=common_pb2.MEDIA_KIND_AUDIO)
    request = jobs_pb2.CreateJobFromImagePairsRequest(
        campaign_id=campaign.id,
        pairs=[jobs_pb2.ImagePair(first_asset_id=first.id, last_asset_id=last.id, prompt="glide", seconds=3)],
        music=jobs_pb2.MusicRequest(asset_id=sound.id, gain_db=-6),
        transition=jobs_pb2.TRANSITION_CROSSFADE,
    )
    job = await catalog.jobs.CreateJobFromImagePairs(request)
    (scene,) = job.scenes
    assert (scene.prompt, scene.model, scene.seconds) == ("glide", "rushes/first-last", 3)
    assert (job.edit.transition_seconds, job.edit.music.asset_id) == (0.5, sound.id)
    assert catalog.generator.prepared[-1].scene.last_image == f"asset:{last.id}"
    request.pairs[0].last_asset_id = sound.id
    with pytest.raises(Invalid) as refused:
        await catalog.jobs.CreateJobFromImagePairs(request)
    assert refused.value.fields[0].field == "pairs[0].last_asset_id"


async def test_slow_planning_is_answered_with_the_draft_and_goes_on(
    sqlite_database: str, nats: NatsFixture
) -> None:
    async with running(sqlite_database, nats, plan_patience=timedelta(seconds=0.05)) as catalog:
        campaign = await catalog.campaign()
        catalog.generator.go.clear()
        job = await planned(catalog, campaign.id)
        assert job.status == jobs_pb2.JOB_STATUS_DRAFT
        catalog.generator.go.set()
        await catalog.status(job.id, "awaiting_approval")


class HastyClock(MovedClock):
    """The waits of planning pass at once, and are recorded."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    async def sleep(self, seconds: float) -> None:
        task = asyncio.current_task()
        if task and task.get_name().startswith("plan job_"):
            self.waits.append(seconds)
            seconds = 0.0
        await super().sleep(seconds)


@pytest.mark.parametrize(
    ("error", "wait"),
    [
        (Unavailable("away"), 1.0),
        (Limited("slow down", retry_after=33.0), 33.0),
        (Limited("slow down"), 1.0),
        (Precondition("not yet"), 1.0),
    ],
)
async def test_planning_that_may_succeed_later_is_tried_again(
    sqlite_database: str, nats: NatsFixture, error: AppError, wait: float
) -> None:
    clock = HastyClock()
    async with running(sqlite_database, nats, clock=clock) as catalog:
        campaign = await catalog.campaign()
        catalog.generator.errors = [error]
        job = await planned(catalog, campaign.id)
        assert job.status == jobs_pb2.JOB_STATUS_AWAITING_APPROVAL
        assert clock.waits == [wait]


@pytest.mark.parametrize(
    "error", [Limited("slow down", retry_after=33.0), Unavailable("the provider refuses our token: 401")]
)
async def test_a_draft_outlives_a_provider_that_refuses_for_long(
    sqlite_database: str, nats: NatsFixture, error: AppError
) -> None:
    clock = HastyClock()
    async with running(sqlite_database, nats, clock=clock) as catalog:
        campaign = await catalog.campaign()
        catalog.generator.errors = [error] * 7
        job = await planned(catalog, campaign.id)
        assert (job.status, len(clock.waits)) == (jobs_pb2.JOB_STATUS_DRAFT, 5)
        clock.moved = timedelta(seconds=61)
        assert (await catalog.service.reconciler.run_once()).drafts == 1
        await catalog.status(job.id, "awaiting_approval")


async def test_what_cannot_be_planned_fails_at_once(catalog: RunningCatalog) -> None:
    campaign = await catalog.campaign()
    catalog.generator.errors = [Invalid("no such planner")]
    with pytest.raises(Invalid, match="no such planner"):
        await planned(catalog, campaign.id)
    (job,) = (await catalog.jobs.ListJobs(jobs_pb2.ListJobsRequest())).jobs
    assert job.status == jobs_pb2.JOB_STATUS_FAILED


@pytest.mark.parametrize("model", ["rushes/first-last", "rushes/music-bed"])
async def test_a_model_is_refused_for_what_it_is_known_to_make_and_not_for_a_guess(
    catalog: RunningCatalog, model: str
) -> None:
    campaign = await catalog.campaign(photos=0)
    first, last = [await catalog.asset(campaign.id) for _ in range(2)]
    request = jobs_pb2.CreateJobFromImagePairsRequest(
        campaign_id=campaign.id,
        pairs=[jobs_pb2.ImagePair(first_asset_id=first.id, last_asset_id=last.id)],
        music=jobs_pb2.MusicRequest(prompt="calm"),
    )
    catalog.generator.kinds[model] = common_pb2.MEDIA_KIND_IMAGE
    with pytest.raises(Invalid, match=f"model {model} makes image"):
        await catalog.jobs.CreateJobFromImagePairs(request)
    catalog.generator.kind_known = False
    job = await catalog.jobs.CreateJobFromImagePairs(request)
    assert job.status == jobs_pb2.JOB_STATUS_AWAITING_APPROVAL
    job = await catalog.jobs.ApproveJob(jobs_pb2.ApproveJobRequest(id=job.id))
    scene = await catalog.get(job.scenes[0].generation_id)
    assert scene.kind == common_pb2.MEDIA_KIND_VIDEO, "what the scene needs"
    catalog.generator.kind_known = True
    catalog.generator.kinds[model] = common_pb2.MEDIA_KIND_UNSPECIFIED
    job = await catalog.jobs.CreateJobFromImagePairs(request)
    assert job.status == jobs_pb2.JOB_STATUS_AWAITING_APPROVAL


async def test_a_draft_that_a_crash_left_is_planned_by_the_next_process(
    sqlite_database: str, nats: NatsFixture
) -> None:
    async with running(sqlite_database, nats, plan_patience=timedelta(seconds=0.05)) as catalog:
        campaign = await catalog.campaign()
        catalog.generator.go.clear()
        job = await planned(catalog, campaign.id)
        assert job.status == jobs_pb2.JOB_STATUS_DRAFT
    clock = MovedClock()
    async with running(sqlite_database, nats, clock=clock) as catalog:
        clock.moved = timedelta(seconds=61)
        assert (await catalog.service.reconciler.run_once()).drafts == 1
        await catalog.status(job.id, "awaiting_approval")


async def test_job_progress_shows_what_happens_now(catalog: RunningCatalog) -> None:
    campaign = await catalog.campaign()
    job = await planned(catalog, campaign.id)
    job = await catalog.jobs.ApproveJob(jobs_pb2.ApproveJobRequest(id=job.id))
    assert job.progress.message == "waiting for a free slot for scene 1 of 2"
    await catalog.made(job.scenes[0].generation_id)
    await catalog.stage(job.scenes[0].generation_id, "completed")
    await catalog.submitted(job.scenes[1].generation_id)
    async with catalog.service.database.write() as unit:
        generation = await unit.generations.get(job.scenes[1].generation_id, lock=True)
        progress = record_run_progress(generation, SystemClock().now(), percent=43.0, message="frame 43")
        await unit.generations.save(generation, progress)
    shown = (await catalog.job(job.id)).progress
    assert shown.message == "rendering scene 2 of 2: 43 %"
    assert 30 < shown.percent < 50


async def test_requests_in_parallel_all_get_their_own(catalog: RunningCatalog) -> None:
    made = await asyncio.gather(*(catalog.generation() for _ in range(30)))
    assert len({each.id for each in made}) == 30

    async def all_published() -> bool:
        return len(await catalog.events_in_log("generation.requested.>")) == 30

    await eventually(all_published)


async def test_a_page_of_large_records_is_shorter_and_loses_none(catalog: RunningCatalog) -> None:
    made = {(await catalog.generation(prompt="x" * 1_500_000)).id for _ in range(6)}
    seen: list[str] = []
    request = generations_pb2.ListGenerationsRequest(page_size=50)
    while True:
        page = await catalog.generations.ListGenerations(request)
        seen += [each.id for each in page.generations]
        request.page_token = page.next_page_token
        if not request.page_token:
            break
    assert sorted(seen) == sorted(made)
