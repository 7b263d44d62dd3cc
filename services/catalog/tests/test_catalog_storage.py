"""Storage over a real server and the real log: what a deletion publishes, and that no event undoes it."""

from __future__ import annotations

import pytest
from catalog_jobs import approved
from running_catalog import RunningCatalog, running

from rushes.catalog.v1 import campaigns_pb2, generations_pb2, jobs_pb2, media_pb2, storage_pb2
from rushes.events.v1 import events_pb2
from servicekit.errors import Invalid, NotFound, Precondition
from servicekit.ids import new_id
from servicekit.testing import NatsFixture, SimulatedClock, eventually


async def stats(catalog: RunningCatalog) -> storage_pb2.StorageStats:
    return await catalog.storage.GetStorageStats(storage_pb2.GetStorageStatsRequest())  # type: ignore[no-any-return]


async def spent(catalog: RunningCatalog, campaign_id: str) -> float:
    shown = await catalog.campaigns.GetCampaign(campaigns_pb2.GetCampaignRequest(id=campaign_id))
    return float(shown.spent_cents)


async def test_a_deletion_is_published_once_and_the_cost_stays(catalog: RunningCatalog) -> None:
    campaign = await catalog.campaign(0)
    made = await catalog.generation(campaign.id)
    attempt = await catalog.made(made.id)
    (media,) = (await catalog.stage(made.id, "completed")).media
    shown = await stats(catalog)
    assert (shown.total_videos, shown.total_size_bytes, shown.downloads.completed) == (1, 7, 1)
    (file,) = shown.files
    assert (file.id, file.url, file.sha256) == (media.id, f"/api/v3/media/{media.id}", "b" * 64)
    assert (file.generation_id, file.HasField("job_id"), file.size_bytes) == (made.id, False, 7)
    assert dict(shown.by_kind)["video"] == storage_pb2.StorageUsage(count=1, size_bytes=7)

    await catalog.generations.DeleteGeneration(generations_pb2.DeleteGenerationRequest(id=made.id))
    (gone,) = await catalog.published("media.deleted.>")
    assert (gone.id, gone.key) == (f"{media.id}:deleted", media.id)
    message = gone.message(events_pb2.MediaDeleted)
    assert list(message.blob_keys) == [f"media/{made.id}/0.mp4", f"thumbs/{media.id}.webp"]
    (deleted,) = await catalog.published("generation.deleted.>")
    assert deleted.id == f"{made.id}:deleted"
    for call in (
        catalog.get(made.id),
        catalog.media.GetMedia(media_pb2.GetMediaRequest(id=media.id)),
        catalog.media.LocateObject(media_pb2.LocateObjectRequest(media_id=media.id)),
        catalog.media.LocateObject(media_pb2.LocateObjectRequest(media_id=media.id, thumbnail=True)),
        catalog.generations.CancelGeneration(generations_pb2.CancelGenerationRequest(id=made.id)),
        catalog.generations.RetryGeneration(generations_pb2.RetryGenerationRequest(id=made.id)),
        catalog.delete(made.id),
    ):
        with pytest.raises(NotFound):
            await call
    listed = await catalog.generations.ListGenerations(generations_pb2.ListGenerationsRequest())
    assert not listed.generations
    assert await spent(catalog, campaign.id) == 1.5
    shown = await stats(catalog)
    assert (shown.total_videos, shown.total_size_bytes, len(shown.files)) == (0, 0, 0)

    await catalog.succeed(
        attempt, round_=2
    )  # reported again, as new events: nothing comes back, and late bytes go
    stored_again = events_pb2.DownloadCompleted(
        prediction=catalog.ref(attempt), index=0, blob_key=f"media/{made.id}/0.mp4", facts=media.facts
    )
    await catalog.publish("download.completed", made.id, stored_again, "again")
    late = (await catalog.published("media.deleted.>", 2))[1]
    assert late.message(events_pb2.MediaDeleted).blob_keys[0] == f"media/{made.id}/0.mp4"
    with pytest.raises(NotFound):
        await catalog.get(made.id)
    assert not (await stats(catalog)).files
    assert await spent(catalog, campaign.id) == 1.5
    assert len(await catalog.events_in_log("dlq.>")) == 0


async def test_a_job_keeps_its_parts_until_it_is_over(catalog: RunningCatalog) -> None:
    job = await approved(catalog)
    first, second = (scene.generation_id for scene in job.scenes)
    await catalog.made(first)
    clip = (await catalog.stage(first, "completed")).media[0].id
    for id_ in (first, clip):
        with pytest.raises(Precondition, match="cancel the job first"):
            await catalog.delete(id_)
    with pytest.raises(Precondition, match="cancel it first"):
        await catalog.delete(second)
    await catalog.jobs.CancelJob(jobs_pb2.CancelJobRequest(id=job.id))
    cost = (await catalog.job(job.id)).cost_cents
    await catalog.delete(clip)
    shown = await catalog.job(job.id)
    assert (shown.scenes[0].clip_url, shown.scenes[0].HasField("clip"), shown.cost_cents) == ("", False, cost)
    assert "generation.deleted" in [entry.type for entry in shown.timeline]
    name = media_pb2.ClipName(job_id=job.id, filename=f"scene-1-{clip}.mp4")
    with pytest.raises(NotFound):
        await catalog.media.LocateObject(media_pb2.LocateObjectRequest(clip=name))


async def test_a_cut_outlives_its_clips_and_goes_by_its_jobs_id(catalog: RunningCatalog) -> None:
    job = await approved(catalog, scene_count=1, music=None)
    scene = job.scenes[0].generation_id
    await catalog.made(scene)
    await catalog.status(job.id, "stitching")
    with pytest.raises(Precondition, match="cancel the job first"):
        await catalog.delete(scene)
    message = events_pb2.StitchCompleted(
        job_id=job.id, version=1, cut_key="cuts/x.mp4", thumbnail_key="thumbs/x.jpg"
    )
    message.facts.size_bytes = 90
    await catalog.publish("stitch.completed", job.id, message)
    await catalog.status(job.id, "completed")
    await catalog.delete(scene)
    async with (
        catalog.service.database.read() as unit
    ):  # whoever makes the cut again finds that the clip is missing
        assert (await unit.jobs.get(job.id)).scenes[0].blob_key == ""
    shown = await stats(catalog)
    assert [(file.id, file.version, file.size_bytes) for file in shown.files] == [(job.id, 1, 90)]
    assert shown.files[0].url == (await catalog.job(job.id)).result.url
    await catalog.delete(job.id)
    (gone,) = [each for each in await catalog.published("media.deleted.>", 2) if each.key == job.id]
    assert gone.id == f"{job.id}:deleted:v1"
    assert list(gone.message(events_pb2.MediaDeleted).blob_keys) == ["cuts/x.mp4", "thumbs/x.jpg"]
    assert not (await catalog.job(job.id)).HasField("result")
    cut = media_pb2.CutName(job_id=job.id)
    with pytest.raises(NotFound):
        await catalog.media.LocateObject(media_pb2.LocateObjectRequest(cut=cut))
    with pytest.raises(NotFound):
        await catalog.delete(job.id)


async def test_a_clean_up_takes_what_is_old_and_a_dry_run_nothing(
    sqlite_database: str, nats: NatsFixture
) -> None:
    clock = SimulatedClock.running()
    async with running(sqlite_database, nats, clock=clock) as catalog:
        old = await catalog.generation()
        await catalog.made(old.id)
        await catalog.stage(old.id, "completed")
        clock.advance(31 * 86_400)
        young = await catalog.generation()
        request = storage_pb2.CleanUpStorageRequest(older_than_days=30, dry_run=True)
        would = await catalog.storage.CleanUpStorage(request)
        assert (list(would.ids), would.files, would.size_bytes, would.dry_run) == ([old.id], 1, 7, True)
        await catalog.get(old.id)
        done = await catalog.storage.CleanUpStorage(storage_pb2.CleanUpStorageRequest(older_than_days=30))
        assert (list(done.ids), done.generations, done.files, done.more) == ([old.id], 1, 1, False)
        assert done.by_kind == would.by_kind
        with pytest.raises(NotFound):
            await catalog.get(old.id)
        await catalog.get(young.id)
        for days in (0, -1, 40_000):
            with pytest.raises(Invalid, match="older_than_days"):
                await catalog.storage.CleanUpStorage(storage_pb2.CleanUpStorageRequest(older_than_days=days))


async def test_ids_of_other_kinds_are_refused_by_name(catalog: RunningCatalog) -> None:
    with pytest.raises(Invalid, match=r"gen_….*med_….*job_…"):
        await catalog.delete(new_id("asset"))
    for kind in ("generation", "media", "job"):
        with pytest.raises(NotFound):
            await catalog.delete(new_id(kind))
    with pytest.raises(Invalid, match="id of a media"):
        await catalog.generations.DeleteGeneration(
            generations_pb2.DeleteGenerationRequest(id=new_id("media"))
        )


async def test_for_a_deleted_generation_there_is_nothing_to_do(catalog: RunningCatalog) -> None:
    made = await catalog.generation()
    await catalog.made(made.id)
    await catalog.stage(made.id, "completed")
    await catalog.delete(made.id)
    work = await catalog.begin(made.id)  # its message comes again
    assert work.reason == "final"

    async def nothing_waits() -> None:
        assert not (await catalog.service.reconciler.run_once()).any

    await eventually(nothing_waits)
