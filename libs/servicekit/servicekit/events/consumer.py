"""A durable consumer: takes what it has room for, keeps it alive meanwhile, settles it by its outcome."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from nats.aio.msg import Msg
from prometheus_client import Counter, Gauge

from servicekit import telemetry
from servicekit.errors import AppError, Unavailable
from servicekit.events import topology
from servicekit.events.event import Event, from_message
from servicekit.events.lease import DeliveryLease
from servicekit.events.log import EventLog
from servicekit.events.outcome import Action, Decision, Later, decide
from servicekit.events.pull import Pull
from servicekit.events.settle import Settler
from servicekit.events.topology import ConsumerSpec
from servicekit.events.troubles import TROUBLE

Handler = Callable[[Event], Awaitable[None]]
"""Returns: acknowledged. Raises: see `servicekit.events.outcome`."""

STOP_BUDGET = 4.0
"""Seconds the handlers may take to finish when the consumer stops; the others' events are given back."""

HANDLED = Counter("rushes_events_handled", "Deliveries handled, by outcome", ["consumer", "type", "outcome"])
IN_FLIGHT = Gauge("rushes_events_in_flight", "Events being handled", ["consumer"])


class Consumer:
    """One durable consumer in this replica.

    Args:
        handlers: by event type. An event of a type without a handler is acknowledged and counted as ignored.
        stop_budget: seconds for running handlers at stop.
    """

    def __init__(
        self,
        log: EventLog,
        spec: ConsumerSpec,
        handlers: Mapping[str, Handler],
        *,
        stop_budget: float = STOP_BUDGET,
    ) -> None:
        self._events = log
        self._spec = spec
        self._handlers = dict(handlers)
        self._stop_budget = stop_budget
        self._log = structlog.get_logger("servicekit.events").bind(consumer=spec.name)
        self._running: set[asyncio.Task[None]] = set()
        self._loop: asyncio.Task[None] | None = None
        self._pull: Pull | None = None
        self._wake = asyncio.Event()
        self._stopping = False
        self._declared = False
        self._taken = 0
        self._unsubscribe: Callable[[], None] = lambda: None

    # Lifecycle ----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Declare the durable and begin to take events."""
        if self._loop is not None:
            return
        self._stopping = False
        await self._open()
        self._unsubscribe = self._events.on_restored(self._doubt)
        self._loop = asyncio.get_running_loop().create_task(self._run(), name=f"consumer {self._spec.name}")

    async def stop(self) -> None:
        """Take no more, let handlers finish within the budget, give the rest back for others at once."""
        self._stopping = True
        self._unsubscribe()
        self._unsubscribe = lambda: None
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.cancel()  # safe at any point: it only asks; what arrives, arrives at `_take`
            await asyncio.wait([loop])
        await self._close()

    async def _open(self) -> None:
        await self._declare()
        self._pull = Pull(
            self._events.client,
            topology.STREAM,
            self._spec.name,
            on_event=self._take,
            on_end=self._ended,
        )
        await self._pull.open()

    async def _declare(self) -> None:
        await self._events.guard(
            f"prepare consumer {self._spec.name}",
            lambda: topology.apply_consumer(self._events.js, self._spec),
        )
        self._declared = True

    async def _close(self) -> None:
        pull, self._pull = self._pull, None
        if pull is not None:
            await pull.close()  # what had been sent by then is given back by `_take`
        if self._running:
            await asyncio.wait(self._running, timeout=self._stop_budget)
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=1.5)

    # Taking -------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            try:
                if not self._declared:
                    await self._declare()
                await self._ask()
            except (*TROUBLE, AppError) as error:
                self._log.warning("cannot take events", error=str(error))
                self._declared = False
            except Exception:  # noqa: BLE001  # a driver's own fault, say: nobody would start this again
                self._log.exception("cannot take events")
                self._declared = False
            await self._pause(1.0)  # also without a wake-up: a request may have got lost

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)

    async def _ask(self) -> None:
        pull = self._pull
        if pull is None or not self._events.is_connected:
            return
        free = self._spec.slots - len(self._running) - pull.asked
        if free > 0:
            await pull.ask(free)

    async def run_once(self, *, wait: float = 0.0) -> int:
        """For tests, instead of `start`: handle what is there (at most `slots`), answer how many.

        `wait`: seconds to look again when nothing is there. Call `stop` at the end.
        """
        self._stopping = False
        if self._pull is None:
            await self._open()
        assert self._pull is not None  # noqa: S101  # for the type checker
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait
        while True:
            before = self._taken
            await self._pull.ask(self._spec.slots, wait=0)
            while self._pull.asked or self._running:
                self._wake.clear()
                await self._pause(0.05)
            if self._taken > before or loop.time() >= deadline:
                return self._taken - before
            await asyncio.sleep(0.02)

    def _doubt(self) -> None:
        """After a reconnect: the requests are lost, and perhaps the durable."""
        if self._pull is not None:
            self._pull.forget()
        self._declared = False
        self._wake.set()

    def _ended(self, reason: str) -> None:
        if reason:  # no wake-up: the loop looks again in a second, and does not spin on what stays so
            self._log.warning("events not given", reason=reason)
            self._declared = False
        else:
            self._wake.set()

    def _take(self, message: Msg) -> None:
        self._taken += 1
        task = asyncio.get_running_loop().create_task(self._handle(message))
        self._running.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            # Settling failed in a way nobody foresaw: the server delivers the event again after ack_wait.
            self._log.error("event neither settled nor lost", error=repr(error))

    # Handling -----------------------------------------------------------------------------------

    async def _handle(self, message: Msg) -> None:
        settler = Settler(self._events, message, self._spec)
        if self._stopping:
            await settler.give_back()
            return
        lease = DeliveryLease(self._spec.ack_wait, time.monotonic)
        event = from_message(message, lease=lease)
        handler = self._handlers.get(event.type)
        if handler is None:
            await self._count(event, "ignored", settler.ack())
            return
        beating = asyncio.get_running_loop().create_task(self._beat(settler, lease))
        IN_FLIGHT.labels(self._spec.name).inc()
        try:
            await self._attempt(event, handler, settler)
        except asyncio.CancelledError:  # the budget of `stop` is over: another replica may have it at once
            await self._count(event, "given_back", settler.give_back())
        finally:
            IN_FLIGHT.labels(self._spec.name).dec()
            beating.cancel()

    async def _attempt(self, event: Event, handler: Handler, settler: Settler) -> None:
        headers = {"traceparent": event.traceparent} if event.traceparent else {}
        attributes = {"event.id": event.id, "event.key": event.key, "consumer": self._spec.name}
        try:
            with telemetry.span(
                f"handle {event.type}", "consumer", parent=telemetry.extract(headers), attributes=attributes
            ):
                await handler(event)
        except Exception as error:  # noqa: BLE001  # whatever a handler raises has an outcome in the table
            decision = decide(error, deliveries=event.deliveries, patience=self._spec.patience)
            await self._fail(event, error, decision, settler)
        else:
            await self._count(event, "done", settler.ack())

    async def _fail(self, event: Event, error: Exception, decision: Decision, settler: Settler) -> None:
        about = {"type": event.type, "id": event.id, "deliveries": event.deliveries, "error": str(error)}
        expected = isinstance(error, AppError | Later)
        match decision.action:
            case Action.ACK:
                self._log.info("event already done", **about)
                await self._count(event, "already_done", settler.ack())
            case Action.LATER:
                say = self._log.info if expected else self._log.exception
                say("event later", delay=decision.delay, **about)
                await self._count(event, "later", settler.later(decision.delay))
            case Action.DEAD_LETTER:
                say = self._log.error if decision.alarm or not expected else self._log.warning
                say("event to dead letters", alarm=decision.alarm, **about)
                try:
                    await settler.dead_letter(event, error)
                except Unavailable as trouble:
                    self._log.warning("dead letter not stored: later", error=str(trouble))
                    await settler.later(decision.delay)
                else:
                    await self._count(event, "dead_letter")

    async def _count(self, event: Event, outcome: str, settling: Awaitable[Any] | None = None) -> None:
        if settling is not None:
            await settling
        HANDLED.labels(self._spec.name, event.type, outcome).inc()

    async def _beat(self, settler: Settler, lease: DeliveryLease) -> None:
        """Keep the delivery ours while the handler works; tell the lease what the server confirmed."""
        while True:
            await asyncio.sleep(self._spec.heartbeat)
            sent = time.monotonic()
            if await settler.beat():
                lease.confirm(sent)
