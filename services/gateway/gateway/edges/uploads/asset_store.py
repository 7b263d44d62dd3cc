"""Makes an uploaded file an asset: stores it, then has it recorded; removes it again when that is refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from gateway.core.problems.domain import refuse_if_any
from gateway.core.rpc_call import Calls
from gateway.core.uploads.domain import MOST_BYTES, pixel_problem
from gateway.edges.uploads.multipart_form import SpooledFile
from mediakit.facts import Facts
from mediakit.formats import Format, Kind
from rushes.catalog.v1.assets_pb2 import Asset, CreateAssetRequest, GetAssetRequest
from rushes.common.v1.media_pb2 import MEDIA_KIND_AUDIO, MEDIA_KIND_IMAGE, MediaFacts, MediaKind
from rushes.downloader.v1.downloader_pb2 import FetchFileRequest, FetchFileResponse
from rushes.gateway.v1.uploads_pb2 import UPLOAD_TYPE_AUDIO, UPLOAD_TYPE_IMAGE, UploadAssetRequest, UploadType
from servicekit.blobs import BlobStore
from servicekit.errors import AppError, ErrorKind, FieldProblem, NotFound
from servicekit.ids import new_id

_KINDS: dict[Kind, MediaKind.ValueType] = {Kind.IMAGE: MEDIA_KIND_IMAGE, Kind.AUDIO: MEDIA_KIND_AUDIO}
_TYPES: dict[UploadType.ValueType, Kind] = {UPLOAD_TYPE_IMAGE: Kind.IMAGE, UPLOAD_TYPE_AUDIO: Kind.AUDIO}
_OUTCOME_UNKNOWN = (ErrorKind.UNAVAILABLE, ErrorKind.TIMEOUT, ErrorKind.INTERNAL)
"""Errors after which the catalog may have the record all the same."""

Inspect = Callable[[Path, Format], Awaitable[Facts]]
"""Decodes a file and measures it; raises Invalid, naming the field `file`, when it is broken or too large."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class AssetStore:
    """Stores files and has them recorded."""

    calls: Calls
    blobs: BlobStore
    inspect: Inspect

    async def store(self, file: SpooledFile, upload: UploadAssetRequest) -> Asset:
        """Decode, store and record a file that lies on our disk."""
        _check_type(upload, file.format.kind)
        measured = await self.inspect(file.path, file.format)
        asset_id = new_id("asset")
        key = f"assets/{asset_id}/original.{file.format.extension}"
        facts = MediaFacts(
            kind=_KINDS[file.format.kind],
            content_type=file.format.content_type,
            size_bytes=file.size,
            sha256=file.sha256,
            duration_s=measured.duration_s,
            width=measured.width,
            height=measured.height,
            codecs=measured.codecs,
        )
        try:
            await self.blobs.put_file(key, file.path, content_type=file.format.content_type)
        except BaseException as error:
            await self._remove(key, error)
            raise
        return await self._record(_record(asset_id, key, file.filename, upload, facts))

    async def fetch(self, upload: UploadAssetRequest) -> Asset:
        """Have a file fetched from its address, and record it."""
        asset_id = new_id("asset")
        kind = _TYPES.get(upload.type, Kind.IMAGE)
        fetch = FetchFileRequest(
            source_url=upload.source_url,
            blob_key_stem=f"assets/{asset_id}/original",
            kind=_KINDS[kind],
            max_bytes=MOST_BYTES[kind],
        )
        fetched = await self.calls(fetch, FetchFileResponse)
        try:
            if problem := pixel_problem(fetched.facts.width, fetched.facts.height):
                refuse_if_any([FieldProblem("source_url", problem)])
        except AppError as error:
            await self._remove(fetched.blob_key, error)
            raise
        filename = fetched.filename or "fetched"
        return await self._record(_record(asset_id, fetched.blob_key, filename, upload, fetched.facts))

    async def _record(self, request: CreateAssetRequest) -> Asset:
        """Record it; its bytes are removed when that was refused.

        Not when nobody knows whether it was recorded (no answer, or our caller went away): a blob without
        a record is found by the sweeper, a record without its blob fails whoever uses it.
        """
        try:
            return await self.calls(request, Asset)
        except AppError as error:
            if error.kind not in _OUTCOME_UNKNOWN:
                await self._remove(request.blob_key, error)
                raise
            try:
                # Recorded before the answer was lost.
                return await self.calls(GetAssetRequest(id=request.id), Asset)
            except NotFound:
                raise error from None

    async def _remove(self, key: str, cause: BaseException) -> None:
        """Remove a blob that no record names. This may fail: the sweeper finds it later."""
        try:
            await self.blobs.delete(key)
        except AppError as error:
            _log.warning(
                "blob left without a record", key=key, cause=type(cause).__name__, error=error.message
            )


def _record(
    asset_id: str, key: str, filename: str, upload: UploadAssetRequest, facts: MediaFacts
) -> CreateAssetRequest:
    return CreateAssetRequest(
        id=asset_id,
        name=upload.name or filename[:200],
        description=upload.description if upload.HasField("description") else None,
        tags=upload.tags,
        client_id=upload.client_id,
        campaign_id=upload.campaign_id,
        filename=filename,
        blob_key=key,
        facts=facts,
        metadata=upload.metadata if upload.HasField("metadata") else None,
    )


def _check_type(upload: UploadAssetRequest, kind: Kind) -> None:
    expected = _TYPES.get(upload.type, kind)
    if expected != kind:
        refuse_if_any([FieldProblem("type", f"says {expected}, and the file is {kind}")])
