"""The event log: publishes events and waits until they are stored, gives readers, buckets and wake-ups."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import nats.errors
from nats.aio.msg import Msg
from nats.js import api
from nats.js.errors import NotFoundError
from prometheus_client import Gauge

from servicekit.clock import Clock
from servicekit.errors import Invalid, NotFound, Unavailable
from servicekit.events import topology
from servicekit.events.bucket import Bucket
from servicekit.events.connection import Connection
from servicekit.events.event import Event, check, to_headers
from servicekit.events.log_reader import LogReader
from servicekit.events.nats_errors import NATS_ERRORS, text_of
from servicekit.telemetry import traces

REFUSED_AFTER = 5.0
"""Seconds in which events are published and none is acknowledged: then the log is not writable."""

_STILL_REFUSED = 10.0
"""Seconds after the last refusal in which it counts: whoever has an event to publish retries sooner."""

_CHECK_BUDGET = 2.0
"""Seconds the server may take to answer a check."""

REFUSING = Gauge(
    "rushes_event_log_refusing", "1 while the event log acknowledges no event that this process publishes"
)


class EventLog(Connection):
    """The connection of a whole process to the event log. A Part.

    Args:
        url: "nats://host:port", or several joined by commas.
        service: `ce-source` of what is published, and the connection's name at the server.
        clock: the time written into events. (Waiting is done in real time.)
        streams: those that this process writes to or reads from.
        replicas: the servers that store each stream and bucket, in a cluster; what has more keeps them.
        patience: seconds that `start`, `publish` and buckets wait for a server that is away.
    """

    def __init__(
        self,
        url: str,
        *,
        service: str,
        clock: Clock,
        streams: Sequence[topology.StreamSpec],
        replicas: int = 1,
        patience: float = 30.0,
    ) -> None:
        super().__init__(url, name=service, streams=streams, replicas=replicas, patience=patience)
        self._service = service
        self._clock = clock
        self._stored = {subject.partition(".")[0] for spec in streams for subject in spec.subjects}
        self._buckets: dict[str, Bucket] = {}
        self._refused_since: float | None = None
        """Loop time of the first attempt since the last acknowledged one."""
        self._refused_at = 0.0
        self._refusal = ""

    # Events -------------------------------------------------------------------------------------

    async def publish(self, event: Event) -> int:
        """Store the event; answers its sequence, also when the log had it already (same id).

        Raises:
            Invalid: the event could not be stored as it is.
            Unavailable: not acknowledged within the log's patience; publishing again is harmless.
        """
        check(event)
        if event.type.partition(".")[0] not in self._stored:
            raise Invalid(f"event {event.id}: no stream of this process stores {event.subject}")
        traceparent = event.traceparent or traces.inject().get("traceparent", "")
        stamped = dataclasses.replace(
            event,
            source=event.source or self._service,
            time=event.time or self._clock.now(),
            traceparent=traceparent,
        )
        return await self.store(event.subject, event.data, to_headers(stamped))

    async def store(self, subject: str, data: bytes, headers: dict[str, str]) -> int:
        """Publish raw, wait for the acknowledgement; answers the sequence."""

        async def send() -> int:
            began = asyncio.get_running_loop().time()
            try:
                acknowledged = await self.js.publish(subject, data, headers=headers)
            except nats.errors.MaxPayloadError as error:
                raise Invalid(
                    f"{subject}: {len(data)} bytes are more than the server takes in a message"
                ) from error
            except NATS_ERRORS as error:
                self._note_refusal(began, error)
                raise
            self._refused_since = None
            REFUSING.set(0)
            return acknowledged.seq

        return await self.guard(f"publish {subject}", send)

    def _note_refusal(self, began: float, error: Exception) -> None:
        if self._refused_since is None:
            self._refused_since = began
        self._refused_at = asyncio.get_running_loop().time()
        self._refusal = text_of(error)
        REFUSING.set(1)

    async def check_writable(self) -> None:
        """Unavailable unless the log is connected and stores events; says why not. Writes nothing.

        Two proofs together: no stream that this process uses has been disabled by a failed write (see
        `topology.write_error`), whoever's write that was; and what this process itself publishes has not been
        refused for more than `REFUSED_AFTER` seconds, for whatever reason (a limit, say).
        """
        if not self.is_connected:
            raise Unavailable("the event log is away")
        names = [spec.name for spec in self._streams] + [f"KV_{name}" for name in self._buckets]
        try:
            checks = (topology.write_error(self.client, name, within=_CHECK_BUDGET) for name in names)
            reasons = await asyncio.gather(*checks)
        except NATS_ERRORS as error:
            raise Unavailable("the event log does not answer") from error
        for name, reason in zip(names, reasons, strict=True):
            if reason:
                raise Unavailable(
                    f"the event log stores nothing in {name} since a write failed ({reason}): "
                    "restart nats-server once its disk has room"
                )
        now = asyncio.get_running_loop().time()
        since = self._refused_since
        if since is not None and now - since > REFUSED_AFTER and now - self._refused_at < _STILL_REFUSED:
            raise Unavailable(f"the event log has stored nothing for {now - since:.0f} s: {self._refusal}")

    check_ready = check_writable

    async def tail(
        self, subjects: Sequence[str] = (">",), *, after: int | None = None
    ) -> AsyncIterator[Event]:
        """Events in the order of the log, without acknowledgement: those after that sequence, then new ones.

        `after=None`: what is published from now on; "now" is when this call returns. A lost connection
        leaves no gap. Close the iterator (`aclose`) when done.
        """
        if after is None:
            info = await self.guard("read the log's end", lambda: self.js.stream_info(topology.STREAM))
            after = info.state.last_seq
        return LogReader(self, topology.STREAM, subjects, after).events()

    async def read(self, stream: str) -> AsyncIterator[Event]:
        """What a stream holds by now, in its order; ends there.

        Raises:
            NotFound: there is no such stream.
        """
        end = await self.last(stream)
        if end is None:
            return
        events = LogReader(self, stream, [">"], 0).events()
        try:
            async for event in events:
                yield event
                if event.sequence >= end.sequence:
                    return
        finally:
            await events.aclose()  # type: ignore[attr-defined]  # it is a generator

    async def last(self, stream: str, subject: str = ">") -> Event | None:
        """The last event of a stream, or under a subject; None: it has none. NotFound: no such stream."""

        async def find() -> Event | None:
            try:
                await self.js.stream_info(stream)
            except NotFoundError as error:
                raise NotFound(f"the event log at {self._url} has no stream {stream}") from error
            try:
                found = await self.js.get_last_msg(stream, subject)
            except NotFoundError:
                return None
            type_ = (found.headers or {}).get("ce-type", "")
            key = (found.subject or "").removeprefix(f"{type_}.")
            return Event(
                id=(found.headers or {}).get("ce-id", ""),
                type=type_,
                key=key,
                data=found.data or b"",
                sequence=found.seq or 0,
            )

        return await self.guard(f"read the end of {stream}", find)

    # Small shared values, and wake-ups ----------------------------------------------------------

    async def bucket(self, name: str, *, ttl: float | None = None) -> Bucket:
        """The bucket of that name, made when missing; values vanish `ttl` seconds after they were set."""
        if name not in self._buckets:
            config = api.KeyValueConfig(bucket=name, ttl=ttl, history=1, replicas=self._replicas)
            bucket = Bucket(self.js, config, self.guard)
            await self.guard(f"prepare bucket {name}", bucket.ensure)
            self._buckets[name] = bucket
        return self._buckets[name]

    async def signal(self, subject: str, data: bytes = b"") -> None:
        """Send to whoever listens now. Only a hint: lost, without an error, while the server is away."""
        try:
            await self.client.publish(subject, data)
        except NATS_ERRORS as error:
            self._log.debug("signal lost", subject=subject, error=str(error))

    async def listen(
        self, subject: str, callback: Callable[[str, bytes], Any]
    ) -> Callable[[], Awaitable[None]]:
        """Call `callback(subject, data)` (plain or async) at each signal; answers how to stop listening."""

        async def receive(message: Msg) -> None:
            result = callback(message.subject, message.data)
            if asyncio.iscoroutine(result):
                await result

        subscription = await self.client.subscribe(subject, cb=receive)

        async def end() -> None:
            with contextlib.suppress(*NATS_ERRORS):  # the connection may be lost already
                await subscription.unsubscribe()

        return end
