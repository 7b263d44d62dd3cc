"""Reads the log in order without acknowledging: for live views. A lost connection leaves no gap."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import structlog
from nats.aio.msg import Msg
from nats.js import api

from servicekit.events.connection import Connection
from servicekit.events.event import Event, from_message
from servicekit.events.nats_errors import NATS_ERRORS, text_of
from servicekit.events.pull import Pull

_BATCH = 64
"""Events requested at once: what a slow reader holds in memory."""

_FORGOTTEN_AFTER = 60.0
"""Seconds after which the server removes the consumer of a reader that has vanished."""


class LogReader:
    """One reader. Its consumer is temporary: in doubt a new one begins right after the last event seen."""

    def __init__(self, connection: Connection, stream: str, subjects: Sequence[str], after: int) -> None:
        self._connection = connection
        self._stream = stream
        self._subjects = list(subjects)
        self._last = after
        self._arrived: asyncio.Queue[Msg | None] = asyncio.Queue()
        """Events, and None when the requests or the doubt have changed."""
        self._doubt = ""
        """Why the consumer may have lost an event or be gone; empty: it has not."""

    async def events(self) -> AsyncIterator[Event]:
        """Yield for ever."""
        unsubscribe = self._connection.on_restored(lambda: self._set_doubt("reconnected"))
        try:
            while True:
                self._doubt = ""
                pull = await self._connection.guard("read the log", self._open)
                try:
                    async for event in self._read(pull):
                        yield event
                finally:
                    with contextlib.suppress(*NATS_ERRORS):
                        await pull.close()
                    await self._remove_consumer()
        finally:
            unsubscribe()

    async def _read(self, pull: Pull) -> AsyncIterator[Event]:
        """Yield until in doubt about the consumer."""
        expected = 1
        while not self._doubt:
            try:
                if not pull.requested and self._arrived.empty():
                    await pull.request(_BATCH)
            except NATS_ERRORS as error:
                self._doubt = text_of(error)
                continue
            try:
                # A request that gets no answer at all is repeated.
                message = await asyncio.wait_for(self._arrived.get(), 1.0)
            except TimeoutError:
                continue
            if message is None:
                continue
            sequence = message.metadata.sequence
            if sequence.consumer != expected:
                # A delivery was lost, and without acknowledgement none is repeated.
                self._doubt = f"delivery {sequence.consumer} came where {expected} was due"
                continue
            expected += 1
            self._last = sequence.stream
            yield from_message(message)

    async def _open(self) -> Pull:
        """A fresh consumer behind the last event seen, and a fresh queue: what an older one sent is void."""
        state = (await self._connection.js.stream_info(self._stream)).state
        if state.last_seq < self._last:
            structlog.get_logger("servicekit.events").warning(
                "the log begins anew: reading it from its start", had=self._last, last=state.last_seq
            )
            self._last = 0
        config = api.ConsumerConfig(
            filter_subjects=None if self._subjects == [">"] else self._subjects,
            deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=self._last + 1,
            ack_policy=api.AckPolicy.NONE,
            inactive_threshold=_FORGOTTEN_AFTER,
            mem_storage=True,
            num_replicas=1,
        )
        info = await self._connection.js.add_consumer(self._stream, config)
        self._name = info.name
        self._arrived = asyncio.Queue()
        arrived = self._arrived
        pull = Pull(
            self._connection.client,
            self._stream,
            info.name,
            on_event=arrived.put_nowait,
            on_end=lambda reason: self._set_doubt(reason) if reason else arrived.put_nowait(None),
        )
        await pull.open()
        return pull

    def _set_doubt(self, reason: str) -> None:
        self._doubt = reason
        self._arrived.put_nowait(None)

    async def _remove_consumer(self) -> None:
        # The server would remove it by itself after `_FORGOTTEN_AFTER`.
        with contextlib.suppress(*NATS_ERRORS):
            if self._connection.is_connected:
                await self._connection.js.delete_consumer(self._stream, self._name)
