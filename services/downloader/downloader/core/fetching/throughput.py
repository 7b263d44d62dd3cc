"""Watches whether bytes arrive, and fast enough, and reports how far a fetch is."""

from __future__ import annotations

from downloader.core.fetching.domain.fetch_errors import ErrorCode, FetchError
from downloader.core.fetching.ports import FetchListener
from servicekit.clock import Clock

PROGRESS_INTERVAL_S = 1.0


class ThroughputMonitor:
    """Watches one fetch, over all of its responses.

    A slow drip would keep a connection alive for ever, whatever the timeout of a single read: within each
    window of `window_s` seconds at least `least_rate` bytes a second must arrive.
    """

    def __init__(
        self, clock: Clock, window_s: float, least_rate: float, listener: FetchListener | None
    ) -> None:
        self._clock = clock
        self._window_s = window_s
        self._least_rate = least_rate
        self._listener = listener
        self._announced = 0
        self._most_received = 0
        self._has_new_bytes = False
        self._window_start: tuple[float, int] | None = None
        self._reported_at = clock.monotonic()

    def begin_response(self, announced: int) -> None:
        """A body begins; `announced` bytes are to come in all (0: unknown)."""
        self._announced = announced
        self._has_new_bytes = False
        self._window_start = None

    async def received(self, offset: int) -> None:
        """`offset` bytes of the content are here.

        Raises:
            FetchError: `too_slow`.
        """
        is_new = offset > self._most_received and not self._has_new_bytes
        self._most_received = max(self._most_received, offset)
        if is_new:
            self._has_new_bytes = True
            if self._listener is not None:
                self._listener.host_answered()
        now = self._clock.monotonic()
        self._check_rate(now, offset)
        if self._listener is not None and now - self._reported_at >= PROGRESS_INTERVAL_S:
            self._reported_at = now
            await self._listener.progressed(offset, self._announced)

    def _check_rate(self, now: float, offset: int) -> None:
        if self._window_start is None:
            self._window_start = (now, offset)
            return
        started_at, offset_then = self._window_start
        if now - started_at < self._window_s:
            return
        self._window_start = (now, offset)
        rate = (offset - offset_then) / (now - started_at)
        if rate < self._least_rate:
            message = f"it came at {rate:.0f} bytes a second; under {self._least_rate:g} is given up"
            raise FetchError(ErrorCode.TOO_SLOW, message)
