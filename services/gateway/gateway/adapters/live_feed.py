"""Facts as they happen: one reader of the log for the whole process, fanned out to all who watch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress

import structlog

from gateway.core.event_stream import Wanted
from servicekit.events import Event, EventLog
from servicekit.events.topology import STREAM

_ROOM = 256
"""Events that wait for one slow client; with more it reads on from the log itself."""


class _Watcher:
    """One client's queue."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.queue: asyncio.Queue[Event | None] = asyncio.Queue(_ROOM)
        self.behind = False
        """The queue was full: what came after is in the log alone."""

    def offer(self, event: Event) -> None:
        if self.behind or not self.wanted.matches(event.type, event.refs):
            return
        try:
            self.queue.put_nowait(event)
        except asyncio.QueueFull:
            self.behind = True


class LiveFeed:
    """A `Part`: reads the log from its end, and lets clients follow it from anywhere."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._watchers: set[_Watcher] = set()
        self._reading: asyncio.Task[None] | None = None
        self._open = False
        self._said = structlog.get_logger(__name__)
        self.position = 0
        """Sequence of the newest fact seen."""

    @property
    def watching(self) -> int:
        """How many clients follow."""
        return len(self._watchers)

    async def start(self) -> None:
        """Find the log's end and read on from there."""
        info = await self._log.guard("read the log's end", lambda: self._log.js.stream_info(STREAM))
        self.position = info.state.last_seq
        self._open = True
        self._reading = asyncio.create_task(self._read(), name="live-feed")

    async def stop(self) -> None:
        """End every client's stream and stop reading."""
        self.release()
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading

    def release(self) -> None:
        """End every client's stream: they come back to another replica, or to this one after its restart."""
        self._open = False
        self._end_all()

    async def follow(self, wanted: Wanted, *, after: int) -> AsyncIterator[Event]:
        """Every wanted fact after that sequence, then new ones, without a gap and in order.

        Ends when the service stops, or when the log began anew. Close it (`aclose`) when done.
        """
        while self._open:
            watcher = _Watcher(wanted)
            # First watched, then caught up: what happens in between waits in the queue.
            self._watchers.add(watcher)
            try:
                async with aclosing(self._catch_up(wanted, after, self.position)) as missed:
                    async for event in missed:
                        after = event.sequence
                        yield event
                while True:
                    if watcher.behind and watcher.queue.empty():
                        break
                    event_or_end = await watcher.queue.get()
                    if event_or_end is None:
                        return
                    if event_or_end.sequence > after:
                        after = event_or_end.sequence
                        yield event_or_end
            finally:
                self._watchers.discard(watcher)

    async def _catch_up(self, wanted: Wanted, after: int, until: int) -> AsyncGenerator[Event, None]:
        """The wanted facts after `after`, up to and with `until`, from the log itself."""
        if after >= until:
            return
        async with aclosing(await self._log.tail((">",), after=after)) as events:  # type: ignore[type-var]
            async for event in events:
                if event.sequence <= until and wanted.matches(event.type, event.refs):
                    yield event
                if event.sequence >= until:
                    return

    async def _read(self) -> None:
        """Read the log for all; when reading fails the log is asked again from the same place."""
        while True:
            try:
                async with aclosing(await self._log.tail((">",), after=self.position)) as events:  # type: ignore[type-var]
                    async for event in events:
                        self._tell(event)
            except Exception:  # noqa: BLE001  # whatever it was, the clients still wait for the next fact
                self._said.exception("live feed interrupted")
                await asyncio.sleep(1.0)

    def _tell(self, event: Event) -> None:
        if event.sequence <= self.position:  # the log began anew: what clients know of it is void
            self._end_all()
        self.position = event.sequence
        for watcher in tuple(self._watchers):
            watcher.offer(event)

    def _end_all(self) -> None:
        for watcher in tuple(self._watchers):
            while watcher.queue.full():
                watcher.queue.get_nowait()
            watcher.queue.put_nowait(None)
