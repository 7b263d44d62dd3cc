"""Reading the log in order without acknowledging: for live views. A lost connection leaves no gap."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

import structlog
from nats.aio.msg import Msg
from nats.js import api

from servicekit.events.event import Event, from_message
from servicekit.events.pull import Pull
from servicekit.events.topology import STREAM
from servicekit.events.troubles import TROUBLE

if TYPE_CHECKING:
    from servicekit.events.log import EventLog

_BATCH = 64
"""Events asked for at once: what a slow reader holds in memory."""

_FORGOTTEN_AFTER = 60.0
"""Seconds after which the server removes the consumer of a reader that has vanished."""


async def open_tail(log: EventLog, subjects: Sequence[str], *, after: int | None) -> AsyncIterator[Event]:
    """Fix where reading starts, then answer the iterator."""
    if after is None:
        info = await log.guard("read the log's end", lambda: log.js.stream_info(STREAM))
        after = info.state.last_seq
    return _Tail(log, tuple(subjects), after).events()


class _Tail:
    """One reader: a consumer that is made anew, right after the last event seen, whenever in doubt."""

    def __init__(self, log: EventLog, subjects: tuple[str, ...], after: int) -> None:
        self._log = log
        self._subjects = subjects
        self._last = after
        self._arrived: asyncio.Queue[Msg | None] = asyncio.Queue()
        """Events, and None for "look at the state of the requests"."""
        self._doubt = ""

    async def events(self) -> AsyncIterator[Event]:
        """Yield for ever."""
        end = self._log.on_restored(lambda: self._distrust("reconnected"))
        try:
            while True:
                self._doubt = ""
                pull = await self._log.guard("read the log", self._open)
                try:
                    async for event in self._read(pull):
                        yield event
                finally:
                    with contextlib.suppress(*TROUBLE):
                        await pull.close()
                    await self._remove()
        finally:
            end()

    async def _read(self, pull: Pull) -> AsyncIterator[Event]:
        """Yield until in doubt about the consumer."""
        expected = 1
        while not self._doubt:
            try:
                if not pull.asked and self._arrived.empty():
                    await pull.ask(_BATCH)
            except TROUBLE as error:
                self._doubt = str(error) or type(error).__name__
                continue
            try:
                # A request that gets no answer at all is asked again.
                message = await asyncio.wait_for(self._arrived.get(), 1.0)
            except TimeoutError:
                continue
            if message is None:
                continue
            place = message.metadata.sequence
            if place.consumer != expected:  # one got lost on its way, and nobody acknowledges here
                self._doubt = f"delivery {place.consumer} came where {expected} was due"
                continue
            expected += 1
            self._last = place.stream
            yield from_message(message)

    async def _open(self) -> Pull:
        """A fresh consumer behind the last event seen, and a fresh queue: what an older one sent is void."""
        state = (await self._log.js.stream_info(STREAM)).state
        if state.last_seq < self._last:
            structlog.get_logger("servicekit.events").warning(
                "the log begins anew: reading it from its start", had=self._last, last=state.last_seq
            )
            self._last = 0
        config = api.ConsumerConfig(
            filter_subjects=None if self._subjects == (">",) else list(self._subjects),
            deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=self._last + 1,
            ack_policy=api.AckPolicy.NONE,
            inactive_threshold=_FORGOTTEN_AFTER,
            mem_storage=True,
            num_replicas=1,
        )
        info = await self._log.js.add_consumer(STREAM, config)
        self._name = info.name
        self._arrived = asyncio.Queue()
        arrived = self._arrived
        pull = Pull(
            self._log.client,
            STREAM,
            info.name,
            on_event=arrived.put_nowait,
            on_end=lambda reason: self._distrust(reason) if reason else arrived.put_nowait(None),
        )
        await pull.open()
        return pull

    def _distrust(self, reason: str) -> None:
        self._doubt = reason
        self._arrived.put_nowait(None)

    async def _remove(self) -> None:
        """Politeness: the server would forget it by itself."""
        with contextlib.suppress(*TROUBLE):
            if self._log.is_connected:
                await self._log.js.delete_consumer(STREAM, self._name)
