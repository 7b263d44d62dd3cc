"""The way to one host: as wide as the host deserves, and short: what waits there is a lease to keep alive."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime

PLACES = 32
"""How many one lane holds waiting. An event that waits here is a lease to be kept alive, so whoever would
go after all of these is sent away; and the outputs of one host cannot fill the room."""

PROBES = 4
"""How many wait where the host is away: what waits is not looked at, and time may run out for it."""

CLOSED_AFTER = 5
"""Failures in a row before a host counts as away, at least: more than the tries of one output."""


class SentAway(Exception):  # noqa: N818  # a verdict, not an error
    """There are enough who expire earlier. `closed`: the lane's host is away, so come back rarely."""

    def __init__(self, *, closed: bool) -> None:
        super().__init__("enough others expire earlier")
        self.closed = closed


@dataclass(order=True)
class Waiting:
    """Somebody in a lane, in the order of going."""

    deadline: datetime
    number: int
    ready: asyncio.Future[bool] = field(compare=False)
    """Done when it may go; True: with a slot."""
    has_begun: bool = field(compare=False)


class Lane:
    """The way to one host, as wide as the host deserves: a failure narrows it by one, a success doubles it.

    So a host that is away soon has a single turn at a time, and one that comes back has all after a few.
    """

    def __init__(self, width: int) -> None:
        self._most = width
        self._width = width
        self._failures = 0
        self.busy = 0
        self.paused = 0
        self.waiting: list[Waiting] = []

    @property
    def is_closed(self) -> bool:
        """Whether its host is away, as far as the last tries can tell: one at a time finds out."""
        return self._failures >= max(self._most, CLOSED_AFTER)

    @property
    def is_forgettable(self) -> bool:
        """Whether it is as a new one would be."""
        return (
            not self._failures
            and self._width == self._most
            and not (self.busy or self.paused or self.waiting)
        )

    def next(self) -> Waiting | None:
        """Who goes first, if one more may go."""
        self.waiting = [one for one in self.waiting if not one.ready.done()]  # done: cancelled just now
        return min(self.waiting, default=None) if self.busy < self._width else None

    def worked(self) -> None:
        """Its host has answered."""
        self._failures = 0
        self._width = min(self._most, self._width * 2)

    def failed(self) -> None:
        """Its host is in trouble."""
        self._failures += 1
        self._width = max(1, self._width - 1)
        if self.is_closed:
            self.send_away()

    def is_full_before(self, deadline: datetime) -> bool:
        """Whether one with that deadline would be sent away at once."""
        if len(self.waiting) < (PROBES if self.is_closed else PLACES):
            return False
        return all(one.deadline <= deadline and not one.ready.done() for one in self.waiting)

    def send_away(self) -> None:
        """Whoever is too many, the last first. Who has begun may stay while the host is there."""
        open_ones = [one for one in self.waiting if not one.ready.done()]
        movable = [one for one in open_ones if self.is_closed or not one.has_begun]
        room = PROBES if self.is_closed else PLACES - self.paused - (len(open_ones) - len(movable))
        for one in sorted(movable)[max(room, 0) :]:
            self.waiting.remove(one)
            one.ready.set_exception(SentAway(closed=self.is_closed))
