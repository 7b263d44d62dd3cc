"""What becomes of a delivery whose handler failed: one table from error kind to acknowledgement."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from servicekit.errors import AppError, ErrorKind


class Action(StrEnum):
    """What the consumer tells the server about a delivery."""

    ACK = "ack"
    LATER = "later"
    DEAD_LETTER = "dead_letter"


class Rule(StrEnum):
    """How a kind of failure is treated."""

    DEAD = "dead"
    """The same event fails the same way for ever: dead letter at once."""
    DONE = "done"
    """Somebody has done it already: acknowledge."""
    FEW = "few"
    """Perhaps it overtook what it needs: `FEW_TRIES`, then dead letter."""
    WAIT = "wait"
    """Nothing is wrong; the time is. For ever, without alarm."""
    BACKOFF = "backoff"
    """A part is down. For ever: an outage is no reason to lose a fact."""
    PATIENCE = "patience"
    """Our own fault. The consumer's `patience`, then dead letter and alarm."""


RULES: dict[ErrorKind, Rule] = {
    ErrorKind.INVALID: Rule.DEAD,
    ErrorKind.UNAUTHENTICATED: Rule.DEAD,
    ErrorKind.FORBIDDEN: Rule.DEAD,
    ErrorKind.NOT_FOUND: Rule.FEW,
    ErrorKind.CONFLICT: Rule.DONE,
    ErrorKind.PRECONDITION: Rule.WAIT,
    ErrorKind.LIMITED: Rule.WAIT,
    ErrorKind.UNAVAILABLE: Rule.BACKOFF,
    ErrorKind.TIMEOUT: Rule.BACKOFF,
    ErrorKind.INTERNAL: Rule.PATIENCE,
}

FEW_TRIES = 5
LONGEST = 30.0
"""Seconds: the longest that a failed delivery waits when the error does not say."""


class Later(Exception):  # noqa: N818  # a verdict, not an error
    """Raised by a handler: not now, give it to me again in `seconds`. Nothing is wrong; nobody is alarmed."""

    def __init__(self, seconds: float, why: str = "") -> None:
        super().__init__(why or f"again in {seconds:g} s")
        self.seconds = seconds


@dataclass(frozen=True)
class Decision:
    """What to do with a delivery: after `delay` seconds when it is LATER; `alarm` when people must look."""

    action: Action
    delay: float = 0.0
    alarm: bool = False


def backoff(deliveries: int) -> float:
    """Seconds before delivery number `deliveries` + 1: 1, 2, 4, 8, 16, then 30."""
    return min(2.0 ** min(deliveries - 1, 10), LONGEST)


def decide(error: Exception, *, deliveries: int, patience: int) -> Decision:
    """What becomes of a delivery (the `deliveries`-th of its event) whose handler raised `error`."""
    if isinstance(error, Later):
        return Decision(Action.LATER, delay=error.seconds)
    rule, delay = Rule.PATIENCE, backoff(deliveries)
    if isinstance(error, AppError):
        rule = RULES[error.kind]
        delay = delay if error.retry_after is None else error.retry_after
    match rule:
        case Rule.DONE:
            return Decision(Action.ACK)
        case Rule.DEAD:
            return Decision(Action.DEAD_LETTER)
        case Rule.FEW if deliveries >= FEW_TRIES:
            return Decision(Action.DEAD_LETTER)
        case Rule.PATIENCE if deliveries >= patience:
            return Decision(Action.DEAD_LETTER, alarm=True)
        case _:
            return Decision(Action.LATER, delay=delay)
