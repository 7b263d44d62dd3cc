"""Whether a process can do its work right now, with all that it needs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, runtime_checkable

Ready = Callable[[], Awaitable[None]]
"""Returns when a process may have work; raises an `AppError` that says what is missing."""


@runtime_checkable
class CheckedPart(Protocol):
    """A part that knows whether it can do its work right now."""

    async def check_ready(self) -> None:
        """Raise an `AppError` that says what is missing."""
        ...


def readiness(parts: Sequence[object]) -> Ready:
    """Whether all parts that know it can do their work, asked one after the other."""
    checked = [part for part in parts if isinstance(part, CheckedPart)]

    async def ready() -> None:
        for part in checked:
            await part.check_ready()

    return ready
