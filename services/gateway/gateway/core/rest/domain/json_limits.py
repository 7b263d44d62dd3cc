"""Limits the values in a JSON body: each costs every service on its way far more than its bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.core.problems.domain import shorten

MOST_VALUES = 20_000
"""The most values in a body: they cost each service on the way a tenth of a second, and are 200 for each of a
batch of 100 runs."""


@dataclass(frozen=True)
class LargestCollection:
    """The list or object with the most values, of a body with too many.

    Args:
        field: its path in the body.
    """

    field: str
    count: int


def find_excess(value: Any, *, most: int = MOST_VALUES) -> LargestCollection | None:
    """None when the body has at most so many values; else the largest collection seen up to there."""
    seen, largest = 0, LargestCollection("body", 0)
    waiting = [("", value)] if isinstance(value, dict | list) else []
    for path, each in waiting:
        seen += len(each)
        if len(each) > largest.count:
            largest = LargestCollection(path or "body", len(each))
        if seen > most:
            return largest
        waiting += _inner(path, each)
    return None


def _inner(path: str, value: Any) -> list[tuple[str, Any]]:
    """The lists and objects directly in one, with their paths."""
    if isinstance(value, dict):
        prefix = f"{path}." if path else ""
        return [
            (prefix + shorten(name), each) for name, each in value.items() if isinstance(each, dict | list)
        ]
    return [(f"{path}[{index}]", each) for index, each in enumerate(value) if isinstance(each, dict | list)]
