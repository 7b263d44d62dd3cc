"""The wire form of server-sent events, and which events a client wants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from servicekit.errors import FieldProblem, Invalid

COMMENT = b": still here\n\n"
COMMENT_EVERY = 15.0
"""Seconds: intermediaries cut connections that are silent for long."""

_RETRY_MS = 2000


@dataclass(frozen=True)
class Wanted:
    """Which events: of any of these types ("job.completed"; "job": all of an entity), with all these refs."""

    types: frozenset[str] = frozenset()
    refs: Mapping[str, str] = field(default_factory=dict)

    def matches(self, type_: str, refs: Mapping[str, str]) -> bool:
        """Whether an event of that type, with those refs, is wanted."""
        if self.types and type_ not in self.types and type_.partition(".")[0] not in self.types:
            return False
        return all(refs.get(name) == value for name, value in self.refs.items())


def types_from(texts: list[str]) -> frozenset[str]:
    """The types named in a query, repeated or with commas: `job.completed,generation`, `job.*` too."""
    words = (word.strip() for text in texts for word in text.split(","))
    return frozenset(word.removesuffix(".*") for word in words if word)


def sequence_from(text: str | None) -> int | None:
    """The log sequence in a `Last-Event-ID`, or None without one.

    Raises:
        Invalid: it is no sequence of ours.
    """
    if text is None or not text.strip():
        return None
    if not text.strip().isdecimal() or len(text.strip()) > 18:
        told = f"must be the id of an event of this stream, a whole number, and is {text[:40]!r}"
        raise Invalid(f"Last-Event-ID {told}", fields=[FieldProblem("Last-Event-ID", told)])
    return int(text)


def opening(sequence: int) -> bytes:
    """The first bytes: how soon to come back, and from where when nothing else was received."""
    return f"retry: {_RETRY_MS}\nid: {sequence}\n\n".encode()


def place(sequence: int) -> bytes:
    """Everything wanted up to there has been sent. Browsers remember it, and show no event."""
    return f"id: {sequence}\n\n".encode()


def block(sequence: int, name: str, data: str) -> bytes:
    """One event. `data` is one line of text, as JSON is."""
    return f"id: {sequence}\nevent: {name}\ndata: {data}\n\n".encode()
