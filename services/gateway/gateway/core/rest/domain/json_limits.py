"""Counting the values in a JSON body: each costs every service on its way far more than its bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.core.problems.domain.suggestions import shown

MOST_VALUES = 20_000
"""Values in a body: a tenth of a second of each service on its way; a batch of 100 runs has 200 for each."""


@dataclass(frozen=True)
class Crowd:
    """The list or object with the most values, of a body with too many; `field` is its path."""

    field: str
    count: int


def crowd(value: Any, *, most: int = MOST_VALUES) -> Crowd | None:
    """None when there are at most so many; else the largest of those that were looked at up to there."""
    seen, found = 0, Crowd("body", 0)
    waiting = [("", value)] if isinstance(value, dict | list) else []
    for path, each in waiting:
        seen += len(each)
        if len(each) > found.count:
            found = Crowd(path or "body", len(each))
        if seen > most:
            return found
        waiting += _inner(path, each)
    return None


def _inner(path: str, value: Any) -> list[tuple[str, Any]]:
    """The lists and objects directly in one, with their paths."""
    if isinstance(value, dict):
        prefix = f"{path}." if path else ""
        return [(prefix + shown(name), each) for name, each in value.items() if isinstance(each, dict | list)]
    return [(f"{path}[{at}]", each) for at, each in enumerate(value) if isinstance(each, dict | list)]
