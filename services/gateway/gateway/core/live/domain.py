"""The wire form of server-sent events, and the choice of the events that a client wants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

COMMENT = b": still here\n\n"
COMMENT_EVERY = 15.0
"""Seconds: intermediaries cut connections that are silent for long."""

_RETRY_MS = 2000


@dataclass(frozen=True)
class EventFilter:
    """Lets events pass that have one of the types and all of the refs.

    Args:
        types: "job.completed", or "job" for all of an entity; empty for every type.
        refs: ids by kind of record, as in the event's own refs.
    """

    types: frozenset[str] = frozenset()
    refs: Mapping[str, str] = field(default_factory=dict)

    def matches(self, type_: str, refs: Mapping[str, str]) -> bool:
        if self.types and type_ not in self.types and type_.partition(".")[0] not in self.types:
            return False
        return all(refs.get(name) == value for name, value in self.refs.items())


def parse_types(texts: Iterable[str]) -> frozenset[str]:
    """The types named in a query, repeated or with commas: `job.completed,generation`, `job.*` too."""
    words = (word.strip() for text in texts for word in text.split(","))
    return frozenset(word.removesuffix(".*") for word in words if word)


def opening_block(sequence: int) -> bytes:
    """The first bytes: how soon to come back, and from where when nothing else was received."""
    return f"retry: {_RETRY_MS}\nid: {sequence}\n\n".encode()


def position_block(sequence: int) -> bytes:
    """Everything wanted up to there has been sent. Browsers remember it, and show no event."""
    return f"id: {sequence}\n\n".encode()


def event_block(sequence: int, type_: str, data: str) -> bytes:
    """One event. `data` is one line of text, as JSON is."""
    return f"id: {sequence}\nevent: {type_}\ndata: {data}\n\n".encode()
