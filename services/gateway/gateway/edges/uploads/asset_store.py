"""An uploaded file on its way to being an asset: stored, then recorded; removed again when that fails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import structlog

from gateway.core.problems.domain.field_problems import refuse
from gateway.core.rpc_call import Calls, Rpc
from gateway.core.uploads.domain.upload_fields import AssetFields
from gateway.core.uploads.domain.upload_types import MIB, megapixels
from gateway.core.uploads.ports import Inspector
from gateway.edges.rest.catalog_rpcs import GET_ASSET
from gateway.edges.rest.transcoding.from_json import from_json
from gateway.edges.uploads.multipart_form import Spooled
from rushes.catalog.v1.assets_pb2 import Asset, CreateAssetRequest, GetAssetRequest
from rushes.common.v1.media_pb2 import (
    MEDIA_KIND_AUDIO,
    MEDIA_KIND_IMAGE,
    MediaFacts,
    MediaKind,
)
from rushes.downloader.v1.downloader_pb2 import FetchFileRequest, FetchFileResponse
from servicekit.blobs import BlobStore
from servicekit.errors import AppError, ErrorKind, FieldProblem, NotFound
from servicekit.grpc.rules import check
from servicekit.ids import new_id

CREATE = Rpc("/rushes.catalog.v1.AssetService/CreateAsset", CreateAssetRequest, Asset)
FETCH = Rpc("/rushes.downloader.v1.DownloaderService/FetchFile", FetchFileRequest, FetchFileResponse)

_KINDS: dict[str, MediaKind.ValueType] = {"image": MEDIA_KIND_IMAGE, "audio": MEDIA_KIND_AUDIO}
_FETCH_DEADLINE = 60.0
_UNKNOWN = (ErrorKind.UNAVAILABLE, ErrorKind.TIMEOUT, ErrorKind.INTERNAL)
"""Errors after which the catalog may have the record all the same."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class AssetStore:
    """Stores files and has them recorded."""

    calls: Calls
    blobs: BlobStore
    inspector: Inspector

    async def keep(self, file: Spooled, fields: AssetFields) -> Asset:
        """Decode, store and record a file that lies on our disk."""
        _check_type(fields, file.found.kind)
        measured = await self.inspector.inspect(file.path, file.found)
        asset_id = new_id("asset")
        key = f"assets/{asset_id}/original.{file.found.extension}"
        facts = MediaFacts(
            kind=_KINDS[file.found.kind],
            content_type=file.found.content_type,
            size_bytes=file.size,
            sha256=file.sha256,
            duration_s=measured.duration_s,
            width=measured.width,
            height=measured.height,
            codecs=measured.codecs,
        )
        request = _request(asset_id, key, file.filename, fields, facts)
        check(request)  # before anything is stored: a wrong field costs nobody an upload
        try:
            await self.blobs.put_file(key, file.path, content_type=file.found.content_type)
        except BaseException as error:
            await self._undo(key, error)
            raise
        return await self._record(request)

    async def fetch(self, source_url: str, fields: AssetFields) -> Asset:
        """Have a file fetched from an address, and record it."""
        asset_id = new_id("asset")
        kind = _KINDS.get(fields.type, MEDIA_KIND_IMAGE)
        stem = f"assets/{asset_id}/original"
        check(_request(asset_id, stem, "fetched", fields, MediaFacts()))
        most = (50 if kind == MEDIA_KIND_AUDIO else 10) * MIB
        asked = FetchFileRequest(source_url=source_url, blob_key_stem=stem, kind=kind, max_bytes=most)
        fetched = await self.calls(FETCH, asked, deadline=_FETCH_DEADLINE)
        try:
            if told := megapixels(fetched.facts.width, fetched.facts.height):
                refuse([FieldProblem("source_url", told)])
        except AppError as error:
            await self._undo(fetched.blob_key, error)
            raise
        filename = fetched.filename or "fetched"
        return await self._record(_request(asset_id, fetched.blob_key, filename, fields, fetched.facts))

    async def _record(self, request: CreateAssetRequest) -> Asset:
        """Record it; its bytes are removed when that was refused.

        Not when nobody knows whether it was recorded (no answer, or our caller went away): a blob without
        a record is found by the sweeper, a record without its blob fails whoever uses it.
        """
        try:
            return await self.calls(CREATE, request)
        except AppError as error:
            if error.kind not in _UNKNOWN:
                await self._undo(request.blob_key, error)
                raise
            try:
                # Recorded before the answer was lost.
                return await self.calls(GET_ASSET, GetAssetRequest(id=request.id))
            except NotFound:
                raise error from None

    async def _undo(self, key: str, cause: BaseException) -> None:
        """Remove a blob that no record names. What the sweeper finds later is no harm, so this may fail."""
        try:
            await self.blobs.delete(key)
        except AppError as error:
            _log.warning(
                "blob left without a record", key=key, cause=type(cause).__name__, error=error.message
            )


def _request(
    asset_id: str, key: str, filename: str, fields: AssetFields, facts: MediaFacts
) -> CreateAssetRequest:
    request = CreateAssetRequest(
        id=asset_id,
        name=fields.name or filename[:200],
        description=fields.description,
        tags=fields.tags,
        client_id=fields.client_id,
        campaign_id=fields.campaign_id,
        filename=filename,
        blob_key=key,
        facts=facts,
    )
    metadata: dict[str, Any] | None = fields.metadata
    if metadata is not None:
        from_json(metadata, request.metadata, at="metadata")
        request.metadata.SetInParent()
    return request


def _check_type(fields: AssetFields, kind: str) -> None:
    if fields.type and fields.type != kind:
        known = fields.type in _KINDS
        told = f"says {fields.type}, and the file is {kind}" if known else "must be one of image, audio"
        refuse([FieldProblem("type", told)])
