"""Limits creates per minute with a token bucket."""

from __future__ import annotations

import math
from dataclasses import dataclass

DOCUMENTED_PER_MINUTE = 600
"""The real provider's limit: what is left of it is shown where the sandbox has none."""


@dataclass(frozen=True)
class Admission:
    """`remaining`: creates left in this minute. `wait_s`: whole seconds to wait; 0: it is admitted."""

    remaining: int
    wait_s: int


class TokenBucket:
    """`per_minute`: also the size of the bucket, so of a burst. 0: no limit."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._left = float(per_minute)
        self._at: float | None = None

    def take(self, now: float) -> Admission:
        """Ask for one create at `now` (seconds of a monotonic clock)."""
        if not self._per_minute:
            return Admission(DOCUMENTED_PER_MINUTE - 1, 0)
        if self._at is not None:
            self._left = min(self._per_minute, self._left + (now - self._at) * self._per_minute / 60)
        self._at = now
        if self._left < 1:
            return Admission(0, max(1, math.ceil((1 - self._left) * 60 / self._per_minute)))
        self._left -= 1
        return Admission(int(self._left), 0)
