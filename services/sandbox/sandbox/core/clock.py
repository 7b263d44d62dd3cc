"""Keeps the time of predictions: real by default, or virtual, moved only by a control route."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from servicekit.clock import Clock
from servicekit.concurrency import first_of


class SandboxClock:
    """A `Clock` that can be stopped and moved. Sleepers wake when their time has come.

    Virtual time begins where the real time stands. Switching back keeps the lead, so that time never runs
    backwards for a stored prediction.
    """

    def __init__(self, base: Clock, *, offset: float = 0.0, frozen_at: datetime | None = None) -> None:
        self._base = base
        self._offset = offset
        self._frozen_at = frozen_at
        self._changed = asyncio.Event()

    @property
    def virtual(self) -> bool:
        return self._frozen_at is not None

    @property
    def offset(self) -> float:
        """Seconds that this clock is ahead of the real one."""
        return (self.now() - self._base.now()).total_seconds() if self.virtual else self._offset

    def now(self) -> datetime:
        return self._frozen_at or self._base.now() + timedelta(seconds=self._offset)

    def wall(self) -> datetime:
        """The real time: a receiver compares the time of a signature with its own clock."""
        return self._base.now()

    def monotonic(self) -> float:
        return (self.now() - datetime(2026, 1, 1, tzinfo=UTC)).total_seconds()

    async def sleep(self, seconds: float) -> None:
        """Wait that many seconds of this clock's time. Zero or less lets other tasks run."""
        due = self.now() + timedelta(seconds=max(seconds, 0.0))
        while True:
            left = (due - self.now()).total_seconds()
            if left <= 0:
                await asyncio.sleep(0)
                return
            changed = self._changed
            if self.virtual:
                await changed.wait()
                continue
            await first_of(self._base.sleep(left), changed.wait())

    def stop_time(self) -> None:
        """Switch to virtual time, which stands still until `advance`."""
        if self._frozen_at is None:
            self._frozen_at = self.now()
            self._wake_sleepers()

    def run_time(self) -> None:
        if self._frozen_at is not None:
            self._offset = (self._frozen_at - self._base.now()).total_seconds()
            self._frozen_at = None
            self._wake_sleepers()

    def advance(self, seconds: float) -> None:
        """Move the time forward; works in both modes.

        Raises:
            ValueError: the number of seconds is negative.
        """
        if seconds < 0:
            raise ValueError(f"time cannot go back ({seconds} s); give zero or more")
        if self._frozen_at is None:
            self._offset += seconds
        else:
            self._frozen_at += timedelta(seconds=seconds)
        self._wake_sleepers()

    def _wake_sleepers(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
