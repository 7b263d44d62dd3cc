"""A gateway on a real port, with a real event log and store, and fakes of the other services."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import uvloop

from events.topology import streams
from gateway.config import Settings
from gateway.core.auth.domain import key_digest
from gateway.main import Gateway, compose
from rushes.catalog.v1 import (
    keys_pb2,
    media_pb2,
)
from servicekit.blobs import BlobStore
from servicekit.clock import SystemClock
from servicekit.events import EventLog
from servicekit.grpc.server import GrpcServer
from servicekit.ids import new_id
from servicekit.testing import nats_server

sys.path.insert(0, str(Path(__file__).parent))  # the fakes become importable

from gateway_fakes import ADMIN, READ, SIGNING_KEY, WRITE, FakeServices, server_of


@dataclass
class Running:
    """A running gateway and all around it."""

    gateway: Gateway
    services: FakeServices
    server: GrpcServer
    log: EventLog
    blobs: BlobStore
    http: httpx.AsyncClient
    nats: Any

    @property
    def port(self) -> int:
        return self.gateway.http.port

    async def store(
        self, data: bytes, *, content_type: str = "video/mp4"
    ) -> tuple[str, media_pb2.StoredObject]:
        """Bytes as a media, and where they lie."""
        import hashlib

        media_id, key = new_id("media"), f"media/{secrets.token_hex(4)}/0.mp4"
        await self.blobs.put(key, data, content_type=content_type)
        found = media_pb2.StoredObject(
            blob_key=key,
            content_type=content_type,
            size_bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            filename="Sommer im Süden.mp4",
        )
        found.modified_at.FromJsonString("2026-03-04T05:06:07.5Z")
        self.services.objects[media_id] = found
        return media_id, found


@contextlib.asynccontextmanager
async def run_gateway(nats: Any, s3: Any, upload_dir: Path) -> AsyncIterator[Running]:
    """A gateway and all around it, started and stopped."""
    bucket = f"test-{secrets.token_hex(6)}"
    async with contextlib.AsyncExitStack() as stack:
        blobs = BlobStore(s3.endpoint, s3.access_key, s3.secret_key, bucket)
        services = FakeServices(blobs)
        for key, scope in ((READ, 1), (WRITE, 2), (ADMIN, 3)):
            services.keys[key_digest(key)] = keys_pb2.ApiKey(id=new_id("api_key"), name=key, scope=scope)
        server = server_of(services)
        log = EventLog(nats, service="test", clock=SystemClock(), streams=streams())
        for part in (blobs, server, log):
            await part.start()
            stack.push_async_callback(part.stop)
        address = f"127.0.0.1:{server.port}"
        settings = Settings(
            http_listen="127.0.0.1:0",
            grpc_listen="127.0.0.1:0",
            signing_key=SIGNING_KEY,
            nats_url=str(nats),
            blob_endpoint=s3.endpoint,
            blob_access_key=s3.access_key,
            blob_secret_key=s3.secret_key,
            blob_bucket=bucket,
            catalog_address=address,
            generator_address=address,
            downloader_address=address,
            stitcher_address=address,
            upload_dir=upload_dir,
        )
        gateway = compose(settings, SystemClock())
        for started in gateway.parts:
            await started.start()
            stack.push_async_callback(started.stop)
        http = await stack.enter_async_context(
            httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{gateway.http.port}", headers={"X-API-Key": WRITE}, timeout=20
            )
        )
        yield Running(gateway, services, server, log, blobs, http, nats)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(s3: Any, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """One gateway for a module: its tests share an event loop too."""
    uploads = tmp_path_factory.mktemp("uploads")
    async with nats_server() as nats, run_gateway(nats, s3, uploads) as made:
        yield made


@pytest_asyncio.fixture
async def fresh(nats: Any, s3: Any, tmp_path: Path) -> AsyncIterator[Running]:
    """A gateway of this test alone: to be stopped, starved and broken."""
    async with run_gateway(nats, s3, tmp_path / "uploads") as made:
        yield made


@pytest.fixture
def running(shared: Running) -> Running:
    """The module's gateway, with fakes that have forgotten everything."""
    shared.services.forget()
    return shared


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that the service runs in: ranges and streams depend on how it sends."""
    return {"uvloop": uvloop.new_event_loop}
