"""Serves the Files API: uploads, to which inputs may refer."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from datetime import timedelta
from pathlib import Path
from typing import Any

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from sandbox.core.clock import SandboxClock
from sandbox.core.predictions.domain.prediction import to_rfc3339
from sandbox.core.predictions.ports import Store, Upload
from sandbox.edges.http.fault_responses import FaultResponses
from sandbox.edges.http.responses import base_url, page, problem

LIMIT_BYTES = 100 * 1000 * 1000


class UploadRoutes:
    def __init__(
        self, store: Store, folder: Path, clock: SandboxClock, fault_responses: FaultResponses, secret: str
    ) -> None:
        self._store = store
        self._folder = folder
        self._clock = clock
        self._fault_responses = fault_responses
        self._secret = secret

    def routes(self) -> list[Route]:
        return [
            Route("/v1/files", self.create, methods=["POST"]),
            Route("/v1/files", self.list, methods=["GET"]),
            Route("/v1/files/{id}", self.get, methods=["GET"]),
            Route("/v1/files/{id}", self.delete, methods=["DELETE"]),
            Route("/v1/files/{id}/download", self.download, methods=["GET"]),
        ]

    async def create(self, request: Request) -> Response:
        """A multipart body with `content` and perhaps `metadata`, `type` and `filename`."""
        return await self._fault_responses.apply("uploads", None, lambda: self._create(request))

    async def _create(self, request: Request) -> Response:
        async with request.form() as form:
            content = form.get("content")
            if not isinstance(content, UploadFile):
                return problem(400, "Missing content: send the file as the multipart field `content`")
            if (content.size or 0) > LIMIT_BYTES:
                return problem(413, "Files must be less than 100MB in size")
            metadata = await _metadata(form.get("metadata"))
            if metadata is None:
                return problem(400, "metadata must be a JSON object")
            data = await content.read()
            name = str(form.get("filename") or content.filename or "upload")
            content_type = str(form.get("type") or content.content_type or "application/octet-stream")
        now = self._clock.now()
        upload_id = base64.b64encode(secrets.token_bytes(30), altchars=b"Aa").decode()
        path = self._folder / upload_id
        path.write_bytes(data)
        upload = Upload(
            upload_id, name, content_type, len(data), hashlib.md5(data, usedforsecurity=False).hexdigest(),
            hashlib.sha256(data).hexdigest(), metadata, now, now + timedelta(hours=24), path,
        )  # fmt: skip
        self._store.save_upload(upload)
        return JSONResponse(upload_json(upload, base_url(request)), 201)

    async def list(self, request: Request) -> Response:
        return page(
            request,
            [upload_json(u, base_url(request)) for u in self._store.uploads() if self._alive(u)],
            None,
        )

    async def get(self, request: Request) -> Response:
        found = self._find(request)
        return _missing() if found is None else JSONResponse(upload_json(found, base_url(request)))

    async def delete(self, request: Request) -> Response:
        return (
            Response(status_code=204) if self._store.delete_upload(request.path_params["id"]) else _missing()
        )

    async def download(self, request: Request) -> Response:
        """The bytes, at a signed address: `?owner=&expiry=&signature=`."""
        found = self._find(request)
        query = request.query_params
        text = f"{query.get('owner', '')} {request.path_params['id']} {query.get('expiry', '')}"
        expected = base64.b64encode(
            hmac.new(self._secret.encode(), text.encode(), hashlib.sha256).digest()
        ).decode()
        expiry = query.get("expiry", "")
        is_late = not expiry.isdigit() or int(expiry) < self._clock.wall().timestamp()
        if is_late or not hmac.compare_digest(expected, query.get("signature", "")):
            return problem(403, "The signature is missing, wrong or expired", "Forbidden")
        return _missing() if found is None else FileResponse(found.path, media_type=found.content_type)

    def _find(self, request: Request) -> Upload | None:
        found = self._store.upload(request.path_params["id"])
        return found if found is not None and self._alive(found) else None

    def _alive(self, upload: Upload) -> bool:
        return upload.expires_at > self._clock.now()


def _missing() -> Response:
    return problem(404, "File not found", "Not found")


async def _metadata(given: UploadFile | str | None) -> dict[str, Any] | None:
    text = (await given.read()).decode("utf-8", "replace") if isinstance(given, UploadFile) else given
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def upload_json(upload: Upload, base: str) -> dict[str, Any]:
    return {
        "id": upload.id,
        "name": upload.name,
        "content_type": upload.content_type,
        "size": upload.size,
        "etag": upload.md5,
        "checksums": {"sha256": upload.sha256, "md5": upload.md5},
        "metadata": upload.metadata,
        "created_at": to_rfc3339(upload.created_at),
        "expires_at": to_rfc3339(upload.expires_at),
        "urls": {"get": f"{base}/v1/files/{upload.id}"},
    }
