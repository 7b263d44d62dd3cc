"""Measures every route of the gateway: what a success answers, which key it needs, how long it waits.

The gateway is the real one, in this process; the services and the store behind it answer everything with
empty messages. Run as a script, it writes what it has measured to `routes.json` beside it.
"""

from __future__ import annotations

import asyncio
import io
import json
import re
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import grpc.aio
import httpx
from PIL import Image
from starlette.routing import Route

from gateway.adapters.grpc_client import GrpcClient
from gateway.config import Settings
from gateway.edges.probes import Readiness
from gateway.main import compose
from rushes.catalog.v1 import jobs_pb2, keys_pb2
from servicekit.blobs import BlobStore
from servicekit.clock import SystemClock
from servicekit.errors import NotFound
from servicekit.events import EventLog
from servicekit.grpc.client import DEADLINE
from servicekit.ids import new_id
from servicekit.process.scratch_dir import ScratchDir
from servicekit.signing import sign

FILE = Path(__file__).with_name("routes.json")
SCOPES = {None: 0, "read": 1, "write": 2, "admin": 3}
IDS = {
    "/assets/": "asset",
    "/media/": "media",
    "/generations/": "generation",
    "/videos/": "job",
    "/webhooks/": "attempt",
}


class Services:
    """Stands in for the channels to all services: notes for how long each call waits."""

    def __init__(self) -> None:
        self.scope = 0
        self.job_status = 0
        self.deadlines: set[float] = set()
        self.has_thumbnail = False

    def unary_stream(self, path: str, **_: Any) -> None:
        """The stub of the health service has one, too."""

    def unary_unary(self, path: str, *, response_deserializer: Any, **_: Any) -> Any:
        name = path.rpartition("/")[2]

        async def call(request: Any, timeout: float | None = None) -> Any:  # noqa: ASYNC109  # as gRPC has it
            if name == "Authenticate":
                return keys_pb2.ApiKey(id=new_id("api_key"), scope=self.scope)  # type: ignore[arg-type]
            if name == "Check":
                return response_deserializer(b"\x08\x01")  # it serves
            self.deadlines.add(timeout or DEADLINE)
            if name == "MakeThumbnail":
                self.has_thumbnail = True
            answer = response_deserializer(b"")
            if isinstance(answer, jobs_pb2.Job):
                answer.status = self.job_status
            return answer

        return call


class Blobs:
    """Stands in for the store."""

    def __init__(self, services: Services) -> None:
        self.services = services

    async def stat(self, key: str) -> Any:
        if not self.services.has_thumbnail:
            raise NotFound(key)
        return mock.Mock(size=0, content_type="image/webp", etag="x", modified_at=datetime.now(UTC))

    async def put_file(self, key: str, path: Path, *, content_type: str) -> None:
        pass

    async def read(self, key: str, **_: Any) -> AsyncIterator[bytes]:
        yield b""


def measure() -> dict[str, dict[str, Any]]:
    """The table: `GET /api/v3/jobs/{id}` → success statuses, scope (and whether a token will do), seconds."""
    return asyncio.run(_measured())


async def _measured() -> dict[str, dict[str, Any]]:
    services = Services()
    with _patched(services), tempfile.TemporaryDirectory() as folder:
        unused = dict.fromkeys(("nats_url", "blob_access_key", "blob_secret_key", "signing_key"), "unused")
        there = dict.fromkeys(
            ("catalog_address", "generator_address", "downloader_address", "stitcher_address"), "x:1"
        )
        gateway = compose(
            Settings(blob_endpoint="http://x:1", upload_dir=Path(folder), **unused, **there), SystemClock()
        )  # type: ignore[arg-type]
        for part in gateway.parts:
            if isinstance(part, GrpcClient | Readiness | ScratchDir):
                await part.start()
        app = gateway.http._app
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            document = (await client.get("/api/openapi.json")).json()
            table = {}
            for method, path in sorted(_routes(app, document), key=lambda pair: pair[::-1]):
                table[f"{method} {path}"] = await _row(client, services, method, path)
        for part in reversed(gateway.parts):
            if isinstance(part, ScratchDir):
                await part.stop()
        return table


@contextmanager
def _patched(services: Services) -> Iterator[None]:
    blobs = Blobs(services)
    with (
        mock.patch.object(grpc.aio, "insecure_channel", return_value=services),
        mock.patch.object(EventLog, "is_connected", True),
        mock.patch.object(EventLog, "check_ready"),
        mock.patch.object(BlobStore, "stat", blobs.stat),
        mock.patch.object(BlobStore, "put_file", blobs.put_file),
        mock.patch.object(BlobStore, "read", blobs.read),
    ):
        yield


def _routes(app: Any, document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Method and path of every route of the app, with the variables named as in the document."""
    while not hasattr(app, "routes"):
        app = app._app
    named = {re.sub(r"\{[^}]*\}", "{}", path): path for path in document["paths"]}
    for route in app.routes:
        assert isinstance(route, Route)
        for method in route.methods or ():
            yield method, named[re.sub(r"\{[^}]*\}", "{}", route.path)]


async def _row(client: httpx.AsyncClient, services: Services, method: str, path: str) -> dict[str, Any]:
    ids: list[str] = []

    def made(_: Any) -> str:
        ids.append(new_id(next((kind for part, kind in IDS.items() if part in path), "job")))
        return ids[-1]

    url = re.sub(r"\{[^}]*\}", made, path)
    row: dict[str, Any] = {"success": [], "scope": await _scope(client, services, method, url)}
    if row["scope"] and ids and await _opened_by_token(client, method, url, ids[0]):
        row["or_token"] = True
    services.deadlines.clear()
    services.scope, services.has_thumbnail = 3, False
    headers, body = {"X-API-Key": "admin"}, {}
    if path == "/api/v3/assets" and method == "POST":
        body = {"json": {"source_url": "https://photos.example/a.png"}}
    elif path == "/api/upload-image":
        body = {"files": {"file": ("a.png", _picture())}}
    elif method in ("POST", "PUT", "PATCH"):
        body = {"content": b"{}"}
    # A stream of events would not end: HEAD is answered alike.
    sent = "HEAD" if method == "GET" and path.endswith("/events") else method
    for services.job_status in (0, jobs_pb2.JOB_STATUS_DRAFT):
        answer = await client.request(sent, url, headers=headers, **body)
        assert answer.status_code < 400, (method, path, answer.status_code, answer.text)
        if answer.status_code not in row["success"]:
            row["success"].append(answer.status_code)
    row["deadline_s"] = max(services.deadlines, default=None)
    return row


async def _scope(client: httpx.AsyncClient, services: Services, method: str, url: str) -> str | None:
    """The least that a key must be allowed to do; None where no key is needed."""
    for scope, services.scope in SCOPES.items():
        headers = {"X-API-Key": scope} if scope else {}
        # The unknown parameter is refused by whatever refuses anything, so that no stream of events begins.
        answer = await client.request(method, url, params={"nonsense": "1"}, headers=headers)
        if answer.status_code not in (401, 403):
            return scope
    raise AssertionError(f"{method} {url} is closed to everybody")


async def _opened_by_token(client: httpx.AsyncClient, method: str, url: str, id_: str) -> bool:
    expires = datetime.now(UTC) + timedelta(hours=1)
    tokens = [sign("unused", f"{subject}:{id_}", expires) for subject in ("asset", "cut")]
    return 200 in [(await client.request(method, url, params={"token": t})).status_code for t in tokens]


def _picture() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (2, 2)).save(out, "PNG")
    return out.getvalue()


if __name__ == "__main__":
    rows = (f"  {json.dumps(route)}: {json.dumps(row)}" for route, row in measure().items())
    FILE.write_text("{\n" + ",\n".join(rows) + "\n}\n")
