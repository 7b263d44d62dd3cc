"""Which known name somebody may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_LONGEST = 64
"""Characters of an unknown name that are looked at and shown: it comes from outside and may be a megabyte."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, or None when none is like it."""
    close = difflib.get_close_matches(name[:_LONGEST].lower(), sorted(known), n=1, cutoff=0.6)
    return close[0] if close else None


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """A sentence that says that `name` is no such thing, and which known name is nearest.

    Args:
        what: what it should have been, such as "field" or "query parameter".
        name: what was sent.
        known: every name that would have been right.
    """
    known = sorted(known)
    close = nearest(name, known)
    if close is not None:
        return f"is no known {what}: did you mean {close}?"
    if not known:
        return f"is no known {what}: there is none here"
    return f"is no known {what}: known are {', '.join(known[:20])}"


def shown(name: str) -> str:
    """The name, short enough for an error."""
    return name if len(name) <= _LONGEST else name[:_LONGEST] + "…"
