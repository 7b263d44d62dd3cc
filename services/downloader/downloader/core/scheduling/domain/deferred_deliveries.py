"""Who was sent away, so that they come back in the order, and at the pace, in which they are needed."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict, deque
from datetime import datetime, timedelta

from downloader.core.scheduling.domain import retry_policy as schedule

Id = tuple[str, str, int, int]

FORGOTTEN = timedelta(minutes=5)
"""An absence longer than any that is asked for: another replica has the output now."""

RECENT = 32
"""The last fetches, which tell how fast they go."""

FIRST_S = 2.0
"""Seconds before which a rate means nothing."""


class Absent:
    """The outputs of one host that this replica has sent away."""

    def __init__(self) -> None:
        self._order: list[tuple[datetime, Id]] = []
        self._since: dict[Id, tuple[datetime, datetime]] = {}
        self._swept: datetime | None = None
        self._away_since: datetime | None = None
        self._there_since: datetime | None = None
        self._fetched: deque[datetime] = deque(maxlen=RECENT)

    def fetched(self, now: datetime) -> None:
        """One of the host's outputs has been fetched."""
        self._away_since = None
        self._fetched.append(now)

    def is_back(self, output: Id) -> None:
        """It is here again, or was never away."""
        if (entry := self._since.pop(output, None)) is not None:
            del self._order[bisect_left(self._order, (entry[0], output))]

    def leaves(self, output: Id, *, now: datetime, expires_at: datetime, host_is_away: bool) -> float:
        """Note it; seconds until it should come back."""
        self._sweep(now)
        self.is_back(output)
        ahead = bisect_left(self._order, (expires_at, output))
        insort(self._order, (expires_at, output))
        self._since[output] = (expires_at, now)
        away, rate = None, None
        if host_is_away:
            self._fetched.clear()  # how fast it was says nothing about the time after
            self._there_since = None
            self._away_since = self._away_since or now
            away = (now - self._away_since).total_seconds()
        else:
            rate = self._rate(now)
        return schedule.coming_back(ahead, rate=rate, host_away=away, now=now, expires_at=expires_at)

    def _rate(self, now: datetime) -> float | None:
        """Fetched a second; it falls while nothing is. None: too early to say."""
        self._there_since = self._there_since or now
        full = len(self._fetched) == RECENT
        seconds = (now - (self._fetched[0] if full else self._there_since)).total_seconds()
        return max(len(self._fetched), 1) / seconds if seconds > FIRST_S else None

    def _sweep(self, now: datetime) -> None:
        if self._swept is None:
            self._swept = now
        if now - self._swept < FORGOTTEN:
            return
        self._swept = now
        for output in [output for output, (_, since) in self._since.items() if now - since > FORGOTTEN]:
            self.is_back(output)


class Absents:
    """By host; a host that nobody has asked about for as long as an absence is remembered is forgotten."""

    def __init__(self) -> None:
        self._hosts: OrderedDict[str, tuple[Absent, datetime]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._hosts)

    def of(self, host: str, now: datetime) -> Absent:
        """Those of the host."""
        absent, _ = self._hosts.pop(host, (None, now))
        while self._hosts and now - next(iter(self._hosts.values()))[1] > FORGOTTEN:
            self._hosts.popitem(last=False)
        absent = absent or Absent()
        self._hosts[host] = absent, now  # the last asked about comes last
        return absent
