"""Storage over a real server and the real log: what a deletion says, and that no fact undoes it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from catalog_jobs import approved
from catalog_world import MovedClock, World, running

from rushes.catalog.v1 import campaigns_pb2, generations_pb2, jobs_pb2, media_pb2, storage_pb2
from rushes.events.v1 import events_pb2
from servicekit.errors import Invalid, NotFound, Precondition
from servicekit.ids import new_id
from servicekit.testing import NatsFixture, eventually


async def stats(world: World) -> storage_pb2.StorageStats:
    return await world.storage.GetStorageStats(storage_pb2.GetStorageStatsRequest())  # type: ignore[no-any-return]


async def spent(world: World, campaign_id: str) -> float:
    told = await world.campaigns.GetCampaign(campaigns_pb2.GetCampaignRequest(id=campaign_id))
    return float(told.spent_cents)


async def test_a_deleted_generation_is_told_of_once_and_its_cost_stays(world: World) -> None:
    campaign = await world.campaign(0)
    made = await world.generation(campaign.id)
    attempt = await world.made(made.id)
    (media,) = (await world.stage(made.id, "completed")).media
    told = await stats(world)
    assert (told.total_videos, told.total_size_bytes, told.downloads.completed) == (1, 7, 1)
    (file,) = told.files
    assert (file.id, file.url, file.sha256) == (media.id, f"/api/v3/media/{media.id}", "b" * 64)
    assert (file.generation_id, file.HasField("job_id"), file.size_bytes) == (made.id, False, 7)
    assert dict(told.by_kind)["video"] == storage_pb2.StorageUsage(count=1, size_bytes=7)

    await world.generations.DeleteGeneration(generations_pb2.DeleteGenerationRequest(id=made.id))
    (gone,) = await world.published("media.deleted.>")
    assert (gone.id, gone.key) == (f"{media.id}:deleted", media.id)
    fact = gone.message(events_pb2.MediaDeleted)
    assert list(fact.blob_keys) == [f"media/{made.id}/0.mp4", f"thumbs/{media.id}.webp"]
    (deleted,) = await world.published("generation.deleted.>")
    assert deleted.id == f"{made.id}:deleted"
    for ask in (
        world.get(made.id),
        world.media.GetMedia(media_pb2.GetMediaRequest(id=media.id)),
        world.media.LocateObject(media_pb2.LocateObjectRequest(media_id=media.id)),
        world.media.LocateObject(media_pb2.LocateObjectRequest(media_id=media.id, thumbnail=True)),
        world.generations.CancelGeneration(generations_pb2.CancelGenerationRequest(id=made.id)),
        world.generations.RetryGeneration(generations_pb2.RetryGenerationRequest(id=made.id)),
        world.delete(made.id),
    ):
        with pytest.raises(NotFound):
            await ask
    listed = await world.generations.ListGenerations(generations_pb2.ListGenerationsRequest())
    assert not listed.generations
    assert await spent(world, campaign.id) == 1.5
    told = await stats(world)
    assert (told.total_videos, told.total_size_bytes, len(told.files)) == (0, 0, 0)

    await world.succeed(attempt, round_=2)  # said again, as new facts: nothing comes back, and late bytes go
    fact_again = events_pb2.DownloadCompleted(
        prediction=world.ref(attempt), index=0, blob_key=f"media/{made.id}/0.mp4", facts=media.facts
    )
    await world.publish("download.completed", made.id, fact_again, "again")
    late = (await world.published("media.deleted.>", 2))[1]
    assert late.message(events_pb2.MediaDeleted).blob_keys[0] == f"media/{made.id}/0.mp4"
    with pytest.raises(NotFound):
        await world.get(made.id)
    assert not (await stats(world)).files
    assert await spent(world, campaign.id) == 1.5
    assert len(await world.events_in_log("dlq.>")) == 0


async def test_a_job_keeps_its_parts_until_it_is_over(world: World) -> None:
    job = await approved(world)
    first, second = (scene.generation_id for scene in job.scenes)
    await world.made(first)
    clip = (await world.stage(first, "completed")).media[0].id
    for id_ in (first, clip):
        with pytest.raises(Precondition, match="cancel the job first"):
            await world.delete(id_)
    with pytest.raises(Precondition, match="cancel it first"):
        await world.delete(second)
    await world.jobs.CancelJob(jobs_pb2.CancelJobRequest(id=job.id))
    cost = (await world.job(job.id)).cost_cents
    await world.delete(clip)
    told = await world.job(job.id)
    assert (told.scenes[0].clip_url, told.scenes[0].HasField("clip"), told.cost_cents) == ("", False, cost)
    assert "generation.deleted" in [entry.type for entry in told.timeline]
    name = media_pb2.ClipName(job_id=job.id, filename=f"scene-1-{clip}.mp4")
    with pytest.raises(NotFound):
        await world.media.LocateObject(media_pb2.LocateObjectRequest(clip=name))


async def test_a_cut_outlives_its_clips_and_goes_by_its_jobs_id(world: World) -> None:
    job = await approved(world, scene_count=1, music=None)
    scene = job.scenes[0].generation_id
    await world.made(scene)
    await world.status(job.id, "stitching")
    with pytest.raises(Precondition, match="cancel the job first"):
        await world.delete(scene)
    fact = events_pb2.StitchCompleted(
        job_id=job.id, version=1, cut_key="cuts/x.mp4", poster_key="thumbs/x.jpg"
    )
    fact.facts.size_bytes = 90
    await world.publish("stitch.completed", job.id, fact)
    await world.status(job.id, "completed")
    await world.delete(scene)
    async with (
        world.catalog.store.read() as unit
    ):  # whoever makes the cut again finds that the clip is missing
        assert (await unit.jobs.get(job.id)).scenes[0].blob_key == ""
    told = await stats(world)
    assert [(file.id, file.version, file.size_bytes) for file in told.files] == [(job.id, 1, 90)]
    assert told.files[0].url == (await world.job(job.id)).result.url
    await world.delete(job.id)
    (gone,) = [each for each in await world.published("media.deleted.>", 2) if each.key == job.id]
    assert gone.id == f"{job.id}:deleted:v1"
    assert list(gone.message(events_pb2.MediaDeleted).blob_keys) == ["cuts/x.mp4", "thumbs/x.jpg"]
    assert not (await world.job(job.id)).HasField("result")
    cut = media_pb2.CutName(job_id=job.id)
    with pytest.raises(NotFound):
        await world.media.LocateObject(media_pb2.LocateObjectRequest(cut=cut))
    with pytest.raises(NotFound):
        await world.delete(job.id)


async def test_a_clean_up_takes_what_is_old_and_a_dry_run_nothing(
    sqlite_database: str, nats: NatsFixture
) -> None:
    clock = MovedClock()
    async with running(sqlite_database, nats, clock=clock) as world:
        old = await world.generation()
        await world.made(old.id)
        await world.stage(old.id, "completed")
        clock.moved += timedelta(days=31)
        young = await world.generation()
        ask = storage_pb2.CleanUpStorageRequest(older_than_days=30, dry_run=True)
        would = await world.storage.CleanUpStorage(ask)
        assert (list(would.ids), would.files, would.size_bytes, would.dry_run) == ([old.id], 1, 7, True)
        await world.get(old.id)
        done = await world.storage.CleanUpStorage(storage_pb2.CleanUpStorageRequest(older_than_days=30))
        assert (list(done.ids), done.generations, done.files, done.more) == ([old.id], 1, 1, False)
        assert done.by_kind == would.by_kind
        with pytest.raises(NotFound):
            await world.get(old.id)
        await world.get(young.id)
        for days in (0, -1, 40_000):
            with pytest.raises(Invalid, match="older_than_days"):
                await world.storage.CleanUpStorage(storage_pb2.CleanUpStorageRequest(older_than_days=days))


async def test_ids_of_other_kinds_are_refused_by_name(world: World) -> None:
    with pytest.raises(Invalid, match=r"gen_….*med_….*job_…"):
        await world.delete(new_id("asset"))
    for kind in ("generation", "media", "job"):
        with pytest.raises(NotFound):
            await world.delete(new_id(kind))
    with pytest.raises(Invalid, match="id of a media"):
        await world.generations.DeleteGeneration(generations_pb2.DeleteGenerationRequest(id=new_id("media")))


async def test_the_generator_is_told_that_there_is_nothing_to_do(world: World) -> None:
    made = await world.generation()
    await world.made(made.id)
    await world.stage(made.id, "completed")
    await world.delete(made.id)
    work = await world.begin(made.id)  # its message comes again
    assert work.reason == "final"

    async def nothing_waits() -> None:
        assert not (await world.catalog.reconciler.run_once()).any

    await eventually(nothing_waits)
