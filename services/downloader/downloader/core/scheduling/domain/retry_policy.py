"""Decides when a failed output is tried again, and when it is at risk or lost.

The catalog requests again what was given up here (its own retry policy). Three numbers are the same on both
sides, so that neither waits longer than the other relies on: the lifetime, the time at risk, and the share.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from downloader.core.fetching.domain.fetch_errors import GiveUp

QUICK_RETRY_DELAYS_S = (2.0, 4.0, 8.0)
"""Before the retries inside one fetch, which keep what was received."""

FEW_TRIES = 3
"""For an answer that is clear but may be the origin's hiccup."""

REDELIVERY_DELAYS_S = (15.0, 30.0, 60.0)
"""Before the redeliveries after that; the last one repeats until expiry."""

OUTPUT_LIFETIME = timedelta(hours=1)
"""How long Replicate keeps an output that comes without an expiry (docs/provider.md, Files)."""

AT_RISK = timedelta(minutes=10)
"""Before its expiry an output that is not stored raises an alert: ten minutes are time enough for a person
to act, and a sixth of the lifetime, so that an ordinary outage of some minutes alerts nobody."""

MAX_SHARE_OF_TIME_LEFT = 0.25
"""A wait takes no more than this part of the time left. Tries come closer together as the expiry comes
nearer: at least three quarters of the time are left after each wait, so no chance is slept through, and
outputs that need every slot until then return four times as often as they must."""

LAST_TRY_S = 5.0
"""Before the expiry: the last try starts then."""

MAX_RETRY_AFTER_S = 30.0
"""The longest that a fetch sits out when the origin wants us to wait; beyond it a redelivery waits."""


def expiry(
    expires_at: datetime | None, completed_at: datetime | None, published_at: datetime | None, now: datetime
) -> datetime:
    """When an output expires: as announced, else a lifetime after it was made, published, or now."""
    return expires_at or (completed_at or published_at or now) + OUTPUT_LIFETIME


def redelivery_delay(
    deliveries: int, *, now: datetime, expires_at: datetime, retry_after: float | None = None
) -> float:
    """Seconds to wait before the next delivery, in ever shorter steps towards the expiry.

    Args:
        deliveries: how often it was delivered, this time included.
        now: the time.
        expires_at: when the provider deletes it.
        retry_after: seconds that the origin wants us to wait, when it says so.
    """
    delay = max(
        REDELIVERY_DELAYS_S[min(max(deliveries, 1), len(REDELIVERY_DELAYS_S)) - 1], retry_after or 0.0
    )
    left = (expires_at - now).total_seconds()
    if left < 0:
        return delay
    return max(min(delay, left * MAX_SHARE_OF_TIME_LEFT, left - LAST_TRY_S), 1.0)


def is_at_risk(now: datetime, expires_at: datetime) -> bool:
    """Whether an output that is not stored yet deserves an alert."""
    return expires_at - now < AT_RISK


def has_expired(now: datetime, expires_at: datetime) -> bool:
    return now >= expires_at


class QuickRetries:
    """Counts how often one fetch has failed, and decides whether to try again within it."""

    def __init__(self) -> None:
        self._few = 0
        self._quick = 0

    def next_delay(self, give_up: GiveUp, *, progressed: bool) -> float | None:
        """Seconds to wait before trying again, or None to give up.

        `progressed`: the try brought bytes that no earlier one had, so the delays begin anew.
        """
        if give_up is GiveUp.AT_ONCE:
            return None
        if give_up is GiveUp.AFTER_FEW_TRIES:
            self._few += 1
            return QUICK_RETRY_DELAYS_S[self._few - 1] if self._few < FEW_TRIES else None
        self._quick = 1 if progressed else self._quick + 1
        if self._quick > len(QUICK_RETRY_DELAYS_S):
            return None
        return QUICK_RETRY_DELAYS_S[self._quick - 1]
