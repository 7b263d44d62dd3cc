"""Serves output files: HEAD, ranges with strong validators, expiry, and the faults of the phase `file`."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from sandbox.core.clock import SandboxClock
from sandbox.core.faults import FaultRule, FaultRules
from sandbox.core.predictions.ports import OutputFile, Store
from sandbox.edges.http.connection_cuts import cut_connection
from sandbox.edges.http.fault_responses import HTML

CHUNK = 256 * 1024
_RANGE = re.compile(r"^bytes=(\d*)-(\d*)$")
Read = Callable[[int, int], bytes]


@dataclass(frozen=True)
class Content:
    """A file as it is served now, perhaps changed by a fault. `read(start, end)` answers bytes."""

    read: Read
    size: int
    etag: str
    content_type: str


@dataclass(frozen=True)
class OutputRoutes:
    """Needs no token, as the provider's delivery host."""

    store: Store
    clock: SandboxClock
    rules: FaultRules
    expired_status: int

    def routes(self) -> list[Route]:
        return [Route("/files/{token}/{name}", self.get, methods=["GET", "HEAD"])]

    async def get(self, request: Request) -> Response:
        file = self.store.file(request.path_params["token"])
        if file is None or file.name != request.path_params["name"]:
            return PlainTextResponse("Not found\n", 404)
        if file.expires_at <= self.clock.now() or not file.path.exists():
            return PlainTextResponse("This file has expired\n", self.expired_status)
        rule = self._rule(request, file)
        if rule is not None and (answer := _replacement(rule)) is not None:
            return answer
        if rule is not None and rule.fault == "output_swapped":
            self.store.mark_swapped(file.token)
            file = self.store.file(file.token) or file
        return self._serve(request, _content(file, rule), rule)

    def _rule(self, request: Request, file: OutputFile) -> FaultRule | None:
        if request.method == "HEAD":
            return None
        only = (*_ANY, *_ON_RANGE) if "range" in request.headers else _ANY
        return self.rules.take("file", route="files", model=file.model, only=only)

    def _serve(self, request: Request, content: Content, rule: FaultRule | None) -> Response:
        headers = {"etag": content.etag, "accept-ranges": "bytes", "cache-control": "private, max-age=3600"}
        requested = None if rule is not None and rule.fault == "range_ignored" else _range(request, content)
        if requested == "unsatisfiable":
            return Response(status_code=416, headers={**headers, "content-range": f"bytes */{content.size}"})
        start, end = requested if isinstance(requested, tuple) else (0, content.size)
        status = 206 if requested else 200
        if requested:
            headers["content-range"] = f"bytes {start}-{end - 1}/{content.size}"
        headers["content-length"] = str(end - start)
        if request.method == "HEAD":
            return Response(status_code=status, headers=headers, media_type=content.content_type)
        if rule is not None and rule.fault in ("output_truncated", "output_reset"):
            cut_at = start + int((end - start) * float(rule.params.get("fraction", 0.5)))
            body, hard = _chunks(content, start, cut_at), rule.fault == "output_reset"
            return TruncatedResponse(body, status, headers, content.content_type, hard=hard)
        body = _chunks(content, start, end)
        if rule is not None and rule.fault == "slow_drip":
            body = self._dripping(content, start, end, rule)
        return StreamingResponse(body, status, headers, content.content_type)

    async def _dripping(
        self, content: Content, start: int, end: int, rule: FaultRule
    ) -> AsyncIterator[bytes]:
        size, pause = int(rule.params.get("chunk", 1024)), float(rule.params.get("seconds", 0.2))
        for at in range(start, end, size):
            yield content.read(at, min(at + size, end))
            await self.clock.sleep(pause)


class TruncatedResponse(StreamingResponse):
    """A body that ends before its announced length, by an orderly close, or by a reset (`hard`)."""

    def __init__(self, *args: Any, hard: bool) -> None:
        super().__init__(*args)
        self._hard = hard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for chunk in self.body_iterator:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        cut_connection(receive, hard=self._hard)


async def _chunks(content: Content, start: int, end: int) -> AsyncIterator[bytes]:
    for at in range(start, end, CHUNK):
        yield content.read(at, min(at + CHUNK, end))


_ANY = (
    "output_truncated", "output_short", "output_corrupted", "output_html", "slow_drip", "redirect_private",
    "output_expired_403", "output_expired_404", "output_500", "output_reset",
)  # fmt: skip
_ON_RANGE = ("output_swapped", "range_ignored", "range_416")


def _replacement(rule: FaultRule) -> Response | None:
    makers: dict[str, Callable[[], Response]] = {
        "output_html": lambda: HTMLResponse("<!DOCTYPE html><html><body>Please sign in</body></html>"),
        "redirect_private": lambda: RedirectResponse(
            str(rule.params.get("location", "http://169.254.169.254/latest/meta-data/")), 302
        ),
        "output_expired_403": lambda: PlainTextResponse("Forbidden\n", 403),
        "output_expired_404": lambda: PlainTextResponse("Not found\n", 404),
        "output_500": lambda: HTMLResponse(HTML, 500),
        "range_416": lambda: Response(status_code=416),
    }
    maker = makers.get(rule.fault)
    return maker() if maker else None


def _content(file: OutputFile, rule: FaultRule | None) -> Content:
    def stored(start: int, end: int) -> bytes:
        with file.path.open("rb") as handle:
            handle.seek(start)
            return handle.read(end - start)

    content = Content(stored, file.size, file.etag, file.content_type)
    if file.swapped:
        content = _swapped(content)
    if rule is not None and rule.fault == "output_short":
        size = int(content.size * float(rule.params.get("fraction", 0.5)))
        return Content(content.read, size, content.etag, content.content_type)
    if rule is not None and rule.fault == "output_corrupted":
        return _corrupted(content)
    return content


def _swapped(content: Content) -> Content:
    """Another file at the same address: the old one and a `free` box at its end, still a valid MP4."""
    tail = (64).to_bytes(4, "big") + b"free" + b"swapped".ljust(56, b".")
    size = content.size

    def read(start: int, end: int) -> bytes:
        return content.read(start, min(end, size)) + tail[max(0, start - size) : max(0, end - size)]

    return Content(read, size + len(tail), f'"{content.etag.strip(chr(34))[::-1]}"', content.content_type)


def _corrupted(content: Content) -> Content:
    low, high = content.size // 3, content.size * 2 // 3

    def read(start: int, end: int) -> bytes:
        data = bytearray(content.read(start, end))
        for at in range(max(start, low), min(end, high)):
            data[at - start] ^= 0xA5 ^ (at & 0x5A)
        return bytes(data)

    return Content(read, content.size, content.etag, content.content_type)


def _range(request: Request, content: Content) -> tuple[int, int] | str | None:
    """Start and end of the requested range; None: the whole file; or "unsatisfiable"."""
    header = request.headers.get("range")
    condition = request.headers.get("if-range")
    found: Any = _RANGE.match(header) if header else None
    if not found or found.group(0) == "bytes=-" or (condition is not None and condition != content.etag):
        return None
    first, last = found.groups()
    if not first:
        start, end = max(0, content.size - int(last)), content.size
    else:
        start, end = int(first), min(content.size, int(last) + 1 if last else content.size)
    return (start, end) if start < end else "unsatisfiable"
