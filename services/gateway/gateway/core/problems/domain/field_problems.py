"""Refusing a request with every problem that was found, each by its field."""

from __future__ import annotations

from collections.abc import Sequence

from servicekit.errors import FieldProblem, Invalid

MOST = 20
"""Problems told at once: a request may hold a million."""

_TOLD = 3


def refuse(problems: Sequence[FieldProblem]) -> None:
    """Raise Invalid when there are problems; its message tells the first three."""
    if not problems:
        return
    told = "; ".join(f"{problem.field} {problem.message}" for problem in problems[:_TOLD])
    more = f"; and {len(problems) - _TOLD} more" if len(problems) > _TOLD else ""
    raise Invalid(told + more, fields=problems[:MOST])
