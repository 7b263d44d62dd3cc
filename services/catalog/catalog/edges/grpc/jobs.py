"""Serves JobService. The contract documents its methods."""

from __future__ import annotations

from functools import partial

from catalog.core.generations.domain.model import Generation, Output, OutputState, Stage
from catalog.core.jobs.domain.model import Cut, Job, JobRequest, JobStatus, Music, Scene
from catalog.core.jobs.domain.progress import generation_percent, job_progress
from catalog.core.jobs.domain.request import request_for_pairs, request_for_planning, requested_music
from catalog.core.jobs.service import JobDetails, JobService
from catalog.edges.grpc import proto_mapping
from catalog.edges.grpc.generations import output_message
from catalog.edges.grpc.proto_mapping import Context, cents, page_that_fits
from catalog.edit_message import edit_document, resolved_edit
from catalog.proto_enums import error_to_proto, facts_to_proto, timestamp
from rushes.catalog.v1 import jobs_pb2 as pb
from rushes.catalog.v1 import jobs_pb2_grpc
from rushes.common.v1 import media_pb2 as common_pb2
from rushes.edit.v1 import edit_pb2

STATUSES = {status: getattr(pb, f"JOB_STATUS_{status.name}") for status in JobStatus}
_STATUS_OF = {message: status for status, message in STATUSES.items()}
SCENE_STAGES = {stage: getattr(pb, f"SCENE_STAGE_{stage.name}") for stage in Stage}


class JobServicer(jobs_pb2_grpc.JobServiceServicer):
    def __init__(self, jobs: JobService, *, fps: float) -> None:
        self._jobs = jobs
        self._fps = fps

    async def CreateJob(self, request: pb.CreateJobRequest, context: Context) -> pb.Job:
        job_request = request_for_planning(
            scene_count=request.scene_count,
            scene_seconds=request.scene_seconds,
            model=request.model,
            planner=request.planner,
            size=request.size,
            aspect=request.aspect,
        )
        return await self._create(request, job_request)

    async def CreateJobFromImagePairs(
        self, request: pb.CreateJobFromImagePairsRequest, context: Context
    ) -> pb.Job:
        pairs = [(p.first_asset_id, p.last_asset_id, p.prompt, p.seconds) for p in request.pairs]
        return await self._create(request, request_for_pairs(pairs, model=request.model, size=request.size))

    async def _create(
        self, request: pb.CreateJobRequest | pb.CreateJobFromImagePairsRequest, job_request: JobRequest
    ) -> pb.Job:
        edit = edit_pb2.Edit(width=job_request.width, height=job_request.height, fps=self._fps)
        edit.transition.kind = request.transition
        if request.transition_seconds:
            edit.transition.seconds = request.transition_seconds
        music: Music | None = None
        if request.HasField("music"):
            music = requested_music(
                asset_id=request.music.asset_id, prompt=request.music.prompt, model=request.music.model
            )
            edit.music.asset_id = music.asset_id
            edit.music.prompt = music.prompt
            edit.music.model = music.model
            edit.music.gain_db = request.music.gain_db
        details = await self._jobs.create(request.campaign_id, job_request, edit_document(edit), music)
        return job_message(details)

    async def GetJob(self, request: pb.GetJobRequest, context: Context) -> pb.Job:
        return job_message(await self._jobs.get(request.id))

    async def ListJobs(self, request: pb.ListJobsRequest, context: Context) -> pb.ListJobsResponse:
        return await page_that_fits(
            request,
            partial(self._jobs.page, campaign_id=request.campaign_id, status=_STATUS_OF.get(request.status)),
            lambda page: pb.ListJobsResponse(
                jobs=[job_message(each) for each in page.items], next_page_token=page.next_token
            ),
        )

    async def ApproveJob(self, request: pb.ApproveJobRequest, context: Context) -> pb.Job:
        return job_message(await self._jobs.approve(request.id))

    async def PauseJob(self, request: pb.PauseJobRequest, context: Context) -> pb.Job:
        return job_message(await self._jobs.pause(request.id))

    async def ResumeJob(self, request: pb.ResumeJobRequest, context: Context) -> pb.Job:
        return job_message(await self._jobs.resume(request.id))

    async def CancelJob(self, request: pb.CancelJobRequest, context: Context) -> pb.Job:
        return job_message(await self._jobs.cancel(request.id))


def job_message(details: JobDetails) -> pb.Job:
    job = details.job
    percent, message = job_progress(job, details.generations)
    return pb.Job(
        id=job.id,
        campaign_id=job.campaign_id,
        status=STATUSES[job.status],
        paused=job.paused,
        progress=common_pb2.Progress(percent=percent, message=message),
        scenes=[_scene(job, each, details.generations.get(each.generation_id)) for each in job.scenes],
        edit=resolved_edit(job),
        result=_cut(job, job.present_cuts[-1]) if job.present_cuts else None,
        error=error_to_proto(job.error) if job.error else None,
        estimated_cost_cents=cents(job.estimate_micros),
        cost_cents=cents(details.cost_micros),
        planner=job.planner,
        timeline=[
            pb.TimelineEntry(at=timestamp(each.at), type=each.type, message=each.message)
            for each in details.timeline
        ],
        created_at=timestamp(job.created_at),
        updated_at=timestamp(job.updated_at),
        finished_at=timestamp(job.finished_at),
        reserve_cents=cents(job.reserve_micros),
    )


def _scene(job: Job, scene: Scene, generation: Generation | None) -> pb.Scene:
    clip = _clip(scene, generation) if generation else None
    error = generation.error if generation else scene.error
    return pb.Scene(
        id=scene.id,
        position=scene.position,
        prompt=scene.prompt,
        seconds=scene.seconds,
        first_asset_id=scene.first_asset_id,
        last_asset_id=scene.last_asset_id or None,
        model=scene.run.model,
        reason=scene.reason,
        stage=SCENE_STAGES[generation.stage] if generation else pb.SCENE_STAGE_PLANNED,
        progress=common_pb2.Progress(
            percent=generation_percent(generation) if generation else 0.0,
            message=generation.message if generation else "",
        ),
        generation_id=scene.generation_id or None,
        clip=output_message(scene.generation_id, clip) if clip else None,
        clip_url=proto_mapping.clip_url(job.id, scene.position, clip.media_id) if clip else "",
        error=error_to_proto(error) if error else None,
    )


def _clip(scene: Scene, generation: Generation) -> Output | None:
    """The output that is the scene's clip; if the job ended before it came, the one that the run was for."""
    if scene.media_id:
        return next((output for output in generation.stored if output.media_id == scene.media_id), None)
    deleted = any(output.state is OutputState.DELETED for output in generation.outputs)
    return None if deleted else generation.main


def _cut(job: Job, cut: Cut) -> pb.Cut:
    return pb.Cut(
        version=cut.version,
        url=proto_mapping.cut_url(job.id, cut.version),
        thumbnail_url=proto_mapping.cut_thumbnail_url(job.id, cut.version),
        facts=facts_to_proto(cut.facts),
        created_at=timestamp(cut.created_at),
    )
