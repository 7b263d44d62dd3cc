"""Decides the response to a GET or HEAD of stored bytes: status, headers, and which bytes in which order."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from gateway.core.bytes.domain.byte_ranges import ByteRange, Unsatisfiable, select_ranges
from gateway.core.bytes.domain.preconditions import Verdict, evaluate, http_date

_PLAIN = re.compile(r"[^A-Za-z0-9._ ()-]")
_VALIDATORS = ("ETag", "Last-Modified", "Cache-Control")
"""What a 304 repeats of the 200 it stands for (RFC 9110 §15.4.5)."""


@dataclass(frozen=True)
class Representation:
    """What would be sent as a whole.

    Args:
        size: in bytes.
        etag: strong, with its quotes.
        modified: the last change (aware).
    """

    size: int
    content_type: str
    etag: str
    modified: datetime


@dataclass(frozen=True)
class ByteResponse:
    """The response. `body` holds literal bytes and ranges of the stored bytes, in the order to be sent."""

    status: int
    headers: dict[str, str]
    body: tuple[bytes | ByteRange, ...] = ()


def respond(
    method: str,
    request: Mapping[str, str],
    stored: Representation,
    *,
    cache_control: str,
    disposition: str = "",
    boundary: str,
) -> ByteResponse:
    """Respond to a GET or HEAD.

    A HEAD with a range is answered like the GET, without the body: so do the servers that caches are
    tested against (Go's `http.ServeContent`, nginx), though RFC 9110 §14.2 defines ranges for GET alone.

    Args:
        method: "GET" or "HEAD".
        request: the request's headers, names in lower case.
        cache_control: the value of `Cache-Control`.
        disposition: the value of `Content-Disposition`; empty for none.
        boundary: between parts; must not occur in the stored bytes, so it is random.
    """
    headers = {
        "Accept-Ranges": "bytes",
        "ETag": stored.etag,
        "Last-Modified": http_date(stored.modified),
        "Cache-Control": cache_control,
        "X-Content-Type-Options": "nosniff",
    }
    verdict = evaluate(request, etag=stored.etag, modified=stored.modified)
    if verdict is Verdict.FAILED:
        return ByteResponse(412, {**headers, "Content-Length": "0"})
    if verdict is Verdict.NOT_MODIFIED:
        return ByteResponse(304, {name: headers[name] for name in _VALIDATORS})
    if disposition:
        headers["Content-Disposition"] = disposition
    header = request.get("range") if verdict is Verdict.SEND else None
    try:
        ranges = select_ranges(header, stored.size)
    except Unsatisfiable:
        unsatisfied = {"Content-Range": f"bytes */{stored.size}", "Content-Length": "0"}
        return ByteResponse(416, {**headers, **unsatisfied})
    response = _with_body(headers, ranges, stored, boundary)
    return ByteResponse(response.status, response.headers) if method == "HEAD" else response


def _with_body(
    headers: dict[str, str], ranges: tuple[ByteRange, ...], stored: Representation, boundary: str
) -> ByteResponse:
    if len(ranges) > 1:
        body = _parts(ranges, stored, boundary)
        content_type = f"multipart/byteranges; boundary={boundary}"
        length = {"Content-Type": content_type, "Content-Length": str(sum(map(len, body)))}
        return ByteResponse(206, {**headers, **length}, body)
    sent = ranges[0] if ranges else ByteRange(0, stored.size)
    headers = {**headers, "Content-Type": stored.content_type, "Content-Length": str(len(sent))}
    if ranges:
        return ByteResponse(206, {**headers, "Content-Range": sent.content_range(stored.size)}, (sent,))
    return ByteResponse(200, headers, (sent,) if stored.size else ())


def _parts(
    ranges: tuple[ByteRange, ...], stored: Representation, boundary: str
) -> tuple[bytes | ByteRange, ...]:
    body: list[bytes | ByteRange] = []
    for number, each in enumerate(ranges):
        head = (
            f"{'' if number == 0 else chr(13) + chr(10)}--{boundary}\r\n"
            f"Content-Type: {stored.content_type}\r\n"
            f"Content-Range: {each.content_range(stored.size)}\r\n\r\n"
        )
        body += [head.encode("latin-1"), each]
    body.append(f"\r\n--{boundary}--\r\n".encode())
    return tuple(body)


def attachment(filename: str) -> str:
    """The `Content-Disposition` that saves under this name (RFC 6266): plain for old readers, and in full."""
    name = filename.replace("\\", "/").rsplit("/", 1)[-1].strip() or "download"
    plain = _PLAIN.sub("_", name)
    full = quote(name.encode("utf-8", "replace"), safe="")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{full}"
