"""Decides what becomes of a delivery whose handler failed: one table from error kind to acknowledgement."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

from servicekit.errors import AppError, ErrorKind


class AckAction(StrEnum):
    """What the consumer answers the server about a delivery."""

    ACK = "ack"
    RETRY_LATER = "retry_later"
    DEAD_LETTER = "dead_letter"


class RetryPolicy(StrEnum):
    """How often an event is delivered again after errors of one kind."""

    ALREADY_DONE = "already_done"
    """Another consumer has done the work: acknowledge."""
    NEVER = "never"
    """The same event fails the same way for ever: dead letter at once."""
    FEW_TIMES = "few_times"
    """Perhaps it overtook what it needs: `FEW_ERRORS` tries, then dead letter."""
    FOREVER = "forever"
    """Nothing is wrong with the event: an outage, or a limit, is no reason to lose it."""
    LIMITED = "limited"
    """An error of ours: as often as the consumer allows, then dead letter and alarm."""


POLICIES: dict[ErrorKind, RetryPolicy] = {
    ErrorKind.INVALID: RetryPolicy.NEVER,
    ErrorKind.UNAUTHENTICATED: RetryPolicy.NEVER,
    ErrorKind.FORBIDDEN: RetryPolicy.NEVER,
    ErrorKind.NOT_FOUND: RetryPolicy.FEW_TIMES,
    ErrorKind.CONFLICT: RetryPolicy.ALREADY_DONE,
    ErrorKind.PRECONDITION: RetryPolicy.FOREVER,
    ErrorKind.LIMITED: RetryPolicy.FOREVER,
    ErrorKind.UNAVAILABLE: RetryPolicy.FOREVER,
    ErrorKind.TIMEOUT: RetryPolicy.FOREVER,
    ErrorKind.INTERNAL: RetryPolicy.LIMITED,
}

FEW_ERRORS = 5
LONGEST_DELAY = 30.0
"""Seconds: the longest that a failed delivery waits when the error does not say."""


class RetryLater(Exception):  # noqa: N818  # a decision of the handler, not an error
    """Raised by a handler: deliver this event again in `seconds`. Nothing is wrong; nobody is alarmed."""

    def __init__(self, seconds: float, reason: str = "") -> None:
        super().__init__(reason or f"again in {seconds:g} s")
        self.seconds = seconds


@dataclass(frozen=True)
class AckDecision:
    """What to do with a delivery: `delay` in seconds for RETRY_LATER; `alarm` when people must look."""

    action: AckAction
    delay: float = 0.0
    alarm: bool = False


def backoff(errors: int) -> float:
    """Seconds to wait after that many errors: 1, 2, 4, 8, 16, then 30."""
    return min(2.0 ** min(errors - 1, 10), LONGEST_DELAY)


def policy_of(error: Exception) -> RetryPolicy:
    """The policy for an error of a handler; what is no `AppError` is an error of ours."""
    return POLICIES[error.kind] if isinstance(error, AppError) else RetryPolicy.LIMITED


class ErrorCounts:
    """How often each event has failed in this replica, by policy; the last `limit` events that did.

    JetStream's count of deliveries will not do: it includes those put off on purpose and those that a restart
    cut off. A replica's own memory is enough: each replica allows an event as many errors as the table says.
    """

    def __init__(self, limit: int = 10_000) -> None:
        self._limit = limit
        self._counts: dict[str, Counter[RetryPolicy]] = {}

    def add(self, event_id: str, policy: RetryPolicy) -> int:
        """Count one more error; answers how many there are under that policy."""
        counts = self._counts.pop(event_id, Counter())
        counts[policy] += 1
        self._counts[event_id] = counts  # the newest stands last
        if len(self._counts) > self._limit:
            del self._counts[next(iter(self._counts))]
        return counts[policy]

    def forget(self, event_id: str) -> None:
        """The event is acknowledged: no more of it comes here."""
        self._counts.pop(event_id, None)


def decide(error: Exception, *, errors: int, max_internal_errors: int) -> AckDecision:
    """What becomes of a delivery whose handler raised `error`.

    Args:
        errors: how often the event has failed under the same policy, this time included (see `ErrorCounts`).
        max_internal_errors: errors of ours after which the event becomes a dead letter.
    """
    if isinstance(error, RetryLater):
        return AckDecision(AckAction.RETRY_LATER, delay=error.seconds)
    match policy_of(error):
        case RetryPolicy.ALREADY_DONE:
            return AckDecision(AckAction.ACK)
        case RetryPolicy.NEVER:
            return AckDecision(AckAction.DEAD_LETTER)
        case RetryPolicy.FEW_TIMES if errors >= FEW_ERRORS:
            return AckDecision(AckAction.DEAD_LETTER)
        case RetryPolicy.LIMITED if errors >= max_internal_errors:
            return AckDecision(AckAction.DEAD_LETTER, alarm=True)
    delay = error.retry_after if isinstance(error, AppError) else None
    return AckDecision(AckAction.RETRY_LATER, delay=backoff(errors) if delay is None else delay)
