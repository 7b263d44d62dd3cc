"""Decides which bytes a `Range` header requests (RFC 9110 §14)."""

from __future__ import annotations

import re
from dataclasses import dataclass

MOST_RANGES = 100
"""More ranges than this are no honest request: the header is ignored, and the whole is sent."""

_INT_RANGE = re.compile(r"([0-9]+)-([0-9]*)")
_SUFFIX_RANGE = re.compile(r"-([0-9]+)")
_BEYOND = 10**18
"""Stands for any position of more digits than a file can have bytes: no huge numbers are computed."""


@dataclass(frozen=True)
class ByteRange:
    """Bytes from `start` up to, and without, `stop`."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def content_range(self, size: int) -> str:
        """The value of `Content-Range` for it, in a representation of `size` bytes."""
        return f"bytes {self.start}-{self.stop - 1}/{size}"


WHOLE: tuple[ByteRange, ...] = ()
"""No range: send everything."""


class Unsatisfiable(Exception):  # noqa: N818  # the word of the RFC
    """Every requested range lies beyond the end: 416."""


def select_ranges(header: str | None, size: int) -> tuple[ByteRange, ...]:
    """The ranges to send, or `WHOLE` when there is none, or the header is malformed or wasteful.

    Ranges that overlap or touch are joined (and then sorted); others keep the order of the request. To
    request more bytes than there are, or more than `MOST_RANGES`, is wasteful. A range of an empty
    representation is ignored, because no `Content-Range` could say what is sent.

    Raises:
        Unsatisfiable: well-formed, but nothing of it exists.
    """
    requested = _parse(header, size) if header is not None and size > 0 else None
    if requested is None:
        return WHOLE
    if not requested:
        raise Unsatisfiable
    if sum(map(len, requested)) > size:
        return WHOLE
    return _joined(requested)


def _parse(header: str, size: int) -> list[ByteRange] | None:
    """The satisfiable ranges in the order of the request; None when the header must be ignored."""
    unit, equals, rest = header.strip(" \t").partition("=")
    if not equals or unit.lower() != "bytes":
        return None
    specs = [spec for part in rest.split(",") if (spec := part.strip(" \t"))]
    if not specs or len(specs) > MOST_RANGES:
        return None
    ranges = []
    for spec in specs:
        if match := _INT_RANGE.fullmatch(spec):
            first, last = _number(match[1]), _number(match[2]) if match[2] else _BEYOND
            if last < first:
                return None
            requested = ByteRange(first, min(last + 1, size))
        elif match := _SUFFIX_RANGE.fullmatch(spec):
            requested = ByteRange(max(0, size - _number(match[1])), size)
        else:
            return None
        if requested.start < requested.stop:
            ranges.append(requested)
    return ranges


def _number(digits: str) -> int:
    return int(digits) if len(digits) <= 18 else _BEYOND


def _joined(ranges: list[ByteRange]) -> tuple[ByteRange, ...]:
    joined: list[ByteRange] = []
    for each in sorted(ranges, key=lambda each: each.start):
        if joined and each.start <= joined[-1].stop:
            joined[-1] = ByteRange(joined[-1].start, max(joined[-1].stop, each.stop))
        else:
            joined.append(each)
    return tuple(joined if len(joined) < len(ranges) else ranges)
