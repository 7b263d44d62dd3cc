"""A catalog in this process with real parts around it; a small generator and stitcher answer at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct

from catalog.config import Settings
from catalog.main import Catalog, compose
from events.topology import streams
from rushes.catalog.v1 import (
    assets_pb2,
    assets_pb2_grpc,
    attempts_pb2,
    attempts_pb2_grpc,
    campaigns_pb2,
    campaigns_pb2_grpc,
    clients_pb2,
    clients_pb2_grpc,
    generations_pb2,
    generations_pb2_grpc,
    jobs_pb2,
    jobs_pb2_grpc,
    keys_pb2_grpc,
    media_pb2_grpc,
    storage_pb2,
    storage_pb2_grpc,
)
from rushes.common.v1 import media_pb2
from rushes.edit.v1 import edit_pb2
from rushes.events.v1 import events_pb2
from rushes.generator.v1 import models_pb2, models_pb2_grpc, plan_pb2, plan_pb2_grpc
from rushes.stitcher.v1 import stitcher_pb2, stitcher_pb2_grpc
from servicekit.clock import Clock, SystemClock
from servicekit.errors import AppError, FieldProblem, Invalid, NotFound
from servicekit.events import Event, EventLog
from servicekit.grpc.client import open_channel
from servicekit.grpc.server import GrpcServer
from servicekit.ids import new_id
from servicekit.testing import eventually

PRICE = 20_000
"""Micro-dollars that the small generator estimates for every run: two cents."""


class SmallGenerator(models_pb2_grpc.ModelServiceServicer, plan_pb2_grpc.PlanServiceServicer):
    """Prepares what it is given, plans one scene per photo; can be slow, away, or strict."""

    def __init__(self) -> None:
        self.prepared: list[models_pb2.PrepareInputRequest] = []
        self.planned: list[plan_pb2.PlanScenesRequest] = []
        self.price = PRICE
        self.reserve, self.deadline = 0, 0.0
        self.kinds: dict[str, media_pb2.MediaKind.ValueType] = {}
        """What some models make; others make music or video, by their names."""
        self.go = asyncio.Event()
        self.go.set()
        self.errors: list[AppError] = []
        """What the next plans fail with."""
        self._server = GrpcServer(
            "127.0.0.1:0",
            [self],
            clock=SystemClock(),
            service="generator",
            grace=0.2,
        )

    async def start(self) -> None:
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.port}"

    async def PrepareInput(self, request: models_pb2.PrepareInputRequest, context: Any) -> Any:  # noqa: N802
        self.prepared.append(request)
        if "bad" in request.input:
            raise Invalid.field("input.bad", "no such parameter")
        given = Struct()
        if request.HasField("scene"):
            given.update({"prompt": request.scene.prompt, "image": request.scene.first_image})
        else:
            given.update(dict(request.input))
        if request.model == "nobody/nothing":
            raise NotFound("no model nobody/nothing", fields=[FieldProblem("model", "there is none")])
        shown = json_format.MessageToDict(given)
        music = "music" in request.model
        kind = media_pb2.MEDIA_KIND_AUDIO if music else media_pb2.MEDIA_KIND_VIDEO
        return models_pb2.PrepareInputResponse(
            model=request.model,
            version=request.version,
            input=given,
            kind=self.kinds.get(request.model, kind),
            estimate_micros=self.price,
            estimate_basis="price table",
            provider="replicate",
            reserve_micros=self.reserve,
            deadline_s=self.deadline,
            secret_fields=[name for name in shown if name == "api_key"],
            asset_ids=[
                str(value).removeprefix("asset:")
                for name, value in shown.items()
                if name == "image" and str(value).startswith("asset:")
            ],
        )

    async def PlanScenes(self, request: plan_pb2.PlanScenesRequest, context: Any) -> Any:  # noqa: N802
        if self.errors:
            raise self.errors.pop(0)
        self.planned.append(request)
        await self.go.wait()
        scenes = [
            plan_pb2.PlannedScene(
                first_asset_id=request.photos[number % len(request.photos)].asset_id,
                prompt=f"scene {number + 1}",
                seconds=request.scene_seconds,
                reason="it is there",
                model=request.model or "rushes/camera-move",
            )
            for number in range(request.scene_count)
        ]
        return plan_pb2.PlanScenesResponse(
            scenes=scenes,
            planner="deterministic",
            music_model="rushes/music-bed",
            pair_model="rushes/first-last",
        )


class SmallStitcher(stitcher_pb2_grpc.StitcherServiceServicer):
    """Judges every edit to be good; can be away, or strict."""

    def __init__(self) -> None:
        self.checked: list[edit_pb2.Edit] = []
        self.troubles: list[AppError] = []
        """What the next checks fail with."""
        self._server = GrpcServer(
            "127.0.0.1:0",
            [self],
            clock=SystemClock(),
            service="stitcher",
            grace=0.2,
        )

    async def start(self) -> None:
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.port}"

    async def CheckEdit(self, request: stitcher_pb2.CheckEditRequest, context: Any) -> Any:  # noqa: N802
        if self.troubles:
            raise self.troubles.pop(0)
        edit = request.edit
        self.checked.append(edit)
        checked = edit_pb2.Edit()
        checked.CopyFrom(edit)
        checked.transition.kind = edit.transition.kind or edit_pb2.TRANSITION_KIND_CUT
        checked.fit = edit_pb2.FIT_AUTO
        overlap = edit.transition.seconds * (len(edit.clips) - 1)
        seconds = sum(clip.out_seconds for clip in edit.clips) - overlap
        return stitcher_pb2.CheckEditResponse(edit=checked, duration_seconds=seconds)


class RunningCatalog:
    """A running catalog with a stub per service, the log, and a method for each event of the others."""

    def __init__(
        self, settings: Settings, clock: Clock, generator: SmallGenerator, stitcher: SmallStitcher
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.generator = generator
        self.stitcher = stitcher
        self.service: Catalog = compose(settings, clock)
        self.log = EventLog(settings.nats_url, service="test", clock=SystemClock(), streams=streams())
        self._started: list[Any] = []

    async def start(self) -> None:
        for part in self.service.parts:
            self._started.append(part)
            await part.start()
        await self.log.start()
        self.channel = open_channel(f"127.0.0.1:{self.service.server.port}")
        self.clients: Any = clients_pb2_grpc.ClientServiceStub(self.channel)
        self.campaigns: Any = campaigns_pb2_grpc.CampaignServiceStub(self.channel)
        self.assets: Any = assets_pb2_grpc.AssetServiceStub(self.channel)
        self.media: Any = media_pb2_grpc.MediaServiceStub(self.channel)
        self.keys: Any = keys_pb2_grpc.KeyServiceStub(self.channel)
        self.generations: Any = generations_pb2_grpc.GenerationServiceStub(self.channel)
        self.downloads: Any = generations_pb2_grpc.DownloadServiceStub(self.channel)
        self.attempts: Any = attempts_pb2_grpc.AttemptServiceStub(self.channel)
        self.jobs: Any = jobs_pb2_grpc.JobServiceStub(self.channel)
        self.storage: Any = storage_pb2_grpc.StorageServiceStub(self.channel)

    async def stop(self) -> None:
        if self.service.server.port:
            await self.channel.close()
        await self.log.stop()
        for part in reversed(self._started):
            await part.stop()

    # Records ------------------------------------------------------------------------------------

    async def campaign(self, photos: int = 4, **more: Any) -> Any:
        client = await self.clients.CreateClient(clients_pb2.CreateClientRequest(name="Harbour Homes"))
        campaign = await self.campaigns.CreateCampaign(
            campaigns_pb2.CreateCampaignRequest(name="Spring", client_id=client.id, **more)
        )
        for number in range(photos):
            await self.asset(campaign.id, f"photo {number}")
        return campaign

    async def asset(
        self, campaign_id: str, name: str = "photo", kind: Any = media_pb2.MEDIA_KIND_IMAGE, **more: Any
    ) -> Any:
        asset_id = new_id("asset")
        return await self.assets.CreateAsset(
            assets_pb2.CreateAssetRequest(
                id=asset_id,
                name=name,
                campaign_id=campaign_id,
                filename=f"{name}.jpg",
                blob_key=f"assets/{asset_id}/original.jpg",
                facts=media_pb2.MediaFacts(
                    kind=kind, content_type="image/jpeg", size_bytes=9, sha256="a" * 64
                ),
                **more,
            )
        )

    async def generation(self, campaign_id: str = "", model: str = "rushes/instant", **input_: Any) -> Any:
        given = Struct()
        given.update(input_ or {"prompt": "x"})
        return await self.generations.CreateGeneration(
            generations_pb2.CreateGenerationRequest(model=model, input=given, campaign_id=campaign_id)
        )

    async def get(self, generation_id: str) -> Any:
        return await self.generations.GetGeneration(generations_pb2.GetGenerationRequest(id=generation_id))

    async def delete(self, id_: str) -> None:
        await self.storage.DeleteVideo(storage_pb2.DeleteVideoRequest(id=id_))

    async def job(self, job_id: str) -> Any:
        return await self.jobs.GetJob(jobs_pb2.GetJobRequest(id=job_id))

    # What the generator asks and says -----------------------------------------------------------

    async def begin(self, generation_id: str) -> Any:
        return await self.attempts.BeginAttempt(attempts_pb2.BeginAttemptRequest(generation_id=generation_id))

    async def next_step(self, generation_id: str) -> tuple[str, str]:
        """What would be done next, and why not more."""
        answer = await self.attempts.GetNextStep(attempts_pb2.GetNextStepRequest(generation_id=generation_id))
        return attempts_pb2.NextStep.Name(answer.next_step).removeprefix("NEXT_STEP_").lower(), answer.reason

    async def submitted(self, generation_id: str) -> Any:
        """An attempt that the provider accepted; answers its attempt."""
        work = await self.begin(generation_id)
        assert work.next_step == attempts_pb2.NEXT_STEP_SUBMIT, work
        return await self.attempts.RecordSubmitted(
            attempts_pb2.RecordSubmittedRequest(
                attempt_id=work.attempt.id, prediction_id=f"p{work.attempt.id[4:].lower()}"
            )
        )

    async def publish(self, type_: str, key: str, message: Message, turn: str = "") -> Event:
        event = Event(
            id=f"{key}:{type_}:{turn}", type=type_, key=key, data=message.SerializeToString(), source="test"
        )
        await self.log.publish(event)
        return event

    def ref(self, attempt: Any, *, round_: int = 1) -> events_pb2.PredictionRef:
        return events_pb2.PredictionRef(
            generation_id=attempt.generation_id,
            attempt_id=attempt.id,
            prediction_id=attempt.prediction_id,
            round=round_,
        )

    async def succeed(
        self, attempt: Any, *, outputs: int = 1, cost: int = 15_000, round_: int = 1, life: float = 3600
    ) -> None:
        message = events_pb2.PredictionSucceeded(
            prediction=self.ref(attempt, round_=round_),
            outputs=[events_pb2.Output(index=number, source_url="https://x/y") for number in range(outputs)],
            cost_micros=cost,
        )
        message.expires_at.FromDatetime(self.clock.now() + timedelta(seconds=life))
        await self.publish("prediction.succeeded", attempt.generation_id, message, f"{attempt.id}:{round_}")

    async def fail(
        self, attempt: Any, code: str = "E005", *, retryable: bool = False, wait: float = 0.0
    ) -> None:
        error = media_pb2.Error(code=code, message=f"{code} at the provider", retryable=retryable)
        message = events_pb2.PredictionFailed(
            prediction=self.ref(attempt), error=error, cost_micros=15_000, retry_after_s=wait
        )
        await self.publish("prediction.failed", attempt.generation_id, message, attempt.id)

    async def store(self, attempt: Any, index: int = 0, kind: Any = media_pb2.MEDIA_KIND_VIDEO) -> None:
        message = events_pb2.DownloadCompleted(
            prediction=self.ref(attempt),
            index=index,
            blob_key=f"media/{attempt.generation_id}/{index}.mp4",
            facts=media_pb2.MediaFacts(kind=kind, content_type="video/mp4", size_bytes=7, sha256="b" * 64),
        )
        await self.publish("download.completed", attempt.generation_id, message, f"{attempt.id}:{index}")

    async def lose(
        self, attempt: Any, *, retryable: bool, round_: int = 1, life: float = 3600, code: str = "truncated"
    ) -> None:
        error = media_pb2.Error(code=code, message="it ends too early", retryable=retryable)
        message = events_pb2.DownloadFailed(prediction=self.ref(attempt, round_=round_), index=0, error=error)
        message.expires_at.FromDatetime(self.clock.now() + timedelta(seconds=life))
        await self.publish("download.failed", attempt.generation_id, message, f"{attempt.id}:{round_}")

    async def made(self, generation_id: str, kind: Any = media_pb2.MEDIA_KIND_VIDEO) -> Any:
        """The whole life of a generation that goes well."""
        attempt = await self.submitted(generation_id)
        await self.succeed(attempt)
        await self.store(attempt, kind=kind)
        return attempt

    # Reading the log ----------------------------------------------------------------------------

    async def events_in_log(self, subject: str) -> list[Event]:
        """What stands in the log now under a subject, oldest first."""
        consumer = await self.log.js.subscribe(subject, ordered_consumer=True, stream="RUSHES")
        found: list[Event] = []
        try:
            while True:
                message = await consumer.next_msg(timeout=0.2)
                headers = message.headers or {}
                found.append(
                    Event(
                        id=headers["ce-id"],
                        type=headers["ce-type"],
                        key=message.subject.removeprefix(f"{headers['ce-type']}."),
                        data=message.data,
                    )
                )
        except TimeoutError:
            return found
        finally:
            await consumer.unsubscribe()

    async def published(self, subject: str, count: int = 1) -> list[Event]:
        """The events under a subject once there are so many."""

        async def enough() -> list[Event]:
            found = await self.events_in_log(subject)
            assert len(found) >= count, f"{len(found)} of {count}"
            return found

        return await eventually(enough)

    async def stage(self, generation_id: str, stage: str) -> Any:
        """The generation once it is at that stage."""
        wanted = getattr(generations_pb2, f"GENERATION_STAGE_{stage.upper()}")

        async def there() -> Any:
            shown = await self.get(generation_id)
            assert shown.stage == wanted, generations_pb2.GenerationStage.Name(shown.stage)
            return shown

        return await eventually(there)

    async def status(self, job_id: str, status: str) -> Any:
        """The job once it has that status."""
        wanted = getattr(jobs_pb2, f"JOB_STATUS_{status.upper()}")

        async def there() -> Any:
            shown = await self.job(job_id)
            assert shown.status == wanted, f"{jobs_pb2.JobStatus.Name(shown.status)}: {shown.error}"
            return shown

        return await eventually(there)


def settings_for(database_url: str, nats_url: str, generator_address: str, **more: Any) -> Settings:
    """Settings of a catalog under test: the reconciler is called by hand."""
    return Settings(
        **{
            "grpc_listen": "127.0.0.1:0",
            "nats_url": str(nats_url),
            "database_url": database_url,
            "generator_address": generator_address,
            "admin_key": "operator-key",
            "reconcile_every": timedelta(seconds=600),
            **more,
        }
    )


@asynccontextmanager
async def running(
    database_url: str, nats_url: str, *, clock: Clock | None = None, **more: Any
) -> AsyncIterator[RunningCatalog]:
    """A running catalog on a database of yours."""
    generator, stitcher = SmallGenerator(), SmallStitcher()
    await generator.start()
    await stitcher.start()
    more = {"stitcher_address": stitcher.address, **more}
    settings = settings_for(database_url, nats_url, generator.address, **more)
    catalog = RunningCatalog(settings, clock or SystemClock(), generator, stitcher)
    try:
        await catalog.start()
        yield catalog
    finally:
        await catalog.stop()
        await generator.stop()
        await stitcher.stop()
