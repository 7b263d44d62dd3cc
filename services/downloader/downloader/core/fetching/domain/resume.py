"""Whether what comes next continues what has come so far: ranges, validators, and starting again."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime
from enum import Enum

from downloader.core.fetching.domain.fetch_errors import Code, FetchFailed
from downloader.core.fetching.domain.redirects import STATUSES as REDIRECTS

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)", re.IGNORECASE | re.ASCII)
_STRONG = re.compile(r'"[\x21\x23-\x7e\x80-\xff]*"')
_SETTLED = timedelta(seconds=60)
"""How much older than the answer a modification must be to serve as a validator: clocks differ."""

_PASSING = frozenset({408, 425, 429})


@dataclass(frozen=True)
class Head:
    """What an origin's answer says before its body; header names are in lower case."""

    status: int
    headers: dict[str, str]

    def get(self, name: str) -> str | None:
        """One header."""
        return self.headers.get(name)


@dataclass(frozen=True)
class Entity:
    """Which content is being received: its total length and its strong validator, where known."""

    total: int | None
    validator: str | None


class Step(Enum):
    """What to do with an answer."""

    APPEND = "append"
    """Its body continues at the offset."""
    RESTART = "restart"
    """Its body is the whole content: throw away what there is and take this."""
    ASK_AGAIN = "ask again"
    """Its body is of no use: throw away what there is and ask for the whole."""


def request_headers(offset: int, entity: Entity | None) -> dict[str, str]:
    """What to ask for: the rest when it can be proved to be the rest of the same, else the whole."""
    headers = {"Accept-Encoding": "identity"}
    if can_resume(offset, entity) and entity is not None and entity.validator is not None:
        headers |= {"Range": f"bytes={offset}-", "If-Range": entity.validator}
    return headers


def can_resume(offset: int, entity: Entity | None) -> bool:
    """Whether the next request will be for the rest only."""
    return offset > 0 and entity is not None and entity.validator is not None


def decide(head: Head, offset: int, entity: Entity | None) -> tuple[Step, Entity]:
    """What to do with an answer to `request_headers(offset, entity)`, and which content it is.

    Raises:
        FetchFailed: `gone`, `origin_error`, `encoded`, by the answer's status and headers.
    """
    ranged = can_resume(offset, entity)
    if head.status == 416 and ranged:
        return Step.ASK_AGAIN, Entity(None, None)
    _refuse_status(head)
    if (encoding := head.get("content-encoding") or "identity").lower() != "identity":
        raise FetchFailed(Code.ENCODED, f"the origin sent it with Content-Encoding {encoding[:32]}")
    if head.status == 200:
        return Step.RESTART, Entity(_length(head), validator(head))
    if not ranged or entity is None:
        raise FetchFailed(Code.ORIGIN_ERROR, f"the origin answered {head.status} to a request for the whole")
    return _continues(head, offset, entity), entity


def _continues(head: Head, offset: int, entity: Entity) -> Step:
    found = _CONTENT_RANGE.fullmatch((head.get("content-range") or "").strip())
    if found is None:  # none, several ranges at once, or nonsense
        return Step.ASK_AGAIN
    start, end, total = int(found[1]), int(found[2]), found[3]
    same_total = total != "*" and (entity.total is None or int(total) == entity.total)
    inside = start == offset and total != "*" and start <= end < int(total)
    return Step.APPEND if same_total and inside and validator(head) == entity.validator else Step.ASK_AGAIN


def validator(head: Head) -> str | None:
    """What `If-Range` may carry: a strong entity tag, else a date that is old enough (RFC 9110, 13.1.5)."""
    if (tag := head.get("etag")) is not None:
        return tag.strip() if _STRONG.fullmatch(tag.strip()) else None
    modified, said = head.get("last-modified"), head.get("date")
    if modified is None or said is None:
        return None
    try:
        old_enough = parsedate_to_datetime(said) - parsedate_to_datetime(modified) >= _SETTLED
    except (ValueError, TypeError):  # not dates; or only one of them has a zone
        return None
    return modified.strip() if old_enough else None


def _length(head: Head) -> int | None:
    length = (head.get("content-length") or "").strip()
    return int(length) if length.isascii() and length.isdigit() else None


def _refuse_status(head: Head) -> None:
    status = head.status
    if status in (200, 206):
        return
    if status in REDIRECTS:
        raise FetchFailed(Code.REDIRECTS, "it is redirected without saying where to")
    if 400 <= status < 500 and status not in _PASSING:
        raise FetchFailed(
            Code.GONE, f"the origin answers {status}: it is deleted, expired or was never there"
        )
    wait = (head.get("retry-after") or "").strip()
    asked = min(float(wait), 3600.0) if wait.isascii() and wait.isdigit() else None
    raise FetchFailed(Code.ORIGIN_ERROR, f"the origin answers {status}", retry_after=asked)
