"""A few turns for many: who expires first goes first, and a dead host keeps nobody else waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import count

from downloader.core.scheduling.host_queue import Lane, SentAway, Waiting


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
