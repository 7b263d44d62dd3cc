"""Whether bytes come, whether they come fast enough, and when to say how far it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from downloader.core.fetching.domain.fetch_errors import Code, FetchFailed
from servicekit.clock import Clock

EVERY = 1.0
"""Seconds between two words of progress."""


class Pace:
    """Watches one fetch.

    A slow drip keeps a connection alive for ever without any timeout of a read: within each window of
    `window_s` seconds at least `least_rate` bytes a second must come.
    """

    def __init__(
        self,
        clock: Clock,
        window_s: float,
        least_rate: float,
        progress: Callable[[int, int], Awaitable[None]] | None,
        answered: Callable[[], None] | None = None,
    ) -> None:
        self._clock = clock
        self._window_s = window_s
        self._least_rate = least_rate
        self._progress = progress
        self._answered = answered
        self._total = 0
        self._most = 0
        self._is_silent = True
        self._window_from: tuple[float, int] | None = None
        self._told_at = clock.monotonic()

    def begin(self, total: int) -> None:
        """A body begins; `total` bytes are announced (0: unknown)."""
        self._total = total
        self._is_silent = True
        self._window_from = None

    async def received(self, offset: int) -> None:
        """So many bytes are here.

        Raises:
            FetchFailed: `too_slow`.
        """
        if self._is_silent and offset > self._most and self._answered is not None:
            self._is_silent = False
            self._answered()
        self._most = max(self._most, offset)
        now = self._clock.monotonic()
        since, had = self._window_from or (now, offset)
        if self._window_from is None:
            self._window_from = (now, offset)
        elif now - since >= self._window_s:
            rate = (offset - had) / (now - since)
            if rate < self._least_rate:
                raise FetchFailed(
                    Code.TOO_SLOW,
                    f"it came at {rate:.0f} bytes a second; under {self._least_rate:g} is given up",
                )
            self._window_from = (now, offset)
        if self._progress is not None and now - self._told_at >= EVERY:
            self._told_at = now
            await self._progress(offset, self._total)
