"""Decides which output is fetched next: the earliest expiry first, and no dead host keeps others waiting.

Each host has a queue, as wide as the host deserves: an error narrows it by one, an answer doubles it. All
queues share a few slots.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count

MAX_WAITING = 32
"""Per host. An event that waits here is a lease to be renewed, so whoever would come after all of these is
deferred; and the outputs of one host cannot take all the leases of a replica."""

MAX_WAITING_HOST_DOWN = 4
"""Per host that is down: what waits here is not tried, and its time may run out."""

DOWN_AFTER_ERRORS = 5
"""Errors in a row before a host counts as down, at least: more than the tries of one output."""


class Deferred(Exception):  # noqa: N818  # an answer, not an error
    """Enough other outputs of the host expire earlier: deliver this one again later."""

    def __init__(self, *, host_is_down: bool) -> None:
        super().__init__("enough others expire earlier")
        self.host_is_down = host_is_down


@dataclass(order=True)
class Waiter:
    """One who waits in a queue, in the order of going."""

    deadline: datetime
    number: int
    ready: asyncio.Future[bool] = field(compare=False)
    """Done when it may go; True: with a slot."""
    has_begun: bool = field(compare=False)


class HostQueue:
    """Who waits for one host, and how many may be there at once.

    A host that goes down is soon tried by one at a time, and one that comes back has its full width after a
    few answers.
    """

    def __init__(self, max_width: int) -> None:
        self._max_width = max_width
        self._width = max_width
        self._errors = 0
        self.busy = 0
        self.paused = 0
        self.waiting: list[Waiter] = []

    @property
    def host_is_down(self) -> bool:
        """As far as the last tries can tell: one at a time finds out whether it is back."""
        return self._errors >= max(self._max_width, DOWN_AFTER_ERRORS)

    @property
    def is_like_new(self) -> bool:
        return (
            not self._errors
            and self._width == self._max_width
            and not (self.busy or self.paused or self.waiting)
        )

    def next(self) -> Waiter | None:
        """Who goes first, if one more may go."""
        self.waiting = [each for each in self.waiting if not each.ready.done()]  # done: just cancelled
        return min(self.waiting, default=None) if self.busy < self._width else None

    def host_answered(self) -> None:
        self._errors = 0
        self._width = min(self._max_width, self._width * 2)

    def host_failed(self) -> None:
        self._errors += 1
        self._width = max(1, self._width - 1)
        if self.host_is_down:
            self.defer_excess()

    def would_defer(self, deadline: datetime) -> bool:
        """Whether a new one with that deadline would be deferred at once."""
        if len(self.waiting) < (MAX_WAITING_HOST_DOWN if self.host_is_down else MAX_WAITING):
            return False
        return all(each.deadline <= deadline and not each.ready.done() for each in self.waiting)

    def defer_excess(self) -> None:
        """Defer whoever is too many, the last first. Who has begun may stay while the host is up."""
        waiting = [each for each in self.waiting if not each.ready.done()]
        movable = [each for each in waiting if self.host_is_down or not each.has_begun]
        if self.host_is_down:
            room = MAX_WAITING_HOST_DOWN
        else:
            room = MAX_WAITING - self.paused - (len(waiting) - len(movable))
        for each in sorted(movable)[max(room, 0) :]:
            self.waiting.remove(each)
            each.ready.set_exception(Deferred(host_is_down=self.host_is_down))


class Permit:
    """The right to try one output now: a place in its host's queue, and a slot unless its host is down."""

    def __init__(
        self, scheduler: SlotScheduler, queue: HostQueue, deadline: datetime, *, has_slot: bool
    ) -> None:
        self._scheduler = scheduler
        self._queue = queue
        self._deadline = deadline
        self._has_slot = has_slot
        self._has_place = True

    @property
    def host_is_down(self) -> bool:
        return self._queue.host_is_down

    @asynccontextmanager
    async def pause(self) -> AsyncIterator[None]:
        """Let others go during the block, then wait for the permit again."""
        self.end()
        self._queue.paused += 1
        try:
            yield
        finally:
            self._queue.paused -= 1
        self._has_slot = await self._scheduler.acquire(self._queue, self._deadline, has_begun=True)
        self._has_place = True

    def host_answered(self) -> None:
        """The host is up: whoever may go beside this one now, goes."""
        self._queue.host_answered()
        if not self._has_slot:
            self._scheduler.overdraw()
            self._has_slot = True
        self._scheduler.dispatch()

    def host_failed(self) -> None:
        self._queue.host_failed()

    def release_slot(self) -> None:
        """Give the slot back, but not the place: nobody else tries this host until the permit ends."""
        self._scheduler.release(None, slot=self._has_slot)
        self._has_slot = False

    def end(self) -> None:
        """Give back whatever is left."""
        self._scheduler.release(self._queue if self._has_place else None, slot=self._has_slot)
        self._has_place = self._has_slot = False


class SlotScheduler:
    """At most `slots` blocks run at once; among those who wait, the earliest deadline is next.

    Whoever finds out whether a host is back needs no slot for that: a try may hang, and hosts that are down
    would take the slots of those that are up. When the host answers it gets a slot beyond those there are.
    """

    def __init__(self, slots: int) -> None:
        self._slots = self._free = slots
        self._queues: dict[str, HostQueue] = {}
        self._numbers = count()

    @asynccontextmanager
    async def permit(self, deadline: datetime, host: str = "") -> AsyncIterator[Permit]:
        """Wait for a permit, and have it during the block.

        Raises:
            Deferred: the block has not begun, because enough others of this host go before.
        """
        queue = self._queues.setdefault(host, HostQueue(self._slots))
        if queue.would_defer(deadline):
            raise Deferred(host_is_down=queue.host_is_down)
        try:
            has_slot = await self.acquire(queue, deadline, has_begun=False)
            permit = Permit(self, queue, deadline, has_slot=has_slot)
            try:
                yield permit
            finally:
                permit.end()
        finally:
            if queue.is_like_new and self._queues.get(host) is queue:
                del self._queues[host]

    def is_down(self, host: str) -> bool:
        return host in self._queues and self._queues[host].host_is_down

    # For permits ------------------------------------------------------------------------------------
    async def acquire(self, queue: HostQueue, deadline: datetime, *, has_begun: bool) -> bool:
        """Wait for a place in the queue, and for a slot unless its host is down. True: with a slot."""
        ready: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        waiter = Waiter(deadline, next(self._numbers), ready, has_begun)
        queue.waiting.append(waiter)
        self.dispatch()
        if not ready.done():
            queue.defer_excess()
        try:
            return await ready
        except asyncio.CancelledError:
            if waiter in queue.waiting:
                queue.waiting.remove(waiter)
            elif not ready.cancelled() and ready.exception() is None:
                self.release(queue, slot=ready.result())  # it was granted just before: pass it on
            raise

    def release(self, queue: HostQueue | None, *, slot: bool) -> None:
        """Take back a place in the queue, a slot, or both."""
        if queue is not None:
            queue.busy -= 1
        self._free += slot
        self.dispatch()

    def overdraw(self) -> None:
        """Grant a slot though there may be none: the next ones that come free pay for it."""
        self._free -= 1

    def dispatch(self) -> None:
        """Let all go who may."""
        for queue in self._queues.values():
            if queue.host_is_down and (first := queue.next()) is not None:
                self._grant(first, queue, slot=False)
        while self._free > 0:
            ready = [(first, queue) for queue in self._queues.values() if (first := queue.next()) is not None]
            if not ready:
                return
            first, queue = min(ready, key=lambda pair: pair[0])
            self._grant(first, queue, slot=True)

    def _grant(self, waiter: Waiter, queue: HostQueue, *, slot: bool) -> None:
        queue.waiting.remove(waiter)
        queue.busy += 1
        self._free -= slot
        waiter.ready.set_result(slot)
