"""Time as a port: tests move it, and pure code never reads it by itself."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What time it is, and how to wait."""

    def now(self) -> datetime:
        """The time of day in UTC, timezone-aware."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go backwards: for measuring how long something takes."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait that many seconds; zero or less gives others their turn."""
        ...


class SystemClock:
    """The clock of the machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(seconds, 0.0))
