"""Decides what a response is good for: a redirect, the rest of what was received, the whole, or an error."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime
from enum import Enum
from urllib.parse import urljoin, urlsplit

from downloader.core.fetching.domain.content_encoding import compressions
from downloader.core.fetching.domain.fetch_errors import ErrorCode, FetchError

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", re.IGNORECASE | re.ASCII)
_STRONG_TAG = re.compile(r'"[\x21\x23-\x7e]*"')
"""ASCII alone, though others may be sent: it has to be sent back."""

_DATE_SETTLED = timedelta(seconds=60)
"""How much older than the response a modification date must be to serve as a validator: clocks differ."""

_PASSING_4XX = frozenset({408, 425, 429})
"""Client errors (timeout, too early, too many requests) that say nothing about the file."""


@dataclass(frozen=True)
class ResponseHead:
    """Status and headers of a response; header names are in lower case."""

    status: int
    headers: dict[str, str]

    def get(self, name: str) -> str | None:
        return self.headers.get(name)


@dataclass(frozen=True)
class Representation:
    """Which content is being received: its total length and its strong validator, where known."""

    total: int | None
    validator: str | None


class BodyUse(Enum):
    """What the body of a response is good for."""

    APPEND = "append"
    """It continues at the offset."""
    REPLACE = "replace"
    """It is the whole content: throw away what there is and take this."""
    DISCARD = "discard"
    """It is of no use: throw away what there is, and request the whole."""


def request_headers(offset: int, representation: Representation | None) -> dict[str, str]:
    """Requests the rest when the answer can prove to be the rest of the same content, else the whole."""
    headers = {"Accept-Encoding": "identity"}
    if offset > 0 and representation is not None and representation.validator is not None:
        headers |= {"Range": f"bytes={offset}-", "If-Range": representation.validator}
    return headers


def evaluate_response(
    head: ResponseHead, offset: int, representation: Representation | None
) -> tuple[BodyUse, Representation]:
    """What to do with the response to `request_headers(offset, representation)`, and what it represents.

    Raises:
        FetchError: `gone`, `origin_error`, `encoded`, by the status and headers.
    """
    ranged = "Range" in request_headers(offset, representation)
    if head.status == 416 and ranged:
        return BodyUse.DISCARD, Representation(None, None)
    _refuse_status(head)
    is_compressed = bool(compressions(head.get("content-encoding")))
    part = _part(head) if head.status == 206 else None
    if head.status != 206 or (part is not None and part.is_all):
        if is_compressed:  # neither its length nor a place within it counts for what it unpacks to
            return BodyUse.REPLACE, Representation(None, None)
        return BodyUse.REPLACE, Representation(part.total if part else _content_length(head), validator(head))
    if not ranged or representation is None:
        raise FetchError(ErrorCode.ORIGIN_ERROR, "the origin answered with a part to a request for the whole")
    is_rest = (
        part is not None
        and part.start == offset
        and representation.total in (None, part.total)
        and validator(head) == representation.validator
        and not is_compressed  # what was received so far was not
    )
    return BodyUse.APPEND if is_rest else BodyUse.DISCARD, representation


@dataclass(frozen=True)
class _Part:
    """The bytes from `start` up to and including `end`, of `total`."""

    start: int
    end: int
    total: int

    @property
    def is_all(self) -> bool:
        return self.start == 0 and self.end == self.total - 1


def _part(head: ResponseHead) -> _Part | None:
    """None: the header names several ranges, no total, or nonsense."""
    found = _CONTENT_RANGE.fullmatch((head.get("content-range") or "").strip())
    if found is None:
        return None
    part = _Part(int(found[1]), int(found[2]), int(found[3]))
    return part if part.start <= part.end < part.total else None


def validator(head: ResponseHead) -> str | None:
    """What `If-Range` may carry: a strong entity tag, else a date that is old enough (RFC 9110, 13.1.5)."""
    if (tag := head.get("etag")) is not None:
        return tag.strip() if _STRONG_TAG.fullmatch(tag.strip()) else None
    modified, sent = head.get("last-modified"), head.get("date")
    if modified is None or sent is None:
        return None
    try:
        is_settled = parsedate_to_datetime(sent) - parsedate_to_datetime(modified) >= _DATE_SETTLED
    except (ValueError, TypeError):  # not dates; or only one of them has a zone
        return None
    return modified.strip() if is_settled and modified.isascii() else None


def _content_length(head: ResponseHead) -> int | None:
    length = (head.get("content-length") or "").strip()
    return int(length) if re.fullmatch(r"[0-9]{1,18}", length) else None


def _refuse_status(head: ResponseHead) -> None:
    status = head.status
    if status in (200, 203, 206):  # 203: a proxy on the way has changed it, which the check will show
        return
    if status in REDIRECT_STATUSES:
        raise FetchError(ErrorCode.REDIRECTS, "it is redirected without saying where to")
    if 400 <= status < 500 and status not in _PASSING_4XX:
        raise FetchError(
            ErrorCode.GONE, f"the origin answers {status}: it is deleted, expired or was never there"
        )
    wait = (head.get("retry-after") or "").strip()
    seconds = min(float(wait), 3600.0) if wait.isascii() and wait.isdigit() else None
    raise FetchError(ErrorCode.ORIGIN_ERROR, f"the origin answers {status}", retry_after=seconds)


MAX_REDIRECTS = 5
"""For one request."""

REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})


def redirect_target(url: str, location: str | None, *, followed: int) -> str:
    """The next address after `followed` redirects so far. The caller checks it like the first one.

    Raises:
        FetchError: `redirects`: one too many, without a Location, or from https down to http.
    """
    if followed >= MAX_REDIRECTS:
        raise FetchError(ErrorCode.REDIRECTS, f"it is redirected more than {MAX_REDIRECTS} times")
    if not location or not location.strip():
        raise FetchError(ErrorCode.REDIRECTS, "it is redirected without saying where to")
    try:
        target = urljoin(url, location.strip().replace(" ", "%20"))  # as browsers do
        scheme = urlsplit(target).scheme
    except ValueError as error:
        raise FetchError(ErrorCode.REDIRECTS, "it is redirected to an address that cannot be read") from error
    if urlsplit(url).scheme == "https" and scheme == "http":
        raise FetchError(
            ErrorCode.REDIRECTS, "it is redirected from https to http, where anybody may change it"
        )
    return target
