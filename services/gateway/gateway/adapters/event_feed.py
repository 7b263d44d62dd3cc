"""Feeds events to clients as they happen: one reader of the log for the whole process, fanned out to all."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress

import structlog

from gateway.core.live.domain import EventFilter
from servicekit.errors import AppError
from servicekit.events import Event, EventLog
from servicekit.events.topology import STREAM

_QUEUE_SIZE = 256
"""Events that wait for one slow client; with more it reads on from the log itself."""

_CATCH_UP_QUEUE_SIZE = 64
"""Events read ahead of a client that catches up."""

READERS = 16
"""Clients that catch up at the same time, each with a reader of the log; the others wait in line."""

TURN_SECONDS = 2.0
"""Seconds until a reader goes to the next in line: who is not done by then, or reads slowly, waits again."""

_FIRST_EVENT_WITHIN = 10.0
"""Seconds for a reader's first event: the log may be slow, or hold nothing there any more."""

_catching_up: set[asyncio.Task[None]] = set()


class Follower:
    """One client's place in the log: what it missed, read from the log, and then what happens.

    It keeps no coroutine open between two calls of `next`, so that it can be closed at any moment, also
    by a cancellation that lets nothing be awaited any more.
    """

    def __init__(self, feed: EventFeed, wanted: EventFilter, after: int) -> None:
        self._feed = feed
        self._wanted = wanted
        self._after = after
        self._live: asyncio.Queue[Event | None] = asyncio.Queue(_QUEUE_SIZE)
        self._missed: asyncio.Queue[Event | AppError | int | None] | None = None
        self._caught_up = False
        self._reading: asyncio.Task[None] | None = None
        self.behind = False
        """The queue was full: what came after is in the log alone."""
        self._begin()

    @property
    def waiting(self) -> int:
        """Events that wait for the client."""
        return self._live.qsize()

    async def next(self) -> Event | int | None:
        """The next wanted event; None when there will be no more: the service stops, or the log began anew.

        A number, once: what was missed has been given up to there.
        """
        while True:
            if self._missed is not None:
                missed = await self._missed.get()
                if isinstance(missed, AppError):
                    raise missed
                if isinstance(missed, Event):
                    self._after = missed.sequence
                    return missed
                self._missed = None
                if missed is not None and not self._caught_up:
                    self._caught_up = True
                    return missed
            if self.behind and self._live.empty():
                self._begin()
                continue
            event = await self._live.get()
            if event is None:
                return None
            if event.sequence > self._after:
                self._after = event.sequence
                return event

    def offer(self, event: Event) -> None:
        """Take a new event from the feed, if it is wanted and there is room."""
        if self.behind or not self._wanted.matches(event.type, event.refs):
            return
        try:
            self._live.put_nowait(event)
        except asyncio.QueueFull:
            self.behind = True

    def end(self) -> None:
        """End the stream: nothing more comes from the feed.

        What still waits is dropped as a whole: sent in part, it would move the client's place in the log past
        what was not sent. The client comes back for it from where it is.
        """
        for queue in (self._live, self._missed):
            if queue is not None:
                while not queue.empty():
                    queue.get_nowait()
                queue.put_nowait(None)

    def close(self) -> None:
        """Let go of everything; twice is fine."""
        self._feed.followers.discard(self)
        if self._reading is not None:
            self._reading.cancel()

    def _begin(self) -> None:
        # First registered, then caught up: what happens in between waits in the queue.
        self._feed.followers.add(self)
        self.behind = False
        until = self._feed.position
        if self._after < until:
            self._missed = asyncio.Queue(_CATCH_UP_QUEUE_SIZE)
            self._reading = asyncio.create_task(self._catch_up(self._missed, until), name="catch-up")
            _catching_up.add(self._reading)  # the loop itself holds tasks by weak references only
            self._reading.add_done_callback(_catching_up.discard)

    async def _catch_up(self, missed: asyncio.Queue[Event | AppError | int | None], until: int) -> None:
        """Read the wanted events up to, and with, `until`: in a task of its own, which tidies up in peace.

        At the end it puts the sequence itself. No reader is occupied while the client takes its time: what
        did not find room waits here.
        """
        after, pending = self._after, None
        try:
            while after < until:
                async with self._feed.readers:
                    after, pending = await self._read(missed, after, until)
                if pending is not None:
                    await missed.put(pending)
            await missed.put(until)
        except AppError as error:
            await missed.put(error)
        except Exception:  # noqa: BLE001  # nobody awaits this task: the client would wait for ever
            structlog.get_logger(__name__).exception("catching up failed")
            self.end()

    async def _read(
        self, missed: asyncio.Queue[Event | AppError | int | None], after: int, until: int
    ) -> tuple[int, Event | None]:
        """One turn: how far it came, and the event that found no room."""
        pending: Event | None = None
        begun = False
        async with aclosing(await self._feed.log.tail((">",), after=after)) as events:  # type: ignore[type-var]  # a generator
            with suppress(TimeoutError):
                async with asyncio.timeout(_FIRST_EVENT_WITHIN) as limit:
                    async for event in events:
                        if not begun:
                            limit.reschedule(asyncio.get_running_loop().time() + self._feed.turn)
                            begun = True
                        after = event.sequence
                        if after <= until and self._wanted.matches(event.type, event.refs):
                            pending = event
                            await missed.put(event)
                            pending = None
                        if after >= until:
                            break
        return after, pending


class EventFeed:
    """A `Part`: reads the log from its end, and lets clients follow it from anywhere.

    Args:
        readers: clients that catch up at the same time.
        turn: seconds until one that is not done makes room for the next.
    """

    def __init__(self, log: EventLog, *, readers: int = READERS, turn: float = TURN_SECONDS) -> None:
        self.log = log
        self.readers = asyncio.Semaphore(readers)
        self.turn = turn
        self.followers: set[Follower] = set()
        """Who is offered each new event."""
        self._reading: asyncio.Task[None] | None = None
        self._open = False
        self._log = structlog.get_logger(__name__)
        self.position = 0
        """Sequence of the newest event seen."""

    async def start(self) -> None:
        """Find the log's end and read on from there."""
        self.position = await self._last_sequence()
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
        for follower in tuple(self.followers):
            follower.end()

    async def resume_position(self, after: int) -> int:
        """Where a client that has seen `after` goes on: there, or at the start of a log that began anew.

        (Another replica may well have sent the client more than this one has seen.)
        """
        return after if after <= self.position or after <= await self._last_sequence() else 0

    def follow(self, wanted: EventFilter, *, after: int) -> Follower:
        """Every wanted event after that sequence, then new ones, in order. Close it when done."""
        follower = Follower(self, wanted, after)
        if not self._open:
            follower.end()
        return follower

    async def _last_sequence(self) -> int:
        info = await self.log.guard("read the log's end", lambda: self.log.js.stream_info(STREAM))
        return info.state.last_seq

    async def _read(self) -> None:
        """Read the log for all clients; when reading fails, go on from the same place."""
        while True:
            try:
                async with aclosing(await self.log.tail((">",), after=self.position)) as events:  # type: ignore[type-var]  # a generator
                    async for event in events:
                        self._dispatch(event)
            except Exception:  # noqa: BLE001  # whatever it was, the clients still wait for the next event
                self._log.exception("live feed interrupted")
                await asyncio.sleep(1.0)

    def _dispatch(self, event: Event) -> None:
        anew = event.sequence <= self.position
        self.position = event.sequence
        for follower in tuple(self.followers):
            if anew:  # the log lost its data: what clients know of it is void
                follower.end()
            else:
                follower.offer(event)
