"""Serves the bytes of media, clips, cuts, assets and their thumbnails: ranges, preconditions, redirects."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, timedelta
from pathlib import PurePosixPath

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.core.bytes.domain.byte_ranges import ByteRange
from gateway.core.bytes.domain.byte_responses import ByteResponse, Representation, attachment, respond
from gateway.core.rpc_call import Calls
from gateway.edges.auth.api_key_auth import token_expires
from gateway.edges.http.streaming_response import GeneratorResponse
from rushes.catalog.v1.media_pb2 import ClipName, CutName, LocateObjectRequest, StoredObject
from rushes.gateway.v1 import bytes_pb2 as pb
from rushes.stitcher.v1.stitcher_pb2 import MakeThumbnailRequest, MakeThumbnailResponse
from servicekit.blobs import BlobStore
from servicekit.clock import Clock
from servicekit.errors import NotFound

_YEAR = 31_536_000
"""Seconds; the longest that RFC 9111 lets anyone mean."""

_PRESIGNED_FOR = timedelta(minutes=5)

BytesRequest = pb.MediaBytesRequest | pb.AssetBytesRequest | pb.CutBytesRequest | pb.ClipBytesRequest


@dataclass(frozen=True)
class MediaBytes:
    """The servicer of `BytesService`.

    Args:
        redirect: whether every GET is sent to the object store itself, as with `?redirect=1`.
    """

    calls: Calls
    blobs: BlobStore
    clock: Clock
    redirect: bool = False

    async def GetMediaBytes(self, message: pb.MediaBytesRequest, request: Request) -> Response:
        return await self._send(LocateObjectRequest(media_id=message.id), message, request)

    async def GetMediaThumbnail(self, message: pb.MediaBytesRequest, request: Request) -> Response:
        return await self._send(LocateObjectRequest(media_id=message.id, thumbnail=True), message, request)

    async def GetAssetBytes(self, message: pb.AssetBytesRequest, request: Request) -> Response:
        return await self._send(LocateObjectRequest(asset_id=message.id), message, request)

    async def GetAssetThumbnail(self, message: pb.AssetBytesRequest, request: Request) -> Response:
        return await self._send(LocateObjectRequest(asset_id=message.id, thumbnail=True), message, request)

    async def GetCutBytes(self, message: pb.CutBytesRequest, request: Request) -> Response:
        cut = CutName(job_id=message.job_id, version=message.version)
        return await self._send(LocateObjectRequest(cut=cut), message, request)

    async def GetCutThumbnail(self, message: pb.CutBytesRequest, request: Request) -> Response:
        cut = CutName(job_id=message.job_id, version=message.version)
        return await self._send(LocateObjectRequest(cut=cut, thumbnail=True), message, request)

    async def GetClipBytes(self, message: pb.ClipBytesRequest, request: Request) -> Response:
        clip = ClipName(job_id=message.job_id, filename=message.file)
        return await self._send(LocateObjectRequest(clip=clip), message, request)

    async def _send(self, wanted: LocateObjectRequest, message: BytesRequest, request: Request) -> Response:
        located = await self.calls(wanted, StoredObject)
        stored = await self._thumbnail(wanted, located) if wanted.thumbnail else _representation(located)
        disposition = attachment(_filename(located)) if message.download else ""
        redirect = message.redirect if message.HasField("redirect") else self.redirect
        if request.method == "GET" and redirect:
            address = await self.blobs.presign(located.blob_key, ttl=_PRESIGNED_FOR, disposition=disposition)
            return RedirectResponse(address, 302, headers={"Cache-Control": "no-store"})
        response = respond(
            request.method,
            _joined_headers(request),
            stored,
            cache_control=self._cache_control(wanted, request),
            disposition=disposition,
            boundary=secrets.token_hex(16),
        )
        return await self._respond(response, located.blob_key)

    def _cache_control(self, wanted: LocateObjectRequest, request: Request) -> str:
        """For ever where the address names fixed content; opened by a token, no longer than the token."""
        newest = wanted.HasField("cut") and not wanted.cut.version  # another one tomorrow
        expires = token_expires(request)
        if expires is not None:
            left = int((expires - self.clock.now()).total_seconds())
            return "no-cache" if newest else f"public, max-age={left}, immutable"
        return "private, no-cache" if newest else f"private, max-age={_YEAR}, immutable"

    async def _thumbnail(self, wanted: LocateObjectRequest, located: StoredObject) -> Representation:
        """The thumbnail, made now when it is not there yet."""
        try:
            info = await self.blobs.stat(located.blob_key)
        except NotFound:
            whole = LocateObjectRequest()
            whole.CopyFrom(wanted)
            whole.thumbnail = False
            original = await self.calls(whole, StoredObject)
            make = MakeThumbnailRequest(blob_key=original.blob_key, thumbnail_key=located.blob_key)
            await self.calls(make, MakeThumbnailResponse)
            info = await self.blobs.stat(located.blob_key)
        etag = info.etag.strip('"')
        return Representation(info.size, info.content_type, f'"{etag}"', info.modified_at)

    async def _respond(self, response: ByteResponse, key: str) -> Response:
        if not response.body:
            return Response(status_code=response.status, headers=response.headers)
        chunks = _chunks(self.blobs, key, response.body)
        # The first bytes are read before the response begins, so that a missing blob is still a proper error.
        first = await anext(chunks)
        return GeneratorResponse(_prefixed(first, chunks), response.status, response.headers)


async def _chunks(blobs: BlobStore, key: str, body: tuple[bytes | ByteRange, ...]) -> AsyncIterator[bytes]:
    pending = b""
    for piece in body:
        if isinstance(piece, bytes):
            pending += piece
            continue
        async with aclosing(blobs.read(key, start=piece.start, length=len(piece))) as chunks:  # type: ignore[type-var]  # a generator
            async for chunk in chunks:
                yield pending + chunk if pending else chunk
                pending = b""
    if pending:
        yield pending


async def _prefixed(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async with aclosing(rest):  # type: ignore[type-var]  # a generator
        yield first
        async for chunk in rest:
            yield chunk


def _representation(located: StoredObject) -> Representation:
    modified = located.modified_at.ToDatetime(UTC)
    return Representation(located.size_bytes, located.content_type, f'"{located.sha256}"', modified)


def _filename(located: StoredObject) -> str:
    return located.filename or PurePosixPath(located.blob_key).name


def _joined_headers(request: Request) -> dict[str, str]:
    """The headers by name; lists that were sent in several lines are one list."""
    return {name: ", ".join(request.headers.getlist(name)) for name in request.headers}
