"""Decides when the next submission may start: one small state, shared by all replicas, and pure functions.

Times are Unix seconds. The state that each function answers is stored by compare-and-set, so that two
replicas never take the same start. It also holds the circuit breaker that 401 and 402 trip.

Wall clocks are set back (NTP, a machine that was paused), and then every stored moment lies further ahead
than anybody meant. So no moment is believed to lie further ahead than it did when it was stored.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from generator.core.runs.domain.provider_errors import LIMIT_MARGIN, LONGEST_WAIT

CLOCKS_APART = 1.0
"""Seconds by which the clocks of replicas may be apart: so much further ahead a moment may rightly lie."""

SPACING_HOLDS_FOR = 600.0
"""Seconds for which a rate that the provider cut (low credit) holds after the last answer that said so."""


@dataclass(frozen=True)
class RateLimitState:
    """The limits of one provider.

    Args:
        next_start: the moment at which the next start is free.
        taken_at: the moment at which `next_start` was computed; 0 in the state of an older release.
        blocked_until: nobody starts before it: the provider answered 429.
        blocked_for: seconds that `blocked_until` lay ahead when it was stored.
        spacing: seconds between starts that the provider demands, until `spacing_until`.
        tripped: why nothing may be submitted (401, 402); empty when it may.
        probe_at: while tripped, the moment at which one submission may try again.
    """

    next_start: float = 0.0
    taken_at: float = 0.0
    blocked_until: float = 0.0
    blocked_for: float = LONGEST_WAIT + LIMIT_MARGIN
    spacing: float = 0.0
    spacing_until: float = 0.0
    tripped: str = ""
    probe_at: float = 0.0

    @classmethod
    def load(cls, raw: Any) -> RateLimitState:
        """From what `dump` gave; what is unreadable or from another release counts as unset."""
        stored = raw if isinstance(raw, dict) else {}
        values: dict[str, Any] = {}
        for field in fields(cls):
            value = stored.get(field.name, field.default)
            readable = isinstance(value, str if isinstance(field.default, str) else int | float)
            values[field.name] = value if readable else field.default
        return cls(**values)

    def dump(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


@dataclass(frozen=True)
class StartGranted:
    """A start in `wait` seconds is the caller's. `probe`: the breaker is tripped, and this start tests it."""

    wait: float
    probe: bool = False


@dataclass(frozen=True)
class StartDenied:
    """There is no start soon: come back in `wait` seconds."""

    wait: float
    reason: str


def take_start(
    state: RateLimitState, now: float, *, delay: float, probe_every: float, patience: float
) -> tuple[RateLimitState, StartGranted | StartDenied]:
    """Take the next start.

    Args:
        state: as stored.
        now: Unix seconds.
        delay: seconds between two starts.
        probe_every: seconds between two probes while the breaker is tripped.
        patience: a start that is more than that many seconds ahead is denied.
    """
    state = _without_set_back(state, now, delay=delay, probe_every=probe_every)
    if state.tripped:
        if now < state.probe_at:
            return state, StartDenied(state.probe_at - now, state.tripped)
        return replace(state, probe_at=now + probe_every), StartGranted(0.0, probe=True)
    start = max(state.next_start, state.blocked_until, now)
    if start - now > patience:
        return state, StartDenied(start - now, "the provider asked us to wait")
    spacing = max(delay, state.spacing)
    if spacing == 0 and start == now:
        return state, StartGranted(0.0)  # nothing to space, nothing to store
    return replace(state, next_start=start + spacing, taken_at=now), StartGranted(start - now)


def _without_set_back(
    state: RateLimitState, now: float, *, delay: float, probe_every: float
) -> RateLimitState:
    """The state without what is over, and without waits that only a clock which was set back has made."""
    spacing, spacing_until = state.spacing, min(state.spacing_until, now + SPACING_HOLDS_FOR)
    if now >= spacing_until:
        spacing, spacing_until = 0.0, 0.0
    next_start, taken_at = state.next_start, state.taken_at
    set_back = taken_at - now
    if set_back > max(delay, spacing, CLOCKS_APART):
        next_start, taken_at = next_start - set_back, now
    return replace(
        state,
        next_start=next_start,
        taken_at=taken_at,
        blocked_until=_blocked_until(state, now),
        spacing=spacing,
        spacing_until=spacing_until,
        probe_at=min(state.probe_at, now + probe_every),
    )


def _blocked_until(state: RateLimitState, now: float) -> float:
    """As stored; 0 when it is over, so that it stays over."""
    if now >= state.blocked_until:
        return 0.0
    set_back = state.blocked_until - now > state.blocked_for + CLOCKS_APART
    return now + state.blocked_for if set_back else state.blocked_until


def spacing_at(state: RateLimitState, now: float, *, delay: float) -> float:
    """Seconds between two starts: ours, or more when the provider demands it."""
    return max(delay, state.spacing) if now < state.spacing_until else delay


def blocked_for_at(state: RateLimitState, now: float) -> float:
    """Seconds until the provider lets us start again after a 429; 0 when it does."""
    return max(_blocked_until(state, now) - now, 0.0)


def may_start(state: RateLimitState, now: float) -> bool:
    """Whether a start that was granted earlier may still be used now."""
    return not state.tripped and now >= state.blocked_until


def block(state: RateLimitState, now: float, *, wait: float, spacing: float = 0.0) -> RateLimitState:
    """After a 429: nobody starts for `wait` seconds; then `spacing` seconds apart, where a rate was given."""
    until = max(_blocked_until(state, now), now + wait)
    blocked = replace(state, blocked_until=until, blocked_for=until - now)
    return replace(blocked, spacing=spacing, spacing_until=now + SPACING_HOLDS_FOR) if spacing else blocked


def trip(state: RateLimitState, now: float, *, reason: str, probe_every: float) -> RateLimitState:
    """After a 401 or 402: nobody starts until a probe succeeds."""
    return replace(state, tripped=reason, probe_at=now + probe_every)


def reset(state: RateLimitState) -> RateLimitState:
    """After an accepted submission."""
    return replace(state, tripped="", probe_at=0.0)
