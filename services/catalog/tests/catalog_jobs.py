"""Jobs of a running catalog, taken some steps of their way."""

from __future__ import annotations

from running_catalog import RunningCatalog

from rushes.catalog.v1 import jobs_pb2
from rushes.common.v1 import media_pb2 as common_pb2
from rushes.events.v1 import events_pb2


async def planned(catalog: RunningCatalog, campaign_id: str, **more: object) -> jobs_pb2.Job:
    request = {"scene_count": 2, "size": "640x360", "music": jobs_pb2.MusicRequest(prompt="calm"), **more}
    return await catalog.jobs.CreateJob(jobs_pb2.CreateJobRequest(campaign_id=campaign_id, **request))


async def approved(catalog: RunningCatalog, **more: object) -> jobs_pb2.Job:
    campaign = await catalog.campaign()
    job = await planned(catalog, campaign.id, **more)
    return await catalog.jobs.ApproveJob(jobs_pb2.ApproveJobRequest(id=job.id))


async def stitched(catalog: RunningCatalog, job_id: str, version: int = 1) -> None:
    message = events_pb2.StitchCompleted(
        job_id=job_id,
        version=version,
        cut_key=f"cuts/{job_id}/v{version}.mp4",
        poster_key=f"thumbs/{job_id}-v{version}.jpg",
        facts=common_pb2.MediaFacts(
            kind=common_pb2.MEDIA_KIND_VIDEO,
            content_type="video/mp4",
            size_bytes=99,
            sha256="c" * 64,
            duration_s=8,
        ),
    )
    await catalog.publish("stitch.completed", job_id, message, f"v{version}")
