"""A few turns for many: who expires first goes first, and a dead host keeps nobody else waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count

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


class Turn:
    """One turn in hand: a place in its lane, and one of the slots once its host is known to be there."""

    def __init__(self, turns: Turns, lane: Lane, deadline: datetime, *, has_slot: bool) -> None:
        self._turns = turns
        self._deadline = deadline
        self._has_slot = has_slot
        self._has_lane = True
        self.lane = lane

    @asynccontextmanager
    async def pause(self) -> AsyncIterator[None]:
        """Let others have it during the block, then wait for it again."""
        self.end()
        self.lane.paused += 1
        try:
            yield
        finally:
            self.lane.paused -= 1
        self._has_slot = await self._turns.take(self.lane, self._deadline, has_begun=True)
        self._has_lane = True

    def worked(self) -> None:
        """The lane's host is there: whoever may go beside this one now, goes."""
        self.lane.worked()
        if not self._has_slot:
            self._turns.overdraw()
            self._has_slot = True
        self._turns.serve()

    def failed(self) -> None:
        """The lane's host is in trouble."""
        self.lane.failed()

    def rest(self) -> None:
        """Let other lanes have the slot; nobody follows in this lane until the turn ends."""
        self._has_slot = self._turns.give(None, slot=self._has_slot)

    def end(self) -> None:
        """Give back what is in hand."""
        lane = self.lane if self._has_lane else None
        self._has_lane = False
        self._has_slot = self._turns.give(lane, slot=self._has_slot)


class Turns:
    """At most `slots` blocks run at once; among those who wait, the earliest deadline is next.

    Whoever finds out whether a host is back needs no slot for that: a try may hang, and hosts that are away
    would take the turns of those that are there. When the host answers it gets one beyond those there are.
    """

    def __init__(self, slots: int) -> None:
        self._slots = self._free = slots
        self._lanes: dict[str, Lane] = {}
        self._order = count()

    @asynccontextmanager
    async def turn(self, deadline: datetime, lane: str = "") -> AsyncIterator[Turn]:
        """Wait for a turn, and hold it during the block.

        Raises:
            SentAway: not begun, as enough others of this lane go before.
        """
        way = self._lanes.setdefault(lane, Lane(self._slots))
        if way.is_full_before(deadline):
            raise SentAway(closed=way.is_closed)
        try:
            has_slot = await self.take(way, deadline, has_begun=False)
            mine = Turn(self, way, deadline, has_slot=has_slot)
            try:
                yield mine
            finally:
                mine.end()
        finally:
            if way.is_forgettable and self._lanes.get(lane) is way:
                del self._lanes[lane]

    def is_closed(self, lane: str) -> bool:
        """Whether the host of that lane is away."""
        return lane in self._lanes and self._lanes[lane].is_closed

    async def take(self, lane: Lane, deadline: datetime, *, has_begun: bool) -> bool:
        """Wait for a place in the lane, and a slot unless its host is away; for `Turn`. True: with a slot."""
        ready: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        mine = Waiting(deadline, next(self._order), ready, has_begun)
        lane.waiting.append(mine)
        self.serve()
        if not ready.done():
            lane.send_away()
        try:
            return await ready
        except asyncio.CancelledError:
            if mine in lane.waiting:
                lane.waiting.remove(mine)
            elif not ready.cancelled() and ready.exception() is None:
                self.give(lane, slot=ready.result())  # the turn had been given just before: pass it on
            raise

    def give(self, lane: Lane | None, *, slot: bool) -> bool:
        """Take back a place in the lane, a slot, or both; for `Turn`. False: the slot is no longer theirs."""
        if lane is not None:
            lane.busy -= 1
        self._free += slot
        self.serve()
        return False

    def overdraw(self) -> None:
        """Take a slot though there may be none: the next ones that come free pay for it; for `Turn`."""
        self._free -= 1

    def serve(self) -> None:
        """Let all go who may; for `Turn`."""
        for lane in self._lanes.values():
            if lane.is_closed and (first := lane.next()) is not None:
                self._go(first, lane, slot=False)
        while self._free > 0:
            ready = [(first, lane) for lane in self._lanes.values() if (first := lane.next()) is not None]
            if not ready:
                return
            first, lane = min(ready, key=lambda pair: pair[0])
            self._go(first, lane, slot=True)

    def _go(self, first: Waiting, lane: Lane, *, slot: bool) -> None:
        lane.waiting.remove(first)
        lane.busy += 1
        self._free -= slot
        first.ready.set_result(slot)
