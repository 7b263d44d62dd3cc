"""Whether a request's preconditions hold, in the order of RFC 9110 §13.2.2."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum

_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_IMF, _ASCTIME = "%a, %d %b %Y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y"
_RFC_850 = re.compile(r"[A-Z][a-z]+day, (\d\d)-([A-Z][a-z]{2})-(\d\d) (\d\d:\d\d:\d\d) GMT", re.ASCII)
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Verdict(Enum):
    """What to do with the request."""

    GO_ON = "send it, and honour a range"
    GO_ON_WHOLE = "send it whole: the range was meant for another version"
    NOT_MODIFIED = "304"
    FAILED = "412"


def judge(headers: Mapping[str, str], *, etag: str, modified: datetime) -> Verdict:
    """Judge a GET or HEAD of something that exists.

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
        return Verdict.GO_ON_WHOLE
    return Verdict.GO_ON


def http_date(moment: datetime) -> str:
    """The moment (aware) as HTTP writes it, whatever the locale: `Thu, 01 Jan 2026 12:00:00 GMT`."""
    utc = moment.astimezone(UTC)
    return f"{_DAYS[utc.weekday()]}, {utc:%d} {_MONTHS[utc.month - 1]} {utc:%Y %H:%M:%S} GMT"


def parse_date(text: str | None) -> datetime | None:
    """An HTTP date in one of its three forms, or None: a header that does not hold one is ignored."""
    if text is None:
        return None
    text = text.strip()
    if found := _RFC_850.fullmatch(text):
        # RFC 9110 §5.6.7: two digits that would lie over 50 years ahead mean the century before.
        year = datetime.now(UTC).year // 100 * 100 + int(found[3])
        year -= 100 if year > datetime.now(UTC).year + 50 else 0
        return _parsed(f"{found[1]} {found[2]} {year:04} {found[4]}", "%d %b %Y %H:%M:%S")
    return _parsed(text, _IMF) or _parsed(text, _ASCTIME)


def _parsed(text: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(text, form).replace(tzinfo=UTC)
    except ValueError:
        return None


def _matches(header: str, etag: str, *, strong: bool) -> bool:
    """Whether the header's list of tags holds ours; a malformed list matches nothing after its fault."""
    if header.strip() == "*":
        return True
    rest = header.strip(" \t,")
    while rest:
        found = _TAG.match(rest)
        if found is None:
            return False
        if f'"{found[2]}"' == etag and not (strong and found[1]):
            return True
        after = rest[found.end() :].lstrip(" \t")
        if after and not after.startswith(","):
            return False
        rest = after.strip(" \t,")
    return False


def _range_condition(condition: str, etag: str, modified: datetime) -> bool:
    if condition.startswith(('"', "W/")):
        return condition == etag  # strong comparison: a weak tag never equals a strong one
    return parse_date(condition) == modified
