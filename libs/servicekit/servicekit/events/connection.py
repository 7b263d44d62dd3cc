"""A process's connection to NATS: it survives restarts of the server, and repeats what they interrupt."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import nats.errors
import structlog
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.errors import (
    BadRequestError,
    InvalidKeyError,
    KeyValueError,
    NoStreamResponseError,
    NotFoundError,
)
from prometheus_client import Gauge

from servicekit.errors import Precondition, Unavailable
from servicekit.events import topology
from servicekit.events.nats_errors import NATS_ERRORS, text_of

AWAY = Gauge("rushes_event_log_away", "1 while this process has no connection to the event log")

T = TypeVar("T")

_ATTEMPT = 3.0
"""Seconds one request to JetStream may take before it is sent again; publishing twice is harmless."""

_STREAM_MISSING = (NotFoundError, NoStreamResponseError, nats.errors.NoRespondersError)
"""What the server answers when it has lost a stream: a fresh disk, or JetStream that is still coming up."""


class Connection:
    """A connection and the streams behind it, which are applied again after each reconnect.

    Args:
        url: "nats://host:port", or several joined by commas.
        name: the connection's name at the server.
        streams: those that this process writes to or reads from.
        replicas: the servers that have each stream, in a cluster.
        patience: seconds that `start` and `guard` wait for a server that is away.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        streams: Sequence[topology.StreamSpec],
        replicas: int,
        patience: float,
    ) -> None:
        self._url = url
        self._name = name
        self._patience = patience
        self._streams = tuple(streams)
        self._replicas = replicas
        self._log = structlog.get_logger("servicekit.events")
        self._client: Client | None = None
        self._connected = asyncio.Event()
        self._js: JetStreamContext | None = None
        self._in_flight: set[asyncio.Timeout] = set()
        """Requests whose answer cannot come any more once the connection is lost."""
        self._restoring: asyncio.Task[None] | None = None
        self._on_restored: list[Callable[[], None]] = []
        self._stopping = False

    # Lifecycle ----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect and create the streams; Unavailable when there is no server in time."""
        if self._client is not None:
            return
        self._stopping = False
        self._client = await self._connect()
        self._set_connected()
        await self.guard("prepare the streams", self._apply_streams)

    async def stop(self) -> None:
        """Flush what is written, and disconnect. Stop consumers and relays first."""
        self._stopping = True
        client, self._client, self._js = self._client, None, None
        if self._restoring is not None:
            self._restoring.cancel()
        if client is None or client.is_closed:
            return
        try:
            await client.drain()
        except NATS_ERRORS:  # the server is away: there is nothing to flush to
            # `close` writes what is still buffered, also to a connection that is closed already.
            with contextlib.suppress(*NATS_ERRORS):
                await client.close()

    async def _connect(self) -> Client:
        client = Client()
        connecting = client.connect(
            servers=[address.strip() for address in self._url.split(",")],
            name=self._name,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.2,  # type: ignore[arg-type]  # nats-py says int and takes any number
            connect_timeout=3,
            ping_interval=5,
            max_outstanding_pings=2,
            drain_timeout=3,
            disconnected_cb=self._disconnected,
            reconnected_cb=self._reconnected,
            error_cb=self._connection_error,
        )
        try:
            await asyncio.wait_for(connecting, self._patience)
        except NATS_ERRORS as error:
            await client.close()
            raise Unavailable(
                f"no NATS server answers at {self._url} within {self._patience:g} s: "
                "start it (rushes up, or nats-server -js), or correct NATS_URL"
            ) from error
        return client

    async def _apply_streams(self) -> None:
        for spec in self._streams:
            await topology.apply_stream(self.js, spec, self._replicas)

    async def _disconnected(self) -> None:
        self._connected.clear()
        AWAY.set(0 if self._stopping else 1)
        now = asyncio.get_running_loop().time()
        for request in self._in_flight:
            request.reschedule(now)
        self._in_flight.clear()
        if not self._stopping:
            self._log.warning("event log away")

    async def _reconnected(self) -> None:
        self._log.info("event log back")
        self._set_connected()
        if self._restoring is None or self._restoring.done():
            self._restoring = asyncio.get_running_loop().create_task(self._restore())

    def _set_connected(self) -> None:
        self._connected.set()
        AWAY.set(0)

    async def _connection_error(self, error: Exception) -> None:
        self._log.debug("event log connection", error=text_of(error))

    async def _restore(self) -> None:
        """After a reconnect the server may have come back without its data: apply the streams again."""
        while not self._stopping:
            try:
                await self._apply_streams()
            except (*NATS_ERRORS, Precondition) as error:
                self._log.warning("event log not restored yet", error=str(error))
                await asyncio.sleep(0.5)
            else:
                break
        for callback in self._on_restored:
            callback()

    # For whoever works on the connection --------------------------------------------------------

    @property
    def client(self) -> Client:
        """nats-py's client; Unavailable before `start` and after `stop`."""
        if self._client is None:
            raise Unavailable("the event log is not started")
        return self._client

    @property
    def js(self) -> JetStreamContext:
        """JetStream on the connection; Unavailable as for `client`."""
        client = self.client
        if self._js is None:
            self._js = client.jetstream(timeout=_ATTEMPT)
        return self._js

    @property
    def is_connected(self) -> bool:
        """Whether the server is there right now. Whether it also stores events: `EventLog.check_writable`."""
        return self._client is not None and self._client.is_connected

    async def connected(self) -> None:
        """Wait until the server is there."""
        await self._connected.wait()

    def on_restored(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back after each reconnect, once the streams are there again; answers how to unsubscribe."""
        self._on_restored.append(callback)
        return lambda: self._on_restored.remove(callback)

    async def guard(self, what: str, work: Callable[[], Awaitable[T]]) -> T:
        """Do `work`, again and again over reconnects, within the connection's patience; then Unavailable.

        An answer that another attempt cannot change (a refused value, a lost race) is raised as it is.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience
        pause = 0.05
        while True:
            if self._client is None:
                raise Unavailable(f"cannot {what}: the event log is not started, or stopped")
            try:
                if not self._connected.is_set():
                    async with asyncio.timeout_at(deadline):
                        await self._connected.wait()
                return await self.unless_lost(work())
            except NATS_ERRORS as error:
                if _is_final(error):
                    raise
                if loop.time() + pause >= deadline:
                    raise Unavailable(f"cannot {what}: {text_of(error)} (NATS at {self._url})") from error
                if isinstance(error, _STREAM_MISSING):
                    with contextlib.suppress(*NATS_ERRORS):  # the next attempt shows whether it helped
                        await self._apply_streams()
            await asyncio.sleep(pause)
            pause = min(pause * 2, 1.0)

    async def unless_lost(self, work: Awaitable[T]) -> T:
        """Await `work`, but no longer than the connection lives: its answer would never come."""
        try:
            async with asyncio.timeout(None) as request:
                self._in_flight.add(request)
                return await work
        except TimeoutError as error:
            if request.expired():
                raise ConnectionError("the connection was lost before the answer") from error
            raise
        finally:
            self._in_flight.discard(request)


def _is_final(error: BaseException) -> bool:
    """A refusal that stays the same in every attempt (bad request, lost race)."""
    if getattr(error, "err_code", None) == topology.NO_PEERS:
        return False  # the cluster may get more servers yet
    return isinstance(error, BadRequestError | KeyValueError | InvalidKeyError)
