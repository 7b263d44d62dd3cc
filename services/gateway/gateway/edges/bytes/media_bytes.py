"""Bytes of media, clips, cuts, assets and their small pictures: ranges, preconditions, HEAD, redirects."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, timedelta
from pathlib import PurePosixPath

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.core.bytes.domain.byte_ranges import Span
from gateway.core.bytes.domain.byte_responses import Reply, Stored, reply
from gateway.core.bytes.domain.content_disposition import attachment
from gateway.core.rpc_call import Calls, Rpc
from gateway.edges.auth.signed_urls import asset_subject, cut_subject
from gateway.edges.bytes.media_bytes_openapi import document
from gateway.edges.http.routing import Access, Operation, refuse_unknown_query
from gateway.edges.http.streaming_response import Streamed
from gateway.edges.rest.catalog_rpcs import LOCATE
from rushes.catalog.v1.media_pb2 import ClipName, CutName, LocateObjectRequest, StoredObject
from rushes.stitcher.v1.stitcher_pb2 import MakeThumbnailRequest, MakeThumbnailResponse
from servicekit.blobs import BlobStore
from servicekit.clock import Clock
from servicekit.errors import FieldProblem, Invalid, NotFound
from servicekit.ids import check_id
from servicekit.signing import verify

MAKE_THUMBNAIL = Rpc(
    "/rushes.stitcher.v1.StitcherService/MakeThumbnail", MakeThumbnailRequest, MakeThumbnailResponse
)

_YEAR = 31_536_000
"""Seconds; the longest that RFC 9111 lets anyone mean."""

_PRESIGNED_FOR = timedelta(minutes=5)
_THUMBNAIL_DEADLINE = 30.0
_QUERY = ("download", "redirect")

Locator = Callable[[Request], LocateObjectRequest]


@dataclass(frozen=True)
class Source:
    """One address of bytes.

    Args:
        path: its template.
        locate: what it asks the catalog for.
        summary: for the document.
        query: parameters beyond `download` and `redirect`.
        subject: what a token opens it, if any may; by key alone without.
    """

    path: str
    locate: Locator
    summary: str
    query: tuple[str, ...] = ()
    subject: Callable[[Request], str] | None = None

    @property
    def access(self) -> Access:
        """By key, or by token too."""
        return Access.KEY if self.subject is None else Access.TOKEN_OR_KEY


@dataclass(frozen=True)
class Bytes:
    """What is needed to serve bytes.

    Args:
        redirect: whether every GET is sent to the object store itself, as with `?redirect=1`.
    """

    calls: Calls
    blobs: BlobStore
    clock: Clock
    signing_key: str
    redirect: bool = False

    def operations(self) -> list[Operation]:
        """GET and HEAD of every address of bytes."""
        return [
            Operation(
                method,
                source.path,
                self._handler(source),
                source.access,
                document(source.path, source.summary, source.query, head=method == "HEAD"),
            )
            for source in SOURCES
            for method in ("GET", "HEAD")
        ]

    def _handler(self, source: Source) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            refuse_unknown_query(request, (*_QUERY, *source.query))
            cache_control = self._cache_control(request, source)
            wanted = source.locate(request)
            found = await self.calls(LOCATE, wanted)
            stored = await self._thumbnail(wanted, found) if wanted.thumbnail else _as_stored(found)
            disposition = attachment(_filename(found)) if _flag(request, "download") else ""
            if request.method == "GET" and _flag(request, "redirect", default=self.redirect):
                address = await self.blobs.presign(
                    found.blob_key, ttl=_PRESIGNED_FOR, disposition=disposition
                )
                return RedirectResponse(address, 302, headers={"Cache-Control": "no-store"})
            made = reply(
                request.method,
                _joined_headers(request),
                stored,
                cache_control=cache_control,
                disposition=disposition,
                boundary=secrets.token_hex(16),
            )
            return await self._respond(made, found.blob_key)

        return handle

    def _cache_control(self, request: Request, source: Source) -> str:
        """For ever where the address names fixed content; a token's answer no longer than the token."""
        if source.subject is not None and (token := request.query_params.get("token")) is not None:
            expires = verify(self.signing_key, source.subject(request), token, now=self.clock.now())
            if "version" in source.query and not request.query_params.get("version"):
                return "no-cache"
            return f"public, max-age={int((expires - self.clock.now()).total_seconds())}, immutable"
        if "version" in source.query and not request.query_params.get("version"):
            return "private, no-cache"  # the newest version is another one tomorrow
        return f"private, max-age={_YEAR}, immutable"

    async def _thumbnail(self, wanted: LocateObjectRequest, found: StoredObject) -> Stored:
        """What is known of a small picture, made now when it is not there yet."""
        try:
            info = await self.blobs.stat(found.blob_key)
        except NotFound:
            whole = LocateObjectRequest()
            whole.CopyFrom(wanted)
            whole.thumbnail = False
            original = await self.calls(LOCATE, whole)
            asked = MakeThumbnailRequest(blob_key=original.blob_key, thumbnail_key=found.blob_key)
            await self.calls(MAKE_THUMBNAIL, asked, deadline=_THUMBNAIL_DEADLINE)
            info = await self.blobs.stat(found.blob_key)
        etag = info.etag.strip('"')
        return Stored(info.size, info.content_type, f'"{etag}"', info.modified_at)

    async def _respond(self, made: Reply, key: str) -> Response:
        if not made.body:
            return Response(status_code=made.status, headers=made.headers)
        chunks = _chunks(self.blobs, key, made.body)
        # The first bytes are read before the answer begins, so that a missing blob is still a proper error.
        first = await anext(chunks)
        return Streamed(_prefixed(first, chunks), made.status, made.headers)


async def _chunks(blobs: BlobStore, key: str, body: tuple[bytes | Span, ...]) -> AsyncIterator[bytes]:
    held = b""
    for piece in body:
        if isinstance(piece, bytes):
            held += piece
            continue
        async with aclosing(blobs.read(key, start=piece.start, length=len(piece))) as chunks:  # type: ignore[type-var]  # a generator
            async for chunk in chunks:
                yield held + chunk if held else chunk
                held = b""
    if held:
        yield held


async def _prefixed(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async with aclosing(rest):  # type: ignore[type-var]  # a generator
        yield first
        async for chunk in rest:
            yield chunk


def _as_stored(found: StoredObject) -> Stored:
    modified = found.modified_at.ToDatetime(UTC)
    return Stored(found.size_bytes, found.content_type, f'"{found.sha256}"', modified)


def _filename(found: StoredObject) -> str:
    return found.filename or PurePosixPath(found.blob_key).name


def _joined_headers(request: Request) -> dict[str, str]:
    """The headers by name; lists that were sent in several lines are one list."""
    return {name: ", ".join(request.headers.getlist(name)) for name in request.headers}


def _flag(request: Request, name: str, *, default: bool = False) -> bool:
    text = request.query_params.get(name, "").lower()
    return default if not text else text in ("1", "true", "yes")


def _version(request: Request) -> int:
    text = request.query_params.get("version", "")
    if text and not (text.isascii() and text.isdecimal() and 1 <= len(text) <= 9):
        told = f"must be the number of a version, 1 or more, and is {text[:40]!r}"
        raise Invalid(f"version {told}", fields=[FieldProblem("version", told)])
    return int(text or 0)


def _media(request: Request) -> LocateObjectRequest:
    return LocateObjectRequest(media_id=check_id(request.path_params["id"], "media"))


def _asset(request: Request) -> LocateObjectRequest:
    return LocateObjectRequest(asset_id=check_id(request.path_params["id"], "asset"))


def _cut(request: Request) -> LocateObjectRequest:
    job = check_id(request.path_params["job_id"], "job", field="job_id")
    return LocateObjectRequest(cut=CutName(job_id=job, version=_version(request)))


def _clip(request: Request) -> LocateObjectRequest:
    job = check_id(request.path_params["job_id"], "job", field="job_id")
    return LocateObjectRequest(clip=ClipName(job_id=job, filename=request.path_params["file"]))


def _small(locate: Locator) -> Locator:
    def located(request: Request) -> LocateObjectRequest:
        wanted = locate(request)
        wanted.thumbnail = True
        return wanted

    return located


SOURCES = (
    Source("/api/v3/media/{id}", _media, "The bytes of a stored output"),
    Source("/api/v3/media/{id}/thumbnail", _small(_media), "The poster of a stored output"),
    Source(
        "/api/v3/assets/{id}/data",
        _asset,
        "The bytes of an asset",
        ("token",),
        lambda request: asset_subject(request.path_params["id"]),
    ),
    Source("/api/v3/assets/{id}/thumbnail", _small(_asset), "The small picture of an asset"),
    Source(
        "/api/v3/videos/{job_id}/combined",
        _cut,
        "The finished video of a job",
        ("version", "token"),
        lambda request: cut_subject(request.path_params["job_id"]),
    ),
    Source("/api/v3/videos/{job_id}/thumbnail", _small(_cut), "The poster of a finished video", ("version",)),
    Source("/api/v3/videos/{job_id}/clips/{file}", _clip, "One clip of a job"),
)
"""Every address of bytes."""
