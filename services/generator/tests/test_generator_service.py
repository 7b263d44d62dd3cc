"""The service as a process, between a real event log, a real blob store, the sandbox and a catalog."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio
import httpx
import pytest
from generator_catalog_stub import CatalogStub
from generator_fakes import FakeAttempts
from generator_processes import free_port
from google.protobuf import json_format
from PIL import Image

from events.topology import streams
from generator.core.runs.domain.attempt import AttemptState
from rushes.events.v1 import events_pb2
from rushes.generator.v1 import (
    models_pb2,
    models_pb2_grpc,
    plan_pb2,
    plan_pb2_grpc,
    webhooks_pb2,
    webhooks_pb2_grpc,
)
from servicekit.blobs import BlobStore
from servicekit.clock import SystemClock
from servicekit.errors import Invalid, NotFound, Unauthenticated
from servicekit.events import Event, EventLog
from servicekit.grpc.client import open_channel
from servicekit.grpc.server import GrpcServer
from servicekit.ids import new_id
from servicekit.testing import NatsFixture, S3Server, eventually

ASSET = "ast_01JCZZZZZZZZZZZZZZZZZZZZZZ"


@dataclass
class Stage:
    """Everything around the service under test."""

    log: EventLog
    records: FakeAttempts
    base: str
    environ: dict[str, str]
    folder: Path
    blobs: BlobStore
    published: list[Event] = field(default_factory=list)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    async def spawn(self, **changes: str) -> tuple[subprocess.Popen[bytes], grpc.aio.Channel]:
        """A replica of the generator, answering."""
        port = free_port()
        environ = os.environ | self.environ | {"GRPC_LISTEN": f"127.0.0.1:{port}"} | changes
        with (self.folder / f"generator-{port}.log").open("w") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "generator"], env=environ, stdout=out, stderr=out
            )
        self.processes.append(process)
        channel = open_channel(f"127.0.0.1:{port}")
        models: Any = models_pb2_grpc.ModelServiceStub(channel)

        async def answers() -> None:
            assert process.poll() is None, (self.folder / f"generator-{port}.log").read_text()
            try:
                await models.ListCollections(models_pb2.ListCollectionsRequest())
            except Exception as error:  # not yet
                raise AssertionError(str(error)) from error

        await eventually(answers, within=60)
        return process, channel

    async def request(self, generation: str, round_: int = 1, assets: Sequence[str] = ()) -> None:
        message = events_pb2.GenerationRequested(
            generation_id=generation, job_id="job_1", round=round_, asset_ids=assets
        )
        await self.log.publish(
            Event(
                f"{generation}:requested:{round_}",
                "generation.requested",
                f"replicate.{generation}",
                message.SerializeToString(),
            )
        )

    async def event(self, kind: str, generation: str, within: float = 20.0) -> Event:
        def find() -> Event:
            for event in self.published:
                if event.type == kind and event.key == generation:
                    return event
            raise AssertionError([(event.type, event.key) for event in self.published])

        return await eventually(find, within=within)

    async def ledger(self) -> dict[str, Any]:
        async with httpx.AsyncClient() as client:
            answer: dict[str, Any] = (await client.get(f"{self.base}/sandbox/predictions")).json()
            return answer


@pytest.fixture
async def stage(nats: NatsFixture, s3: S3Server, blobs: BlobStore, tmp_path: Path) -> AsyncIterator[Stage]:
    clock = SystemClock()
    records = FakeAttempts(clock, model="rushes/instant")
    stub = CatalogStub(records)
    catalog = GrpcServer(
        "127.0.0.1:0",
        [stub],
        clock=clock,
        service="catalog",
        grace=0.1,
    )
    await catalog.start()
    log = EventLog(nats.url, service="test", clock=clock, streams=streams())
    await log.start()
    async with sandbox(tmp_path) as base:
        stage = Stage(log, records, base, {}, tmp_path, blobs)
        stage.environ = {
            "NATS_URL": nats.url,
            "CATALOG_ADDRESS": f"127.0.0.1:{catalog.port}",
            "BLOB_ENDPOINT": s3.endpoint,
            "BLOB_ACCESS_KEY": s3.access_key,
            "BLOB_SECRET_KEY": s3.secret_key,
            "BLOB_BUCKET": blobs._client.bucket,
            "REPLICATE_BASE_URL": base,
            "REPLICATE_START_DELAY_MS": "100",
            "SUBMIT_WINDOW_S": "3",
        }
        tail = await log.tail(["prediction.>"], after=0)
        collecting = _collect(tail, stage)
        try:
            yield stage
        finally:
            for process in stage.processes:
                process.kill()
                process.wait()
            collecting.cancel()
            await log.stop()
            await catalog.stop()


def _collect(tail: AsyncIterator[Event], stage: Stage) -> Any:
    import asyncio

    async def collect() -> None:
        async for event in tail:
            stage.published.append(event)

    return asyncio.get_running_loop().create_task(collect())


@asynccontextmanager
async def sandbox(folder: Path) -> AsyncIterator[str]:
    port = free_port()
    environ = os.environ | {
        "SANDBOX_LISTEN": f"127.0.0.1:{port}",
        "SANDBOX_DATA": str(folder / "sandbox"),
        "SANDBOX_SPEED": "20",
    }
    with (folder / "sandbox.log").open("w") as out:
        process = subprocess.Popen([sys.executable, "-m", "sandbox"], env=environ, stdout=out, stderr=out)
    base = f"http://127.0.0.1:{port}"

    async def answers() -> bool:
        async with httpx.AsyncClient() as client:
            try:
                return (await client.get(f"{base}/v1/collections")).status_code == 200
            except httpx.TransportError:
                return False

    try:
        await eventually(answers, within=60)
        yield base
    finally:
        process.kill()
        process.wait()


async def test_the_whole_service(stage: Stage) -> None:
    """One start of everything, for all that needs a running service: starting it is what takes the time."""
    first, channel = await stage.spawn()
    await _generates(stage)
    await _serves_models(channel)
    await _plans(stage, channel)
    await _resolves_assets(stage)
    await _believes_only_the_provider(stage, channel)
    await _goes_on_after_a_kill(stage, first)
    await channel.close()


async def _generates(stage: Stage) -> None:
    generation = stage.records.add()
    await stage.request(generation)
    event = await stage.event("prediction.succeeded", generation)
    message = events_pb2.PredictionSucceeded.FromString(event.data)
    assert message.outputs[0].source_url.startswith(stage.base)
    assert message.outputs[0].blob_key_stem == f"media/{generation}/0"
    assert message.expires_at.ToSeconds() - message.completed_at.ToSeconds() == 3600
    assert message.cost_micros == 100
    assert event.id == f"{generation}:{message.prediction.attempt_id}:succeeded:1"
    assert event.refs["job"] == "job_1"


async def _serves_models(channel: grpc.aio.Channel) -> None:
    models: Any = models_pb2_grpc.ModelServiceStub(channel)
    page = await models.ListModels(models_pb2.ListModelsRequest(page_size=10, q="rushes"))
    assert {each.owner for each in page.models} == {"rushes"}
    page = await models.ListModels(models_pb2.ListModelsRequest(page_size=10))
    second = await models.ListModels(
        models_pb2.ListModelsRequest(page_size=10, page_token=page.next_page_token)
    )
    assert not {each.name for each in page.models} & {each.name for each in second.models}
    with pytest.raises(Invalid):
        await models.ListModels(models_pb2.ListModelsRequest(page_token="x"))
    schema = await models.GetModelSchema(models_pb2.GetModelSchemaRequest(owner="rushes", name="every-form"))
    steps = next(each for each in schema.parameters if each.name == "steps")
    assert [json_format.MessageToDict(value) for value in steps.enum] == [4, 8, 16]
    read = {each.name: each for each in schema.parameters}
    assert read["api_key"].secret
    assert read["size"].pattern == r"^\d+x\d+$"
    assert read["old_size"].deprecated
    assert read["mask"].accept == "image/*"
    assert read["reference_images"].items.type == models_pb2.PARAMETER_TYPE_FILE
    layers = read["layers"].items
    assert [json_format.MessageToDict(value) for value in layers.enum] == ["sky", "lawn", "facade"]
    assert (read["weights"].items.minimum, read["weights"].items.maximum) == (0, 1)
    number, text = read["zoom"].variants
    assert (number.type, number.minimum) == (models_pb2.PARAMETER_TYPE_NUMBER, 1)
    assert [json_format.MessageToDict(value) for value in text.enum] == ["fit", "fill"]
    assert not any(each.variants for name, each in read.items() if name not in ("scale", "zoom"))
    request = models_pb2.PrepareInputRequest(model="rushes/camera-move")
    request.scene.CopyFrom(
        models_pb2.SceneInput(prompt="in", first_image=f"asset:{ASSET}", seconds=4, width=1920, height=1080)
    )
    ready = await models.PrepareInput(request)
    assert json_format.MessageToDict(ready.input) == {
        "prompt": "in",
        "image": f"asset:{ASSET}",
        "duration": 4,
        "resolution": "1080p",
        "aspect_ratio": "16:9",
    }
    assert (ready.provider, ready.estimate_micros) == ("replicate", 20_000)
    assert (ready.reserve_micros, ready.deadline_s) == (25_000, 1800.0), "a second more may come"
    assert (ready.asset_ids, ready.secret_fields) == ([ASSET], [])
    request = models_pb2.PrepareInputRequest(model="rushes/every-form")
    request.input.update({"prompt": f"asset:{ASSET}", "api_key": "hush", "mask": f"asset:{ASSET}"})
    ready = await models.PrepareInput(request)
    assert (ready.asset_ids, ready.secret_fields) == ([ASSET], ["api_key"])
    assert ready.input["api_key"] == "hush"
    request = models_pb2.PrepareInputRequest(model="rushes/camera-move")
    request.input.update({"imagee": 5, "duration": 99})
    with pytest.raises(Invalid) as caught:
        await models.PrepareInput(request)
    assert {each.field for each in caught.value.fields} == {"input.imagee", "input.image", "input.duration"}
    with pytest.raises(NotFound) as unknown:
        await models.PrepareInput(models_pb2.PrepareInputRequest(model="nobody/nothing"))
    (wrong,) = unknown.value.fields
    assert (wrong.field, "nobody/nothing" in wrong.message, "GET " in wrong.message) == ("model", True, True)


async def _plans(stage: Stage, channel: grpc.aio.Channel) -> None:
    photos = []
    for number, room in enumerate(("kitchen", "bedroom", "frontal", "bathroom", "broken")):
        image = Image.effect_noise((640, 480), 40 + 30 * number).convert("RGB")
        data = io.BytesIO()
        image.save(data, "JPEG")
        key = f"assets/ast_{number}/original.jpg"
        body = b"no picture" if room == "broken" else data.getvalue()
        await stage.blobs.put(key, body, content_type="image/jpeg")
        photos.append(
            plan_pb2.Photo(
                asset_id=f"ast_{number}",
                name=f"house1_{room}.jpg",
                blob_key=key,
                width=640,
                height=480,
                sha256=str(number),
            )
        )
    plans: Any = plan_pb2_grpc.PlanServiceStub(channel)
    answer = await plans.PlanScenes(
        plan_pb2.PlanScenesRequest(photos=photos, scene_count=4, scene_seconds=4, planner="llm")
    )
    assert [scene.first_asset_id for scene in answer.scenes] == ["ast_2", "ast_0", "ast_1", "ast_3"]
    assert answer.planner == "deterministic"
    with pytest.raises(Invalid, match="deterministic or llm") as caught:
        await plans.PlanScenes(
            plan_pb2.PlanScenesRequest(photos=photos, scene_count=4, scene_seconds=4, planner="magic")
        )
    assert caught.value.fields[0].field == "planner"
    assert {scene.model for scene in answer.scenes} == {"rushes/camera-move"}
    assert answer.music_model == "rushes/music-bed"
    assert all(scene.prompt and scene.reason and scene.seconds == 4 for scene in answer.scenes)


async def _resolves_assets(stage: Stage) -> None:
    data = io.BytesIO()
    Image.effect_noise((64, 48), 90).convert("RGB").save(data, "PNG")
    await stage.blobs.put(f"assets/{ASSET}/original.png", data.getvalue(), content_type="image/png")
    stage.records.model = "rushes/camera-move"
    generation = stage.records.add(input={"image": f"asset:{ASSET}", "duration": 2.0})
    await stage.request(generation, assets=[ASSET])
    await stage.event("prediction.succeeded", generation, within=30)
    sent = next(
        each["input"] for each in (await stage.ledger())["predictions"] if "duration" in each["input"]
    )
    assert "/v1/files/" in sent["image"]
    assert sent["duration"] == 2
    gone = new_id("asset")
    missing = stage.records.add(input={"image": f"asset:{gone}"})
    await stage.request(missing, assets=[gone])
    await eventually(lambda: stage.records.generations[missing].state == "failed")
    assert "was deleted" in stage.records.generations[missing].errors[0].message
    stage.records.model = "rushes/instant"


async def _believes_only_the_provider(stage: Stage, channel: grpc.aio.Channel) -> None:
    async with httpx.AsyncClient() as client:
        secret = (await client.get(f"{stage.base}/v1/webhooks/default/secret")).json()["key"]
    generation = stage.records.add()
    answer = await stage.records.begin(generation)
    assert answer.attempt is not None
    body = json.dumps({"id": "adopted", "status": "succeeded", "output": "https://x.test/a.mp4"}).encode()
    webhooks: Any = webhooks_pb2_grpc.WebhookServiceStub(channel)

    def call(signature: str, timestamp: int) -> webhooks_pb2.ReceiveWebhookRequest:
        headers = {"webhook-id": "msg_1", "webhook-timestamp": str(timestamp), "webhook-signature": signature}
        assert answer.attempt is not None
        return webhooks_pb2.ReceiveWebhookRequest(attempt_id=answer.attempt.id, headers=headers, body=body)

    now = int(SystemClock().now().timestamp())
    with pytest.raises(Unauthenticated):
        await webhooks.ReceiveWebhook(call("v1,AAAA", now))
    with pytest.raises(Unauthenticated):
        await webhooks.ReceiveWebhook(call(_sign(secret, now - 400, body), now - 400))
    assert stage.records.generations[generation].attempts[0].state is AttemptState.INTENDED
    good = call(_sign(secret, now, body), now)
    assert (await webhooks.ReceiveWebhook(good)).new
    await webhooks.ReceiveWebhook(good)  # a copy: the log has the event already
    await stage.event("prediction.succeeded", generation)
    assert len([e for e in stage.published if e.type == "prediction.succeeded" and e.key == generation]) == 1
    assert stage.records.generations[generation].attempts[0].prediction_id == "adopted"


def _sign(secret: str, timestamp: int, body: bytes) -> str:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    wanted = hmac.new(key, f"msg_1.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(wanted).decode()


async def _goes_on_after_a_kill(stage: Stage, first: subprocess.Popen[bytes]) -> None:
    stage.records.model = "rushes/music-bed"
    before = len((await stage.ledger())["predictions"])
    generation = stage.records.add(input={"prompt": "calm", "duration": 30})
    await stage.request(generation)

    def submitted() -> bool:
        attempts = stage.records.generations[generation].attempts
        return bool(attempts) and attempts[0].state is AttemptState.SUBMITTED

    await eventually(submitted)
    first.send_signal(signal.SIGKILL)
    first.wait()
    second, channel = await stage.spawn()
    await stage.request(generation, 2)  # catalog requests again what is stalled
    await stage.event("prediction.succeeded", generation, within=30)
    assert len((await stage.ledger())["predictions"]) == before + 1
    second.send_signal(signal.SIGTERM)
    assert second.wait(15) == 0
    await channel.close()
