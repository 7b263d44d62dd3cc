"""A clock that stands still until the test moves it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from servicekit.testing.eventually import eventually

START = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


class SimulatedClock:
    """A `Clock`: `advance` moves the time and wakes every sleeper whose time has come."""

    def __init__(self, start: datetime = START) -> None:
        self._start = start
        self._elapsed = 0.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        """The time of day it stands at."""
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        """Seconds advanced since it was made."""
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        """Wait until `advance` has moved that far; zero or less gives others their turn."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future = asyncio.get_running_loop().create_future()
        entry = (self._elapsed + seconds, future)
        self._sleepers.append(entry)
        try:
            await future
        finally:
            if entry in self._sleepers:
                self._sleepers.remove(entry)

    def advance(self, seconds: float) -> None:
        """Move the time; sleepers that are due go on (in order) when the caller next awaits."""
        self._elapsed += seconds
        due = sorted(
            (entry for entry in self._sleepers if entry[0] <= self._elapsed), key=lambda entry: entry[0]
        )
        for entry in due:
            self._sleepers.remove(entry)
            if not entry[1].done():
                entry[1].set_result(None)

    @property
    def sleeping(self) -> int:
        """How many are asleep."""
        return len(self._sleepers)

    async def wait_for_sleepers(self, count: int = 1, *, within: float = 10.0) -> None:
        """Wait (real time) until at least `count` coroutines sleep here: then `advance` reaches them."""
        await eventually(lambda: self.sleeping >= count, within=within)
