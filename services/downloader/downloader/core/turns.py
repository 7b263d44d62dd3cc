"""A few turns for many: who expires first goes first."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import count


class Turns:
    """At most `slots` blocks run at once; among those who wait, the earliest deadline is next."""

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._waiting: list[tuple[datetime, int, asyncio.Future[None]]] = []
        self._order = count()

    @asynccontextmanager
    async def turn(self, deadline: datetime) -> AsyncIterator[None]:
        """Wait for a turn, and hold it during the block."""
        await self._take(deadline)
        try:
            yield
        finally:
            self._give()

    async def _take(self, deadline: datetime) -> None:
        if self._free > 0:
            self._free -= 1
            return
        mine = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (deadline, next(self._order), mine))
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self._give()  # the turn had been given just before: pass it on
            raise

    def _give(self) -> None:
        while self._waiting:
            _, _, next_one = heapq.heappop(self._waiting)
            if not next_one.done():
                next_one.set_result(None)
                return
        self._free += 1
