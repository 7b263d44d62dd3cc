"""The whole life of a job, driven by the events of the other services as they come through the log."""

from __future__ import annotations

from catalog_jobs import planned, stitched
from running_catalog import PRICE, RunningCatalog

from rushes.catalog.v1 import jobs_pb2, media_pb2
from rushes.common.v1 import media_pb2 as common_pb2
from rushes.edit.v1 import edit_pb2
from rushes.events.v1 import events_pb2
from servicekit.grpc.rules import check

AUDIO = common_pb2.MEDIA_KIND_AUDIO


async def test_a_job_from_photos_to_the_cut(catalog: RunningCatalog) -> None:
    campaign = await catalog.campaign()
    job = await planned(catalog, campaign.id)
    assert job.status == jobs_pb2.JOB_STATUS_AWAITING_APPROVAL
    assert [scene.prompt for scene in job.scenes] == ["scene 1", "scene 2"]
    assert job.estimated_cost_cents == 3 * PRICE / 10_000, "two scenes and the music"
    assert catalog.generator.planned[0].photos[0].name == "photo 0"

    job = await catalog.jobs.ApproveJob(jobs_pb2.ApproveJobRequest(id=job.id))
    assert job.status == jobs_pb2.JOB_STATUS_RENDERING
    requests = await catalog.published("generation.requested.>", 3)
    assert {event.key for event in requests} == {
        f"replicate.{each}" for each in [s.generation_id for s in job.scenes] + [job.edit.music.generation_id]
    }
    for scene in job.scenes:
        await catalog.made(scene.generation_id)
    await catalog.made(job.edit.music.generation_id, AUDIO)

    job = await catalog.status(job.id, "stitching")
    (requested,) = await catalog.published("stitch.requested.>")
    message = requested.message(events_pb2.StitchRequested)
    edit = message.edit
    assert [clip.scene_id for clip in edit.clips] == [scene.id for scene in job.scenes]
    assert [clip.media_id for clip in edit.clips] == [scene.clip.id for scene in job.scenes]
    assert [clip.out_seconds for clip in edit.clips] == [4, 4]
    assert edit.music.media_id
    generations = {scene.clip.id: scene.generation_id for scene in job.scenes}
    generations[edit.music.media_id] = job.edit.music.generation_id
    assert dict(message.blob_keys) == {id_: f"media/{each}/0.mp4" for id_, each in generations.items()}
    assert (edit.width, edit.height, edit.fps) == (640, 360, 25)
    assert edit.transition == edit_pb2.Transition(kind=edit_pb2.TRANSITION_KIND_CUT)
    assert edit == job.edit
    assert message.cut_key == f"cuts/{job.id}/v1.mp4"
    assert message.thumbnail_key == f"thumbs/{job.id}-v1.jpg"
    check(message)

    await stitched(catalog, job.id)
    job = await catalog.status(job.id, "completed")
    assert job.result.url == f"/api/v3/videos/{job.id}/combined?version=1"
    assert job.result.thumbnail_url == f"/api/v3/videos/{job.id}/thumbnail?version=1"
    assert job.cost_cents == 3 * 1.5
    assert job.progress.percent == 100
    (done,) = await catalog.published("job.completed.>")
    assert done.message(events_pb2.JobCompleted).cost_micros == 45_000
    scene = job.scenes[0]
    assert scene.clip_url == f"/api/v3/videos/{job.id}/clips/scene-1-{scene.clip.id}.mp4"
    clip = media_pb2.ClipName(job_id=job.id, filename=scene.clip_url.rpartition("/")[2])
    found = await catalog.media.LocateObject(media_pb2.LocateObjectRequest(clip=clip))
    assert found.blob_key == f"media/{scene.generation_id}/0.mp4"
    cut = await catalog.media.LocateObject(
        media_pb2.LocateObjectRequest(cut=media_pb2.CutName(job_id=job.id))
    )
    assert (cut.blob_key, cut.filename) == (f"cuts/{job.id}/v1.mp4", "spring-v1.mp4")
    types = [entry.type for entry in job.timeline]
    assert types[0] == "job.created"
    assert types[-1] == "job.completed"
