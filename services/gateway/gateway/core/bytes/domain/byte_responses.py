"""What to answer to a GET or HEAD of stored bytes: status, headers, and which bytes in which order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from gateway.core.bytes.domain.byte_ranges import Span, Unsatisfiable, select
from gateway.core.bytes.domain.preconditions import Verdict, http_date, judge

_VALIDATORS = ("ETag", "Last-Modified", "Cache-Control")
"""What a 304 repeats of the 200 it stands for (RFC 9110 §15.4.5)."""


@dataclass(frozen=True)
class Stored:
    """What would be sent: its size in bytes, type, strong tag (with quotes), and last change (aware)."""

    size: int
    content_type: str
    etag: str
    modified: datetime


@dataclass(frozen=True)
class Reply:
    """The answer. `body` holds literal bytes and spans of the stored bytes, in the order to be sent."""

    status: int
    headers: dict[str, str]
    body: tuple[bytes | Span, ...] = ()


def reply(
    method: str,
    request: Mapping[str, str],
    stored: Stored,
    *,
    cache_control: str,
    disposition: str = "",
    boundary: str,
) -> Reply:
    """Answer a GET or HEAD.

    A HEAD with a range is answered like the GET, without the body: so do the servers that caches are
    tested against (Go's `http.ServeContent`, nginx), though RFC 9110 §14.2 defines ranges for GET alone.

    Args:
        method: "GET" or "HEAD".
        request: the request's headers, names in lower case.
        stored: what is there.
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
    verdict = judge(request, etag=stored.etag, modified=stored.modified)
    if verdict is Verdict.FAILED:
        return Reply(412, {**headers, "Content-Length": "0"})
    if verdict is Verdict.NOT_MODIFIED:
        return Reply(304, {name: headers[name] for name in _VALIDATORS})
    if disposition:
        headers["Content-Disposition"] = disposition
    asked = request.get("range") if verdict is Verdict.GO_ON else None
    try:
        spans = select(asked, stored.size)
    except Unsatisfiable:
        told = {"Content-Range": f"bytes */{stored.size}", "Content-Length": "0"}
        return Reply(416, {**headers, **told})
    made = _filled(headers, spans, stored, boundary)
    return Reply(made.status, made.headers) if method == "HEAD" else made


def _filled(headers: dict[str, str], spans: tuple[Span, ...], stored: Stored, boundary: str) -> Reply:
    if len(spans) > 1:
        body = _parts(spans, stored, boundary)
        content_type = f"multipart/byteranges; boundary={boundary}"
        length = {"Content-Type": content_type, "Content-Length": str(sum(map(len, body)))}
        return Reply(206, {**headers, **length}, body)
    span = spans[0] if spans else Span(0, stored.size)
    headers = {**headers, "Content-Type": stored.content_type, "Content-Length": str(len(span))}
    if spans:
        return Reply(206, {**headers, "Content-Range": span.content_range(stored.size)}, (span,))
    return Reply(200, headers, (span,) if stored.size else ())


def _parts(spans: tuple[Span, ...], stored: Stored, boundary: str) -> tuple[bytes | Span, ...]:
    body: list[bytes | Span] = []
    for number, span in enumerate(spans):
        head = (
            f"{'' if number == 0 else chr(13) + chr(10)}--{boundary}\r\n"
            f"Content-Type: {stored.content_type}\r\n"
            f"Content-Range: {span.content_range(stored.size)}\r\n\r\n"
        )
        body += [head.encode("latin-1"), span]
    body.append(f"\r\n--{boundary}--\r\n".encode())
    return tuple(body)
