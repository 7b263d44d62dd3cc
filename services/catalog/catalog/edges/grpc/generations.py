"""Serves GenerationService and DownloadService. The contract documents their methods."""

from __future__ import annotations

from functools import partial

from google.protobuf.empty_pb2 import Empty

from catalog.core.generations.domain.model import Generation, LostOutput, Output, Stage, Status
from catalog.core.generations.ports import GenerationFilter
from catalog.core.generations.service import GenerationRequest, GenerationService
from catalog.core.jobs.domain.progress import generation_percent
from catalog.core.shared.domain import Facts
from catalog.core.storage.admin import StorageAdmin
from catalog.edges.grpc import proto_mapping
from catalog.edges.grpc.proto_mapping import Context, cents, page_that_fits
from catalog.proto_enums import PROTO_KINDS, error_to_proto, timestamp
from rushes.catalog.v1 import generations_pb2 as pb
from rushes.catalog.v1 import generations_pb2_grpc, media_pb2
from rushes.common.v1 import media_pb2 as common_pb2
from servicekit.clock import Clock

STAGES = {stage: getattr(pb, f"GENERATION_STAGE_{stage.name}") for stage in Stage}
STATUSES = {status: getattr(pb, f"GENERATION_STATUS_{status.name}") for status in Status}
_STATUS_OF = {message: status for status, message in STATUSES.items()}


class GenerationServicer(generations_pb2_grpc.GenerationServiceServicer):
    def __init__(self, generations: GenerationService, storage_admin: StorageAdmin) -> None:
        self._generations = generations
        self._storage_admin = storage_admin

    async def CreateGeneration(self, request: pb.CreateGenerationRequest, context: Context) -> pb.Generation:
        return generation_message(await self._generations.create(_generation_request(request)))

    async def BatchCreateGenerations(
        self, request: pb.BatchCreateGenerationsRequest, context: Context
    ) -> pb.BatchCreateGenerationsResponse:
        made = await self._generations.create_all([_generation_request(each) for each in request.requests])
        return pb.BatchCreateGenerationsResponse(generations=[generation_message(each) for each in made])

    async def EstimateGeneration(
        self, request: pb.EstimateGenerationRequest, context: Context
    ) -> pb.EstimateGenerationResponse:
        run = await self._generations.estimate(
            GenerationRequest(request.model, request.version, proto_mapping.struct_to_dict(request.input))
        )
        return pb.EstimateGenerationResponse(
            estimated_cost_cents=cents(run.estimate_micros),
            basis=run.basis,
            reserve_cents=cents(run.reserve_or_estimate_micros),
        )

    async def GetGeneration(self, request: pb.GetGenerationRequest, context: Context) -> pb.Generation:
        return generation_message(await self._generations.get(request.id))

    async def ListGenerations(
        self, request: pb.ListGenerationsRequest, context: Context
    ) -> pb.ListGenerationsResponse:
        only = GenerationFilter(
            kind=proto_mapping.media_kind_filter(request.kind),
            status=_STATUS_OF.get(request.status),
            model=request.model,
            campaign_id=request.campaign_id,
            job_id=request.job_id,
        )
        return await page_that_fits(
            request,
            partial(self._generations.page, only=only),
            lambda page: pb.ListGenerationsResponse(
                generations=[generation_message(each) for each in page.items], next_page_token=page.next_token
            ),
        )

    async def CancelGeneration(self, request: pb.CancelGenerationRequest, context: Context) -> pb.Generation:
        return generation_message(await self._generations.cancel(request.id))

    async def RetryGeneration(self, request: pb.RetryGenerationRequest, context: Context) -> pb.Generation:
        return generation_message(await self._generations.retry(request.id))

    async def DeleteGeneration(self, request: pb.DeleteGenerationRequest, context: Context) -> Empty:
        await self._storage_admin.delete_generation(request.id)
        return Empty()


class DownloadServicer(generations_pb2_grpc.DownloadServiceServicer):
    def __init__(self, generations: GenerationService, clock: Clock) -> None:
        self._generations = generations
        self._clock = clock

    async def ListLostOutputs(
        self, request: pb.ListLostOutputsRequest, context: Context
    ) -> pb.ListLostOutputsResponse:
        page = await self._generations.lost(proto_mapping.page_request(request))
        return pb.ListLostOutputsResponse(
            downloads=[self._message(each) for each in page.items], next_page_token=page.next_token
        )

    async def RequeueDownload(self, request: pb.RequeueDownloadRequest, context: Context) -> pb.Generation:
        return generation_message(await self._generations.requeue(request.generation_id))

    def _message(self, lost: LostOutput) -> pb.LostOutput:
        return pb.LostOutput(
            generation_id=lost.generation_id,
            job_id=lost.job_id or None,
            index=lost.index,
            model=lost.model,
            error=error_to_proto(lost.error),
            failed_at=timestamp(lost.failed_at),
            expires_at=timestamp(lost.expires_at),
            alive=lost.may_live(self._clock.now()),
        )


def generation_message(generation: Generation) -> pb.Generation:
    run = generation.run
    return pb.Generation(
        id=generation.id,
        status=STATUSES[generation.status],
        stage=STAGES[generation.stage],
        progress=common_pb2.Progress(percent=generation_percent(generation), message=generation.message),
        model=run.model,
        version=run.version,
        kind=PROTO_KINDS[run.kind],
        input=proto_mapping.dict_to_struct(run.shown_input),
        error=error_to_proto(generation.error) if generation.error else None,
        media=[output_message(generation.id, each) for each in generation.stored],
        attempts=generation.submissions,
        estimated_cost_cents=cents(run.estimate_micros),
        cost_cents=cents(generation.cost_micros),
        campaign_id=generation.campaign_id or None,
        job_id=generation.job_id or None,
        scene_id=generation.scene_id or None,
        provider=run.provider,
        created_at=timestamp(generation.created_at),
        updated_at=timestamp(generation.updated_at),
        finished_at=timestamp(generation.finished_at),
        reserve_cents=cents(run.reserve_or_estimate_micros),
    )


def output_message(generation_id: str, output: Output) -> media_pb2.Media:
    facts = output.facts or Facts()
    return proto_mapping.media_message(output.media_id, generation_id, output.index, facts, output.at)


def _generation_request(request: pb.CreateGenerationRequest) -> GenerationRequest:
    return GenerationRequest(
        request.model, request.version, proto_mapping.struct_to_dict(request.input), request.campaign_id
    )
