"""Refuses a request with every problem found in it: each by its field, and with the name perhaps meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from servicekit.errors import FieldProblem, Invalid

MOST_PROBLEMS = 20
"""Problems reported at once: a request may hold a million."""

_IN_MESSAGE = 3
"""Problems that the message itself names; the others stand in its fields alone."""

_LONGEST_NAME = 64
"""Characters of an unknown name that are compared and shown: it comes from outside and may be a megabyte."""


def refuse_if_any(problems: Sequence[FieldProblem]) -> None:
    """Raise Invalid when there are problems."""
    if not problems:
        return
    sentences = "; ".join(f"{problem.field} {problem.message}" for problem in problems[:_IN_MESSAGE])
    more = f"; and {len(problems) - _IN_MESSAGE} more" if len(problems) > _IN_MESSAGE else ""
    raise Invalid(sentences + more, fields=problems[:MOST_PROBLEMS])


def unknown_name(what: str, name: str, known: Iterable[str]) -> str:
    """A sentence that says that `name` is no such thing, and which known name is nearest.

    Args:
        what: what it should have been, such as "field" or "query parameter".
        name: what was sent.
        known: every name that would have been right.
    """
    known = sorted(known)
    close = nearest_name(name, known)
    if close is not None:
        return f"is no known {what}: did you mean {close}?"
    if not known:
        return f"is no known {what}: there is none here"
    return f"is no known {what}: known are {', '.join(known[:20])}"


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, or None when none is like it."""
    close = difflib.get_close_matches(name[:_LONGEST_NAME].lower(), sorted(known), n=1, cutoff=0.6)
    return close[0] if close else None


def shorten(name: str) -> str:
    """The name, short enough for an error."""
    return name if len(name) <= _LONGEST_NAME else name[:_LONGEST_NAME] + "…"
