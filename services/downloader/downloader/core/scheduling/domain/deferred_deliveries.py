"""Decides when outputs that were deferred are delivered again: in the order of their expiry, per host.

An output is deferred when enough others of its host expire earlier. It must be back before its turn, and
not so often that looking at it again takes the time that fetching needs.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict, deque
from datetime import datetime, timedelta

from downloader.core.scheduling.domain.outputs import OutputId
from downloader.core.scheduling.domain.retry_policy import MAX_SHARE_OF_TIME_LEFT

MAX_RETURNS_PER_S = 200.0
"""Outputs that one replica takes up again: as many as it could fetch if they were tiny."""

RETURNS_PER_FETCH = 3.0
"""How many times more return than are fetched, so that there is always one, and a choice."""

MAX_DEFERRAL_S = 120.0

MIN_DEFERRAL_HOST_DOWN_S = 2.0
"""The first deferral while the host is down; later ones last a share of the time that it has been down."""

FORGET_AFTER = timedelta(minutes=5)
"""Longer than any deferral: another replica has the output now."""

RATE_SAMPLES = 32
"""The last fetches, which show how fast they go."""

MIN_RATE_WINDOW_S = 2.0
"""A rate over less time means nothing."""


class DeferredDeliveries:
    """The outputs of one host that this replica has deferred."""

    def __init__(self) -> None:
        self._by_expiry: list[tuple[datetime, OutputId]] = []
        self._deferred: dict[OutputId, tuple[datetime, datetime]] = {}
        """Output → its expiry, and when it was deferred."""
        self._forgot_at: datetime | None = None
        self._down_since: datetime | None = None
        self._up_since: datetime | None = None
        self._fetched_at: deque[datetime] = deque(maxlen=RATE_SAMPLES)

    def note_fetched(self, now: datetime) -> None:
        """One of the host's outputs has been fetched."""
        self._down_since = None
        self._fetched_at.append(now)

    def returned(self, output: OutputId) -> None:
        """The output is here again, or was never deferred."""
        if (entry := self._deferred.pop(output, None)) is not None:
            del self._by_expiry[bisect_left(self._by_expiry, (entry[0], output))]

    def defer(self, output: OutputId, *, now: datetime, expires_at: datetime, host_is_down: bool) -> float:
        """Remember it, and answer in how many seconds it should return."""
        self._forget_old(now)
        self.returned(output)
        ahead = bisect_left(self._by_expiry, (expires_at, output))
        insort(self._by_expiry, (expires_at, output))
        self._deferred[output] = (expires_at, now)
        down_for, rate = None, None
        if host_is_down:
            self._fetched_at.clear()  # how fast it was says nothing about the time after
            self._up_since = None
            self._down_since = self._down_since or now
            down_for = (now - self._down_since).total_seconds()
        else:
            rate = self._rate(now)
        return _delay(ahead, rate=rate, down_for=down_for, left=(expires_at - now).total_seconds())

    def _rate(self, now: datetime) -> float | None:
        """Fetches a second; it falls while there are none. None: too early to know."""
        self._up_since = self._up_since or now
        is_full = len(self._fetched_at) == RATE_SAMPLES
        seconds = (now - (self._fetched_at[0] if is_full else self._up_since)).total_seconds()
        return max(len(self._fetched_at), 1) / seconds if seconds > MIN_RATE_WINDOW_S else None

    def _forget_old(self, now: datetime) -> None:
        if self._forgot_at is None:
            self._forgot_at = now
        if now - self._forgot_at < FORGET_AFTER:
            return
        self._forgot_at = now
        for output in [each for each, (_, since) in self._deferred.items() if now - since > FORGET_AFTER]:
            self.returned(output)


def _delay(ahead: int, *, rate: float | None, down_for: float | None, left: float) -> float:
    """Seconds until a deferred output should return.

    Args:
        ahead: how many deferred outputs expire earlier.
        rate: how many were fetched a second lately; None when that is unknown.
        down_for: seconds since the host went down; None when it is up.
        left: seconds until the output expires.
    """
    returns_per_s = MAX_RETURNS_PER_S if rate is None else min(rate * RETURNS_PER_FETCH, MAX_RETURNS_PER_S)
    if down_for is None:
        delay = ahead / returns_per_s
    else:
        delay = max(down_for * MAX_SHARE_OF_TIME_LEFT, MIN_DEFERRAL_HOST_DOWN_S)
    # What has expired is in no hurry any more.
    delay = min(delay, MAX_DEFERRAL_S, left * MAX_SHARE_OF_TIME_LEFT) if left >= 0 else MAX_DEFERRAL_S
    return max(delay, ahead / MAX_RETURNS_PER_S / 2, 1.0)


class DeferredByHost:
    """`DeferredDeliveries` by host. A host that nobody needs for `FORGET_AFTER` is forgotten, so that
    addresses with a host name of their own for every output do not fill the memory."""

    def __init__(self) -> None:
        self._hosts: OrderedDict[str, tuple[DeferredDeliveries, datetime]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._hosts)

    def of(self, host: str, now: datetime) -> DeferredDeliveries:
        deferred, _ = self._hosts.pop(host, (None, now))
        while self._hosts and now - next(iter(self._hosts.values()))[1] > FORGET_AFTER:
            self._hosts.popitem(last=False)
        deferred = deferred or DeferredDeliveries()
        self._hosts[host] = deferred, now  # in the order of their last use
        return deferred
