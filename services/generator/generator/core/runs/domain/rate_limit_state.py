"""When the next submission may start: one small state, shared by all replicas, changed by pure functions.

Times are Unix seconds. Whoever wants to start takes a turn; the state that answers is stored by
compare-and-set, so that two replicas never take the same turn.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

SLOW_FOR = 600.0
"""Seconds that a rate cut by the provider (low credit) is believed to last after it was last told."""


@dataclass(frozen=True)
class LaneState:
    """The lane of one provider. `closed` holds the reason while nothing may be submitted."""

    next_start: float = 0.0
    blocked_until: float = 0.0
    slow: float = 0.0
    slow_until: float = 0.0
    closed: str = ""
    probe_at: float = 0.0

    @classmethod
    def load(cls, raw: Any) -> LaneState:
        """From what `dump` gave; what is unreadable or from another release counts as unset."""
        known = raw if isinstance(raw, dict) else {}
        values: dict[str, Any] = {}
        for field in fields(cls):
            value = known.get(field.name, field.default)
            values[field.name] = value if isinstance(value, type(field.default) | int) else field.default
        return cls(**values)

    def dump(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


@dataclass(frozen=True)
class Turn:
    """A start in `wait` seconds is the caller's. `probe`: the lane is closed, and this one tries the door."""

    wait: float
    probe: bool = False


@dataclass(frozen=True)
class NotNow:
    """No start can be had: come back in `wait` seconds."""

    wait: float
    reason: str


def take(
    state: LaneState, now: float, *, delay: float, probe_every: float, patience: float
) -> tuple[LaneState, Turn | NotNow]:
    """Take the next start.

    Args:
        state: as stored.
        now: Unix seconds.
        delay: seconds between two starts.
        probe_every: seconds between two tries while the lane is closed.
        patience: a wait longer than that many seconds is not taken but answered `NotNow`.
    """
    if state.closed:
        if now < state.probe_at:
            return state, NotNow(state.probe_at - now, state.closed)
        return replace(state, probe_at=now + probe_every), Turn(0.0, probe=True)
    start = max(state.next_start, state.blocked_until, now)
    if start - now > patience:
        return state, NotNow(start - now, "the provider asked us to wait")
    spacing = max(delay, state.slow if now < state.slow_until else 0.0)
    if spacing == 0 and start == now:
        return state, Turn(0.0)  # nothing to keep apart, nothing to store
    return replace(state, next_start=start + spacing), Turn(start - now)


def holds(state: LaneState, now: float) -> bool:
    """Whether a turn that was taken earlier may still start now."""
    return not state.closed and now >= state.blocked_until


def block(state: LaneState, now: float, *, wait: float, slow: float = 0.0) -> LaneState:
    """After a 429: nobody starts for `wait` seconds; then `slow` seconds apart, where a rate was told."""
    blocked = replace(state, blocked_until=max(state.blocked_until, now + wait))
    return replace(blocked, slow=slow, slow_until=now + SLOW_FOR) if slow else blocked


def close(state: LaneState, now: float, *, reason: str, probe_every: float) -> LaneState:
    """After a 401 or 402: nobody starts until a probe succeeds."""
    return replace(state, closed=reason, probe_at=now + probe_every)


def reopen(state: LaneState) -> LaneState:
    """After an accepted submission."""
    return replace(state, closed="", probe_at=0.0)
