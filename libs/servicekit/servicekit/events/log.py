"""The connection to the event log: publishes facts and waits until they are stored, survives restarts."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

import nats
import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext, api
from nats.js.errors import (
    BadRequestError,
    InvalidKeyError,
    KeyValueError,
    NoStreamResponseError,
    NotFoundError,
)

from servicekit import telemetry
from servicekit.clock import Clock
from servicekit.errors import Invalid, Precondition, Unavailable
from servicekit.events import topology
from servicekit.events.bucket import Bucket
from servicekit.events.event import Event, check, to_headers
from servicekit.events.tail import open_tail
from servicekit.events.troubles import TROUBLE

T = TypeVar("T")

_ATTEMPT = 3.0
"""Seconds one request to JetStream may take before it is sent again; publishing twice is harmless."""

_GONE = (NotFoundError, NoStreamResponseError, nats.errors.NoRespondersError)
"""What the server says when it has lost a stream: a fresh disk, or JetStream that is still coming up."""


class EventLog:
    """One connection to NATS, for a whole process.

    Args:
        url: "nats://host:port", or several joined by commas.
        service: who speaks: `ce-source` of what is published, and the connection's name at the server.
        clock: the time written into events. (Waiting is done in real time.)
        replicas: copies of each stream: 1 on a single server, 3 in a cluster.
        patience: seconds that `start`, `publish` and buckets wait for a server that is away.
    """

    def __init__(
        self, url: str, *, service: str, clock: Clock, replicas: int = 1, patience: float = 30.0
    ) -> None:
        self._url = url
        self._service = service
        self._clock = clock
        self._patience = patience
        self._replicas = replicas
        self._streams = topology.streams(replicas)
        self._log = structlog.get_logger("servicekit.events")
        self._client: Client | None = None
        self._connected = asyncio.Event()
        self._js: JetStreamContext | None = None
        self._waiting: set[asyncio.Timeout] = set()
        """Who waits for an answer on the connection: in vain, when it goes."""
        self._buckets: dict[str, Bucket] = {}
        self._restoring: asyncio.Task[None] | None = None
        self._on_restored: list[Callable[[], None]] = []
        self._stopping = False

    # Lifecycle ----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect and bring the streams into being; Unavailable when there is no server in time."""
        if self._client is not None:
            return
        self._stopping = False
        self._client = await self._connect()
        self._connected.set()
        await self.guard("prepare the streams", self._apply_streams)

    async def stop(self) -> None:
        """Hand over what is written, and disconnect. Stop consumers and relays first."""
        self._stopping = True
        client, self._client, self._js = self._client, None, None
        if self._restoring is not None:
            self._restoring.cancel()
        if client is None or client.is_closed:
            return
        try:
            await client.drain()
        except TROUBLE:  # away: there is nothing to hand over to
            with contextlib.suppress(*TROUBLE):  # it writes what it still has, also to a closed connection
                await client.close()

    async def _connect(self) -> Client:
        client = Client()
        connecting = client.connect(
            servers=[address.strip() for address in self._url.split(",")],
            name=self._service,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.2,  # type: ignore[arg-type]  # nats-py says int and takes any number
            connect_timeout=3,
            ping_interval=5,
            max_outstanding_pings=2,
            drain_timeout=3,
            disconnected_cb=self._disconnected,
            reconnected_cb=self._reconnected,
            error_cb=self._failed,
        )
        try:
            await asyncio.wait_for(connecting, self._patience)
        except TROUBLE as error:
            await client.close()
            raise Unavailable(
                f"no NATS server answers at {self._url} within {self._patience:g} s: "
                "start it (rushes up, or nats-server -js), or correct NATS_URL"
            ) from error
        return client

    async def _apply_streams(self) -> None:
        for spec in self._streams:
            await topology.apply_stream(self.js, spec)

    async def _disconnected(self) -> None:
        self._connected.clear()
        now = asyncio.get_running_loop().time()
        for waiting in self._waiting:
            waiting.reschedule(now)
        self._waiting.clear()
        if not self._stopping:
            self._log.warning("event log away")

    async def _reconnected(self) -> None:
        self._log.info("event log back")
        self._connected.set()
        if self._restoring is None or self._restoring.done():
            self._restoring = asyncio.get_running_loop().create_task(self._restore())

    async def _failed(self, error: Exception) -> None:
        self._log.debug("event log connection", error=str(error) or type(error).__name__)

    async def _restore(self) -> None:
        """After a reconnect the server may have come back without its data: apply the topology again."""
        while not self._stopping:
            try:
                await self._apply_streams()
                for bucket in self._buckets.values():
                    await bucket.ensure()
            except (*TROUBLE, Precondition) as error:
                self._log.warning("event log not restored yet", error=str(error))
                await asyncio.sleep(0.5)
            else:
                break
        for callback in self._on_restored:
            callback()

    # For consumers and relays -------------------------------------------------------------------

    @property
    def client(self) -> Client:
        """The connection; Unavailable before `start` and after `stop`."""
        if self._client is None:
            raise Unavailable("the event log is not started")
        return self._client

    @property
    def js(self) -> JetStreamContext:
        """JetStream on the connection."""
        client = self.client
        if self._js is None:
            self._js = client.jetstream(timeout=_ATTEMPT)
        return self._js

    @property
    def is_connected(self) -> bool:
        """Whether the server is there right now: for readiness."""
        return self._client is not None and self._client.is_connected

    async def connected(self) -> None:
        """Wait until the server is there."""
        await self._connected.wait()

    def on_restored(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back after each reconnect, once the streams are there again; answers how to unsubscribe."""
        self._on_restored.append(callback)
        return lambda: self._on_restored.remove(callback)

    async def guard(self, what: str, work: Callable[[], Awaitable[T]]) -> T:
        """Do `work`, again and again over reconnects, within the log's patience; then Unavailable.

        An answer that another try cannot change (a refused value, a lost race) is raised as it is.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience
        pause = 0.05
        while True:
            try:
                if not self._connected.is_set():
                    async with asyncio.timeout_at(deadline):
                        await self._connected.wait()
                return await self.unless_lost(work())
            except TROUBLE as error:
                if _is_final(error):
                    raise
                if loop.time() + pause >= deadline or self._client is None:
                    raise Unavailable(f"cannot {what}: {_text(error)} (NATS at {self._url})") from error
                if isinstance(error, _GONE):
                    with contextlib.suppress(*TROUBLE):  # the next round tells whether it helped
                        await self._apply_streams()
            await asyncio.sleep(pause)
            pause = min(pause * 2, 1.0)

    async def unless_lost(self, work: Awaitable[T]) -> T:
        """Await `work`, but no longer than the connection lives: its answer would never come."""
        try:
            async with asyncio.timeout(None) as waiting:
                self._waiting.add(waiting)
                return await work
        except TimeoutError as error:
            if waiting.expired():
                raise ConnectionError("the connection was lost before the answer") from error
            raise
        finally:
            self._waiting.discard(waiting)

    # Facts --------------------------------------------------------------------------------------

    async def publish(self, event: Event) -> int:
        """Store the fact; answers its sequence, also when the log had it already (same id).

        Raises:
            Invalid: the event could not be stored as it is.
            Unavailable: not acknowledged within the log's patience; publishing again is harmless.
        """
        check(event)
        if event.type.split(".", 1)[0] not in topology.ENTITIES:
            raise Invalid(
                f"event {event.id}: no stream stores {event.subject}; see servicekit.events.topology"
            )
        traceparent = event.traceparent or telemetry.inject().get("traceparent", "")
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
            try:
                acknowledged = await self.js.publish(subject, data, headers=headers)
            except nats.errors.MaxPayloadError as error:
                raise Invalid(
                    f"{subject}: {len(data)} bytes are more than the server takes in a message"
                ) from error
            return acknowledged.seq

        return await self.guard(f"publish {subject}", send)

    async def tail(
        self, subjects: Sequence[str] = (">",), *, after: int | None = None
    ) -> AsyncIterator[Event]:
        """Facts in the order of the log, without acknowledgement: those after that sequence, then new ones.

        `after=None`: what is published from now on; "now" is when this call returns. A lost connection
        leaves no gap. Close the iterator (`aclose`) when done.
        """
        return await open_tail(self, subjects, after=after)

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
        """Tell whoever listens now; nobody may. Never raises for a server that is away: it is only a hint."""
        try:
            await self.client.publish(subject, data)
        except TROUBLE as error:
            self._log.debug("signal lost", subject=subject, error=str(error))

    async def listen(
        self, subject: str, callback: Callable[[str, bytes], Any]
    ) -> Callable[[], Awaitable[None]]:
        """Call `callback(subject, data)` (plain or async) at each signal; answers how to stop listening."""

        async def receive(message: Msg) -> None:
            answer = callback(message.subject, message.data)
            if asyncio.iscoroutine(answer):
                await answer

        subscription = await self.client.subscribe(subject, cb=receive)

        async def end() -> None:
            with contextlib.suppress(*TROUBLE):  # the connection has gone first
                await subscription.unsubscribe()

        return end


def _is_final(error: BaseException) -> bool:
    """A refusal that stays the same however often it is asked (bad request, lost race)."""
    return isinstance(error, BadRequestError | KeyValueError | InvalidKeyError)


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__
