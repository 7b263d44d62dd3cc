"""How many creates a minute are let through: a token bucket with short bursts."""

from __future__ import annotations

import math
from dataclasses import dataclass

DOCUMENTED_PER_MINUTE = 600


@dataclass(frozen=True)
class Limit:
    """What is left in this minute, and the whole seconds to wait (0: go ahead)."""

    remaining: int
    wait_s: int


class Bucket:
    """`per_minute` creates, all of them at once if they were saved up; 0 lets everything through."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._left = float(per_minute)
        self._at: float | None = None

    def take(self, now: float) -> Limit:
        """One create at `now` (seconds of a steady clock)."""
        if not self._per_minute:
            return Limit(DOCUMENTED_PER_MINUTE - 1, 0)
        if self._at is not None:
            self._left = min(self._per_minute, self._left + (now - self._at) * self._per_minute / 60)
        self._at = now
        if self._left < 1:
            return Limit(0, max(1, math.ceil((1 - self._left) * 60 / self._per_minute)))
        self._left -= 1
        return Limit(int(self._left), 0)
