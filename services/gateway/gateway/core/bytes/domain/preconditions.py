"""Evaluates a request's preconditions, in the order of RFC 9110 §13.2.2."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from enum import Enum

_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')


class Verdict(Enum):
    """What the preconditions make of the request."""

    SEND = "send it, and honour a range"
    SEND_WHOLE = "send it whole: the range was meant for another version"
    NOT_MODIFIED = "304"
    FAILED = "412"


def evaluate(headers: Mapping[str, str], *, etag: str, modified: datetime) -> Verdict:
    """Evaluate the preconditions of a GET or HEAD of something that exists.

    Args:
        headers: the request's, names in lower case.
        etag: the strong entity tag of what would be sent, with its quotes.
        modified: its last modification (aware); compared in whole seconds, as HTTP dates are.
    """
    modified = modified.replace(microsecond=0)
    if (tags := headers.get("if-match")) is not None:
        if not _matches(tags, etag, strong=True):
            return Verdict.FAILED
    elif (date := parse_date(headers.get("if-unmodified-since"))) is not None and modified > date:
        return Verdict.FAILED
    if (tags := headers.get("if-none-match")) is not None:
        if _matches(tags, etag, strong=False):
            return Verdict.NOT_MODIFIED
    elif (date := parse_date(headers.get("if-modified-since"))) is not None and modified <= date:
        return Verdict.NOT_MODIFIED
    condition = headers.get("if-range")
    if condition is not None and not _range_condition(condition.strip(), etag, modified):
        return Verdict.SEND_WHOLE
    return Verdict.SEND


def http_date(moment: datetime) -> str:
    """The moment (aware) as HTTP writes it, whatever the locale: `Thu, 01 Jan 2026 12:00:00 GMT`."""
    return format_datetime(moment.astimezone(UTC), usegmt=True)


def parse_date(text: str | None) -> datetime | None:
    """An HTTP date in one of its three forms, or None: a header that does not hold one is ignored."""
    if text is None:
        return None
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _matches(header: str, etag: str, *, strong: bool) -> bool:
    """Whether the header's list of tags holds ours; a malformed list matches nothing after its fault."""
    if header.strip() == "*":
        return True
    rest = header.strip(" \t,")
    while rest:
        match = _TAG.match(rest)
        if match is None:
            return False
        if f'"{match[2]}"' == etag and not (strong and match[1]):
            return True
        after = rest[match.end() :].lstrip(" \t")
        if after and not after.startswith(","):
            return False
        rest = after.strip(" \t,")
    return False


def _range_condition(condition: str, etag: str, modified: datetime) -> bool:
    if condition.startswith(('"', "W/")):
        return condition == etag  # strong comparison: a weak tag never equals a strong one
    return parse_date(condition) == modified
