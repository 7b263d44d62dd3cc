"""Fakes of the services behind the gateway: they note every request."""

# ruff: noqa: N802  # the names of RPCs are those of the contracts

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rushes.catalog.v1 import (
    assets_pb2,
    assets_pb2_grpc,
    campaigns_pb2,
    campaigns_pb2_grpc,
    clients_pb2,
    clients_pb2_grpc,
    generations_pb2,
    generations_pb2_grpc,
    jobs_pb2,
    jobs_pb2_grpc,
    keys_pb2,
    keys_pb2_grpc,
    media_pb2,
    media_pb2_grpc,
    storage_pb2,
    storage_pb2_grpc,
)
from rushes.common.v1 import media_pb2 as common
from rushes.downloader.v1 import downloader_pb2, downloader_pb2_grpc
from rushes.generator.v1 import models_pb2, models_pb2_grpc, webhooks_pb2, webhooks_pb2_grpc
from rushes.stitcher.v1 import stitcher_pb2, stitcher_pb2_grpc
from servicekit.blobs import BlobStore
from servicekit.clock import SystemClock
from servicekit.errors import AppError, NotFound, Unauthenticated, Unavailable
from servicekit.grpc.server import GrpcServer
from servicekit.ids import new_id

SIGNING_KEY = "a secret for tests"
READ, WRITE, ADMIN = "read-key", "write-key", "admin-key"


@dataclass
class FakeServices:
    """What the fakes answer, and the requests that they got."""

    blobs: BlobStore
    requests: list[Any] = field(default_factory=list)
    keys: dict[str, keys_pb2.ApiKey] = field(default_factory=dict)
    assets: dict[str, assets_pb2.Asset] = field(default_factory=dict)
    objects: dict[str, media_pb2.StoredObject] = field(default_factory=dict)
    jobs: dict[str, jobs_pb2.Job] = field(default_factory=dict)
    clients: list[clients_pb2.Client] = field(default_factory=list)
    error: AppError | None = None
    """Raised by every catalog write."""
    lose_answers: bool = False
    """CreateAsset records and then fails, as when the answer is lost on its way."""
    away: bool = False
    """GetAsset is not answered."""
    authentications: int = 0
    thumbnails: int = 0
    bad_signature: bool = False

    def forget(self) -> None:
        for collection in (self.requests, self.assets, self.objects, self.jobs, self.clients):
            collection.clear()
        self.error, self.lose_answers, self.bad_signature = None, False, False
        self.away = False
        self.authentications = self.thumbnails = 0

    def last(self, kind: type[Any]) -> Any:
        return next(message for message in reversed(self.requests) if isinstance(message, kind))

    def note(self, request: Any) -> None:
        self.requests.append(request)
        if self.error is not None:
            raise self.error


class _Servicer:
    def __init__(self, services: FakeServices) -> None:
        self.services = services


class _Keys(_Servicer, keys_pb2_grpc.KeyServiceServicer):
    async def Authenticate(self, request: Any, context: Any) -> Any:
        self.services.authentications += 1
        key = self.services.keys.get(request.key_sha256)
        if key is None:
            raise Unauthenticated("unknown key")
        return key

    async def ListApiKeys(self, request: Any, context: Any) -> Any:
        return keys_pb2.ListApiKeysResponse(api_keys=self.services.keys.values())


class _Assets(_Servicer, assets_pb2_grpc.AssetServiceServicer):
    async def CreateAsset(self, request: Any, context: Any) -> Any:
        if not self.services.lose_answers:
            self.services.note(request)
        names = ("id", "name", "tags", "client_id", "filename", "facts")
        asset = assets_pb2.Asset(**{name: getattr(request, name) for name in names}, kind=request.facts.kind)
        asset.metadata.CopyFrom(request.metadata)
        self.services.assets[asset.id] = asset
        if self.services.lose_answers:
            raise self.services.error or AssertionError
        return asset

    async def GetAsset(self, request: Any, context: Any) -> Any:
        if self.services.away:
            raise Unavailable("gone")
        if request.id not in self.services.assets:
            raise NotFound(f"no asset {request.id}")
        return self.services.assets[request.id]

    async def ListAssets(self, request: Any, context: Any) -> Any:
        self.services.note(request)
        return assets_pb2.ListAssetsResponse(assets=self.services.assets.values())


class _Clients(_Servicer, clients_pb2_grpc.ClientServiceServicer):
    async def CreateClient(self, request: Any, context: Any) -> Any:
        self.services.note(request)
        client = clients_pb2.Client(id=new_id("client"), name=request.name, metadata=request.metadata)
        client.created_at.GetCurrentTime()
        self.services.clients.append(client)
        return client

    async def ListClients(self, request: Any, context: Any) -> Any:
        self.services.note(request)
        return clients_pb2.ListClientsResponse(clients=self.services.clients)

    async def UpdateClient(self, request: Any, context: Any) -> Any:
        self.services.note(request)
        return clients_pb2.Client(id=request.id, name=request.name)

    async def DeleteClient(self, request: Any, context: Any) -> Any:
        from google.protobuf.empty_pb2 import Empty

        self.services.note(request)
        return Empty()


class _Campaigns(_Servicer, campaigns_pb2_grpc.CampaignServiceServicer):
    async def ListCampaigns(self, request: Any, context: Any) -> Any:
        self.services.note(request)
        return campaigns_pb2.ListCampaignsResponse()


class _Generations(_Servicer, generations_pb2_grpc.GenerationServiceServicer):
    async def CreateGeneration(self, request: Any, context: Any) -> Any:
        self.services.note(request)
        return generations_pb2.Generation(
            id=new_id("generation"),
            model=request.model,
            input=request.input,
            status="GENERATION_STATUS_QUEUED",
        )

    async def BatchCreateGenerations(self, request: Any, context: Any) -> Any:
        self.services.note(request)
        return generations_pb2.BatchCreateGenerationsResponse()

    async def ListGenerations(self, request: Any, context: Any) -> Any:
        self.services.note(request)
        return generations_pb2.ListGenerationsResponse()

    async def GetGeneration(self, request: Any, context: Any) -> Any:
        self.services.note(request)
        return generations_pb2.Generation(id=request.id)


class _Jobs(_Servicer, jobs_pb2_grpc.JobServiceServicer):
    async def CreateJob(self, request: Any, context: Any) -> Any:
        self.services.note(request)
        status = "JOB_STATUS_DRAFT" if request.planner == "llm" else "JOB_STATUS_AWAITING_APPROVAL"
        return jobs_pb2.Job(id=new_id("job"), campaign_id=request.campaign_id, status=status)

    async def GetJob(self, request: Any, context: Any) -> Any:
        self.services.note(request)
        if request.id not in self.services.jobs:
            raise NotFound(f"no job {request.id}")
        return self.services.jobs[request.id]

    async def ApproveJob(self, request: Any, context: Any) -> Any:
        self.services.note(request)
        return jobs_pb2.Job(id=request.id)


class _Media(_Servicer, media_pb2_grpc.MediaServiceServicer):
    async def LocateObject(self, request: Any, context: Any) -> Any:
        self.services.requests.append(request)
        kind = request.WhichOneof("object")
        name = getattr(request, kind)
        if kind == "clip":
            name = name.filename
        elif kind == "cut":
            name = f"{name.job_id}/{name.version}"
        found = self.services.objects.get(name + ("/thumbnail" if request.thumbnail else ""))
        if found is None:
            raise NotFound(f"no {kind} {name}")
        return found


class _Storage(_Servicer, storage_pb2_grpc.StorageServiceServicer):
    async def GetStorageStats(self, request: Any, context: Any) -> Any:
        self.services.note(request)
        made = storage_pb2.StorageStats(
            total_videos=2, total_size_bytes=2**53 + 2, total_size_gb=9007199.254741
        )
        made.by_kind["video"].count = 2
        made.files.add(id=new_id("media"), kind="MEDIA_KIND_VIDEO", size_bytes=2**53, url="/api/v3/media/x")
        return made

    async def DeleteVideo(self, request: Any, context: Any) -> Any:
        from google.protobuf.empty_pb2 import Empty

        self.services.note(request)
        return Empty()

    async def CleanUpStorage(self, request: Any, context: Any) -> Any:
        self.services.note(request)
        return storage_pb2.CleanUpStorageResponse(dry_run=request.dry_run, more=True)


class _Models(_Servicer, models_pb2_grpc.ModelServiceServicer):
    async def GetModel(self, request: Any, context: Any) -> Any:
        self.services.note(request)
        return models_pb2.Model(owner=request.owner, name=request.name, run_count=2**53 + 1)


class _Webhooks(_Servicer, webhooks_pb2_grpc.WebhookServiceServicer):
    async def ReceiveWebhook(self, request: Any, context: Any) -> Any:
        self.services.note(request)
        if self.services.bad_signature:
            raise Unauthenticated("the signature is wrong")
        return webhooks_pb2.ReceiveWebhookResponse(new=True)


class _Downloader(_Servicer, downloader_pb2_grpc.DownloaderServiceServicer):
    async def FetchFile(self, request: Any, context: Any) -> Any:
        self.services.requests.append(request)
        key = request.blob_key_stem + ".png"
        await self.services.blobs.put(key, b"fetched", content_type="image/png")
        size = 10_000 if "huge" in request.source_url else 10
        facts = common.MediaFacts(kind=request.kind, content_type="image/png", width=size, height=size)
        return downloader_pb2.FetchFileResponse(blob_key=key, facts=facts, filename="photo.png")


class _Stitcher(_Servicer, stitcher_pb2_grpc.StitcherServiceServicer):
    async def MakeThumbnail(self, request: Any, context: Any) -> Any:
        self.services.requests.append(request)
        self.services.thumbnails += 1
        await self.services.blobs.put(request.thumbnail_key, b"thumbnail", content_type="image/webp")
        return stitcher_pb2.MakeThumbnailResponse(thumbnail_key=request.thumbnail_key)


def server_of(services: FakeServices) -> GrpcServer:
    """All other services in one: each is found by the names of its RPCs."""
    servicers = (
        _Keys,
        _Assets,
        _Clients,
        _Campaigns,
        _Generations,
        _Jobs,
        _Media,
        _Storage,
        _Models,
        _Webhooks,
        _Downloader,
        _Stitcher,
    )
    served = [servicer(services) for servicer in servicers]
    return GrpcServer("127.0.0.1:0", served, clock=SystemClock(), service="services", grace=0)
