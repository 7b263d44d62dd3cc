"""Serves the Files API: uploads, to which inputs may refer."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass, field
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
from sandbox.edges.http.responses import Refused, base_url, page

LIMIT_BYTES = 100 * 1000 * 1000


@dataclass(frozen=True)
class UploadRoutes:
    """`secret`: signs the addresses of downloads."""

    store: Store
    folder: Path
    clock: SandboxClock
    fault_responses: FaultResponses
    secret: str = field(repr=False)

    def routes(self) -> list[Route]:
        return [
            Route("/v1/files", self.fault_responses.around("uploads", self.create), methods=["POST"]),
            Route("/v1/files", self.list, methods=["GET"]),
            Route("/v1/files/{id}", self.get, methods=["GET"]),
            Route("/v1/files/{id}", self.delete, methods=["DELETE"]),
            Route("/v1/files/{id}/download", self.download, methods=["GET"]),
        ]

    async def create(self, request: Request) -> Response:
        """A multipart body with `content` and perhaps `metadata`, `type` and `filename`."""
        async with request.form() as form:
            content = form.get("content")
            if not isinstance(content, UploadFile):
                raise Refused(400, "Missing content: send the file as the multipart field `content`")
            if (content.size or 0) > LIMIT_BYTES:
                raise Refused(413, "Files must be less than 100MB in size")
            metadata = await _metadata(form.get("metadata"))
            data = await content.read()
            name = str(form.get("filename") or content.filename or "upload")
            content_type = str(form.get("type") or content.content_type or "application/octet-stream")
        now = self.clock.now()
        upload_id = base64.b64encode(secrets.token_bytes(30), altchars=b"Aa").decode()
        path = self.folder / upload_id
        path.write_bytes(data)
        upload = Upload(
            upload_id, name, content_type, len(data), hashlib.md5(data, usedforsecurity=False).hexdigest(),
            hashlib.sha256(data).hexdigest(), metadata, now, now + timedelta(hours=24), path,
        )  # fmt: skip
        self.store.save_upload(upload)
        return JSONResponse(upload_json(upload, base_url(request)), 201)

    async def list(self, request: Request) -> Response:
        base = base_url(request)
        return page(request, [upload_json(u, base) for u in self.store.uploads() if self._alive(u)], None)

    async def get(self, request: Request) -> Response:
        return JSONResponse(upload_json(self._find(request), base_url(request)))

    async def delete(self, request: Request) -> Response:
        if not self.store.delete_upload(request.path_params["id"]):
            raise _missing()
        return Response(status_code=204)

    async def download(self, request: Request) -> Response:
        """The bytes, at a signed address: `?owner=&expiry=&signature=`."""
        query = request.query_params
        text = f"{query.get('owner', '')} {request.path_params['id']} {query.get('expiry', '')}"
        expected = base64.b64encode(
            hmac.new(self.secret.encode(), text.encode(), hashlib.sha256).digest()
        ).decode()
        expiry = query.get("expiry", "")
        is_late = not expiry.isdecimal() or int(expiry) < self.clock.wall().timestamp()
        if is_late or not hmac.compare_digest(expected, query.get("signature", "")):
            raise Refused(403, "The signature is missing, wrong or expired", "Forbidden")
        found = self._find(request)
        return FileResponse(found.path, media_type=found.content_type)

    def _find(self, request: Request) -> Upload:
        found = self.store.upload(request.path_params["id"])
        if found is None or not self._alive(found):
            raise _missing()
        return found

    def _alive(self, upload: Upload) -> bool:
        return upload.expires_at > self.clock.now()


def _missing() -> Refused:
    return Refused(404, "File not found", "Not found")


async def _metadata(given: UploadFile | str | None) -> dict[str, Any]:
    text = (await given.read()).decode("utf-8", "replace") if isinstance(given, UploadFile) else given
    try:
        value = json.loads(text or "{}")
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise Refused(400, "metadata must be a JSON object")
    return value


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
