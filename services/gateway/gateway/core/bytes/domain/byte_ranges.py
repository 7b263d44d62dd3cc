"""Which bytes a `Range` header asks for (RFC 9110 §14)."""

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
class Span:
    """Bytes from `start` up to, and without, `stop`."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def content_range(self, size: int) -> str:
        """The value of `Content-Range` for it, in a representation of `size` bytes."""
        return f"bytes {self.start}-{self.stop - 1}/{size}"


WHOLE: tuple[Span, ...] = ()
"""No range: send everything."""


class Unsatisfiable(Exception):  # noqa: N818  # the word of the RFC
    """Every range asked for lies beyond the end: 416."""


def select(header: str | None, size: int) -> tuple[Span, ...]:
    """The spans to send, or `WHOLE` when there is no range, or the header is malformed or wasteful.

    Ranges that overlap or touch are joined (and then sorted); others keep the order asked for. Asking
    for more bytes than there are, or for more than `MOST_RANGES`, is wasteful. A range of an empty
    representation is ignored, because no `Content-Range` could say what is sent.

    Raises:
        Unsatisfiable: well-formed, but nothing of it exists.
    """
    asked = _parse(header, size) if header is not None and size > 0 else None
    if asked is None:
        return WHOLE
    if not asked:
        raise Unsatisfiable
    if sum(map(len, asked)) > size:
        return WHOLE
    return _joined(asked)


def _parse(header: str, size: int) -> list[Span] | None:
    """The satisfiable spans in the order asked for; None when the header must be ignored."""
    unit, equals, rest = header.strip(" \t").partition("=")
    if not equals or unit.lower() != "bytes":
        return None
    specs = [spec for part in rest.split(",") if (spec := part.strip(" \t"))]
    if not specs or len(specs) > MOST_RANGES:
        return None
    spans = []
    for spec in specs:
        if found := _INT_RANGE.fullmatch(spec):
            first, last = _number(found[1]), _number(found[2]) if found[2] else _BEYOND
            if last < first:
                return None
            span = Span(first, min(last + 1, size))
        elif found := _SUFFIX_RANGE.fullmatch(spec):
            span = Span(max(0, size - _number(found[1])), size)
        else:
            return None
        if span.start < span.stop:
            spans.append(span)
    return spans


def _number(digits: str) -> int:
    return int(digits) if len(digits) <= 18 else _BEYOND


def _joined(spans: list[Span]) -> tuple[Span, ...]:
    joined: list[Span] = []
    for span in sorted(spans, key=lambda span: span.start):
        if joined and span.start <= joined[-1].stop:
            joined[-1] = Span(joined[-1].start, max(joined[-1].stop, span.stop))
        else:
            joined.append(span)
    return tuple(joined if len(joined) < len(spans) else spans)
