"""Whether a process can do its work right now, with all that it needs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, runtime_checkable

import structlog
from prometheus_client import Gauge

from servicekit.errors import AppError, Unavailable

MEASURE_EVERY = 10.0
"""Seconds between two measurements."""

WITHIN = 4.0
"""Seconds in which every part has to answer: what does not answer then cannot be worked with. Kubernetes'
probe waits a second longer."""

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
    """Whether all parts that know it can do their work: asked at once, each for `WITHIN` seconds at most.

    The error names each part that cannot, or that has not answered.
    """
    checked = [part for part in parts if isinstance(part, CheckedPart)]

    async def ready() -> None:
        reasons = await asyncio.gather(*map(_reason, checked))
        if missing := [reason for reason in reasons if reason]:
            raise Unavailable("; ".join(missing))

    return ready


async def _reason(part: CheckedPart) -> str:
    """Why a part cannot do its work, with its name; empty: it can."""
    name = type(part).__name__
    try:
        async with asyncio.timeout(WITHIN):
            await part.check_ready()
    except AppError as error:
        return f"{name}: {error.message}"
    except TimeoutError:
        return f"{name}: no answer within {WITHIN:g} s"
    except Exception as error:  # noqa: BLE001  # from a part that cannot even tell, expect no work
        structlog.get_logger(__name__).exception("a part could not be checked", part=name)
        return f"{name}: it could not be checked ({type(error).__name__})"
    return ""


async def measure(ready: Ready) -> None:
    """Find out, and set the metric."""
    try:
        await ready()
    except AppError:
        READY.set(0)
    else:
        READY.set(1)
