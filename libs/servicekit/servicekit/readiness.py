"""Whether a process can do its work right now, with all that it needs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, runtime_checkable

from prometheus_client import Gauge

from servicekit.errors import AppError

MEASURE_EVERY = 10.0
"""Seconds between two measurements."""

_WITHIN = 5.0
"""Seconds that one may take: what does not answer then cannot be worked with."""

READY = Gauge("rushes_ready", "1 while this process can do its work, with all that it needs")

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


async def measure(ready: Ready) -> None:
    """Find out, and set the metric."""
    try:
        async with asyncio.timeout(_WITHIN):
            await ready()
    except (AppError, TimeoutError):
        READY.set(0)
    else:
        READY.set(1)
