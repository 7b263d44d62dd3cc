"""Reads a prediction again and again, with patience for trouble on the way."""

from __future__ import annotations

from generator.core.runs.domain.prediction import Prediction
from generator.core.runs.ports import Provider, RateLimiter
from servicekit.clock import Clock
from servicekit.errors import AppError, ErrorKind, NotFound, Unauthenticated, Unavailable

TROUBLE_FOR = 60.0
"""Seconds of nothing but trouble after which the delivery is handed back."""

MISSES, MISSING_FOR = 3, 15.0
"""Reads in a row that find nothing, and seconds between the first and the last of them, before a prediction
counts as deleted: a fresh one may not be everywhere yet, and what is given up wrongly was paid for."""

_TRANSIENT = (ErrorKind.UNAVAILABLE, ErrorKind.TIMEOUT, ErrorKind.LIMITED, ErrorKind.INTERNAL)


class PredictionPoller:
    """Polls one prediction."""

    def __init__(self, provider: Provider, limiter: RateLimiter, clock: Clock, prediction_id: str) -> None:
        self._provider = provider
        self._limiter = limiter
        self._clock = clock
        self._id = prediction_id
        self._misses = 0
        self._missing_since = 0.0
        self._last_success = clock.monotonic()
        self._paused_until = 0.0

    @property
    def gone(self) -> bool:
        """Whether the provider has deleted it."""
        return self._misses >= MISSES and self._clock.monotonic() - self._missing_since >= MISSING_FOR

    @property
    def pause_left(self) -> float:
        """Seconds for which the provider wants no request (429)."""
        return max(self._paused_until - self._clock.monotonic(), 0.0)

    async def poll(self) -> Prediction | None:
        """The prediction; None when it could not be read this time, or is not to be read yet.

        Raises:
            Unavailable: nothing but trouble for `TROUBLE_FOR` seconds, or our token is refused.
        """
        if self.pause_left > 0:  # woken early
            return None
        try:
            prediction = await self._provider.get(self._id)
        except NotFound:
            if self._misses == 0:
                self._missing_since = self._clock.monotonic()
            self._misses += 1
            return None
        except Unauthenticated as error:
            await self._limiter.trip(error.message)
            raise Unavailable(
                f"prediction {self._id} cannot be followed: {error.message}", retry_after=15.0
            ) from error
        except AppError as error:
            now = self._clock.monotonic()
            if error.kind not in _TRANSIENT or now - self._last_success > TROUBLE_FOR:
                message = f"prediction {self._id} cannot be followed: {error.message}"
                raise Unavailable(message, retry_after=error.retry_after) from error
            self._paused_until = now + (error.retry_after or 0.0)
            return None
        self._misses, self._last_success = 0, self._clock.monotonic()
        return prediction
