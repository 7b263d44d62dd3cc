"""When to try again, who goes first, and when an output is at risk or lost."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from downloader.core.fetching.domain.fetch_errors import Patience

QUICK = (2.0, 4.0, 8.0)
"""Seconds before the retries inside one fetch, which keep what was received."""

TRIES_OF_FEW = 3
"""Tries for an answer that is clear but may be the origin's hiccup."""

SLOW = (15.0, 30.0, 60.0)
"""Seconds before the redeliveries after that; the last one stays until expiry."""

LIFETIME = timedelta(hours=1)
"""How long a provider keeps an output when it does not say (docs/provider.md, Files)."""

AT_RISK = timedelta(minutes=10)
"""Time before expiry at which an output that is not stored yet raises the alarm."""

LAST_TRY = 5.0
"""Seconds before expiry at which the last try starts."""

SHARE = 0.25
"""The part of the time left that a wait may take. So tries come closer together as the end comes nearer: no
chance is slept through, and outputs that need every turn until then come four times as often as they must."""

RETURNS = 200.0
"""Outputs a second that one replica looks at again, at most: all that it could fetch, were they tiny."""

PLENTY = 3.0
"""How many times more come back than are fetched, so that there is always one, and a choice."""

AWAY = 120.0
"""Seconds after which an output that was sent away is back at the latest."""

SOON = 2.0
"""Seconds after which one is back at the earliest when its host is away; later, a share of how long it is."""


class Expiring(Protocol):
    """Something with a deadline."""

    @property
    def expires_at(self) -> datetime:
        """When the provider deletes it."""
        ...


E = TypeVar("E", bound=Expiring)


def earliest_first(outputs: Iterable[E]) -> list[E]:
    """The order of work: what is lost first goes first."""
    return sorted(outputs, key=lambda output: output.expires_at)


def expiry(
    expires_at: datetime | None, completed_at: datetime | None, said_at: datetime | None, now: datetime
) -> datetime:
    """When an output expires: as said, else a lifetime after the provider finished, spoke, or now."""
    return expires_at or (completed_at or said_at or now) + LIFETIME


def redelivery(deliveries: int, *, now: datetime, expires_at: datetime, asked: float | None = None) -> float:
    """Seconds to wait before the next delivery: by the schedule, in ever shorter steps towards the expiry.

    Args:
        deliveries: how often it was delivered, this time included.
        now: the time.
        expires_at: when the provider deletes it.
        asked: seconds the origin asked us to wait, when it did.
    """
    delay = max(SLOW[min(max(deliveries, 1), len(SLOW)) - 1], asked or 0.0)
    left = (expires_at - now).total_seconds()
    if left < 0:
        return delay
    return max(min(delay, left * SHARE, left - LAST_TRY), 1.0)


def coming_back(
    ahead: int, *, rate: float | None, host_away: float | None, now: datetime, expires_at: datetime
) -> float:
    """Seconds to stay away for an output that found its lane full.

    Args:
        ahead: how many that were sent away as well expire earlier.
        rate: how many were fetched a second lately; None when nobody knows.
        host_away: seconds since nothing can be done because its host is away; None when it is there.
    """
    returns = RETURNS if rate is None else min(rate * PLENTY, RETURNS)
    delay = ahead / returns if host_away is None else max(host_away * SHARE, SOON)
    left = (expires_at - now).total_seconds()
    delay = min(delay, AWAY, left * SHARE) if left >= 0 else AWAY  # expired: no hurry any more
    return max(delay, ahead / RETURNS / 2, 1.0)


def at_risk(now: datetime, expires_at: datetime) -> bool:
    """Whether an output that is not stored yet is worth an alarm."""
    return expires_at - now < AT_RISK


def is_lost(now: datetime, expires_at: datetime) -> bool:
    """Whether the provider has deleted it by now."""
    return now >= expires_at


class Tries:
    """How often one fetch has failed, and whether to try again within it."""

    def __init__(self) -> None:
        self._few = 0
        self._quick = 0

    def again(self, patience: Patience, *, progressed: bool) -> float | None:
        """Seconds to wait before trying again, or None to give up.

        `progressed`: the try brought bytes that no earlier one had: the schedule starts anew.
        """
        if patience is Patience.NEVER:
            return None
        if patience is Patience.FEW:
            self._few += 1
            return QUICK[self._few - 1] if self._few < TRIES_OF_FEW else None
        self._quick = 1 if progressed else self._quick + 1
        return QUICK[self._quick - 1] if self._quick <= len(QUICK) else None
