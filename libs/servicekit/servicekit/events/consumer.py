"""A durable consumer: pulls what it has room for, keeps the deliveries alive meanwhile, acknowledges them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from nats.aio.msg import Msg
from prometheus_client import Counter, Gauge, Histogram

from servicekit.errors import AppError, ErrorKind, Unavailable
from servicekit.events import topology
from servicekit.events.ack_policy import AckAction, AckDecision, ErrorCounts, RetryLater, decide, policy_of
from servicekit.events.acknowledge import DEAD_LETTERS, Acknowledger
from servicekit.events.event import Event, from_message
from servicekit.events.lease import DeliveryLease
from servicekit.events.log import EventLog
from servicekit.events.nats_errors import NATS_ERRORS
from servicekit.events.pull import Pull
from servicekit.events.topology import ConsumerSpec
from servicekit.process.lifecycle import Tasks
from servicekit.telemetry import subject, traces

Handler = Callable[[Event], Awaitable[None]]
"""Returns: acknowledged. Raises: see `servicekit.events.ack_policy`."""

STOP_BUDGET = 4.0
"""Seconds the handlers may take to finish when the consumer stops; the others' events are given back."""

MEASURE_EVERY = 5.0
"""Seconds between two reads of the lag."""

HANDLED = Counter("rushes_events_handled", "Deliveries handled, by outcome", ["consumer", "type", "outcome"])
SECONDS = Histogram(
    "rushes_event_seconds",
    "How long handlers took, with any outcome",
    ["consumer"],
    # An update of a record takes milliseconds, a run at the provider or a cut minutes.
    buckets=(0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0),
)
IN_FLIGHT = Gauge("rushes_events_in_flight", "Events that this process is handling", ["consumer"])
LAG = Gauge(
    "rushes_consumer_lag_events",
    "Events that a consumer has not done with, over all replicas: pending ones are not delivered yet, "
    "unacknowledged ones are in hand or wait for another try",
    ["consumer", "state"],
)


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
        self._errors = ErrorCounts()
        self._running: set[asyncio.Task[None]] = set()
        self._pulling: asyncio.Task[None] | None = None
        self._pull: Pull | None = None
        self._wake = asyncio.Event()
        self._stopping = False
        self._declared = False
        self._taken = 0
        self._unsubscribe: Callable[[], None] = lambda: None
        self._measuring = Tasks().every(MEASURE_EVERY, self._measure_lag, f"lag of {spec.name}")
        for kind in ErrorKind:  # from zero on: of a series that begins with 1 nobody sees that it grew
            DEAD_LETTERS.labels(spec.name, kind.value)

    # Lifecycle ----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Declare the durable and begin to take events."""
        if self._pulling is not None:
            return
        self._stopping = False
        await self._open()
        self._unsubscribe = self._events.on_restored(self._check_again)
        self._pulling = asyncio.get_running_loop().create_task(
            self._run(), name=f"consumer {self._spec.name}"
        )
        await self._measuring.start()

    async def stop(self) -> None:
        """Take no more, let handlers finish within the budget, give the rest back for others at once."""
        self._stopping = True
        await self._measuring.stop()
        self._unsubscribe()
        self._unsubscribe = lambda: None
        pulling, self._pulling = self._pulling, None
        if pulling is not None:
            pulling.cancel()  # safe at any point: it only sends requests; what arrives, arrives at `_take`
            await asyncio.wait([pulling])
        pull, self._pull = self._pull, None
        if pull is not None:
            await pull.close()  # what had been sent by then is given back in `_handle`
        if self._running:
            await asyncio.wait(self._running, timeout=self._stop_budget)
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=1.5)

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

    async def _measure_lag(self) -> None:
        """Set the gauge to what the server says. While the log is away it stays: so does the lag."""
        if not self._events.is_connected:
            return
        try:
            info = await self._events.js.consumer_info(topology.STREAM, self._spec.name)
        except (*NATS_ERRORS, AppError) as error:
            self._log.debug("lag not measured", error=str(error))
        else:
            LAG.labels(self._spec.name, "pending").set(info.num_pending or 0)
            LAG.labels(self._spec.name, "unacknowledged").set(info.num_ack_pending or 0)

    # Taking -------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            try:
                if not self._declared:
                    await self._declare()
                await self._request()
            except (*NATS_ERRORS, AppError) as error:
                self._log.warning("cannot take events", error=str(error))
                self._declared = False
            except Exception:  # noqa: BLE001  # a driver's own fault, say: nobody would restart this task
                self._log.exception("cannot take events")
                self._declared = False
            await self._wait_for_wake_up(1.0)  # also without a wake-up: a request may be lost

    async def _wait_for_wake_up(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)

    async def _request(self) -> None:
        pull = self._pull
        if pull is None or not self._events.is_connected:
            return
        free = self._spec.slots - len(self._running) - pull.requested
        if free > 0:
            await pull.request(free)

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
            await self._pull.request(self._spec.slots, wait=0)
            while self._pull.requested or self._running:
                self._wake.clear()
                await self._wait_for_wake_up(0.05)
            if self._taken > before or loop.time() >= deadline:
                return self._taken - before
            await asyncio.sleep(0.02)

    def _check_again(self) -> None:
        """After a reconnect: the requests are lost, and perhaps the durable."""
        if self._pull is not None:
            self._pull.forget()
        self._declared = False
        self._wake.set()

    def _ended(self, reason: str) -> None:
        if reason:  # no wake-up: `_run` requests again in a second, and does not spin on what stays so
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
            # A fault in acknowledging: the server delivers the event again after ack_wait.
            self._log.error("event not acknowledged: it is delivered again", error=repr(error))

    # Handling -----------------------------------------------------------------------------------

    async def _handle(self, message: Msg) -> None:
        delivery = Acknowledger(self._events, message, self._spec)
        if self._stopping:
            await delivery.nak()
            return
        lease = DeliveryLease(self._spec.ack_wait, time.monotonic)
        event = from_message(message, lease=lease)
        handler = self._handlers.get(event.type)
        if handler is None:
            await self._count(event, "ignored", delivery.ack())
            return
        heartbeat = asyncio.get_running_loop().create_task(self._heartbeat(delivery, lease))
        IN_FLIGHT.labels(self._spec.name).inc()
        try:
            with SECONDS.labels(self._spec.name).time():
                await self._run_handler(event, handler, delivery)
        except asyncio.CancelledError:  # the budget of `stop` is over: another replica may have it at once
            await self._count(event, "given_back", delivery.nak())
        finally:
            IN_FLIGHT.labels(self._spec.name).dec()
            heartbeat.cancel()

    async def _run_handler(self, event: Event, handler: Handler, delivery: Acknowledger) -> None:
        headers = {"traceparent": event.traceparent} if event.traceparent else {}
        attributes = {"event.id": event.id, "event.key": event.key, "consumer": self._spec.name}
        try:
            with traces.span(
                f"handle {event.type}", "consumer", parent=traces.extract(headers), attributes=attributes
            ):
                subject.bind({f"{kind}_id": id_ for kind, id_ in event.refs.items()})
                await handler(event)
        except Exception as error:  # noqa: BLE001  # whatever a handler raises has an outcome in the table
            errors = 0 if isinstance(error, RetryLater) else self._errors.add(event.id, policy_of(error))
            decision = decide(error, errors=errors, max_internal_errors=self._spec.max_internal_errors)
            await self._handle_error(event, error, decision, delivery)
        else:
            self._errors.forget(event.id)
            await self._count(event, "done", delivery.ack())

    async def _handle_error(
        self, event: Event, error: Exception, decision: AckDecision, delivery: Acknowledger
    ) -> None:
        about = {"type": event.type, "id": event.id, "deliveries": event.deliveries, "error": str(error)}
        expected = isinstance(error, AppError | RetryLater)
        match decision.action:
            case AckAction.ACK:
                self._log.info("event already done", **about)
                self._errors.forget(event.id)
                await self._count(event, "already_done", delivery.ack())
            case AckAction.RETRY_LATER:
                log = self._log.info if expected else self._log.exception
                log("event later", delay=decision.delay, **about)
                await self._count(event, "later", delivery.nak(decision.delay))
            case AckAction.DEAD_LETTER:
                log = self._log.error if decision.alarm or not expected else self._log.warning
                log("event to dead letters", alarm=decision.alarm, **about)
                try:
                    await delivery.dead_letter(event, error)
                except Unavailable as unavailable:
                    self._log.warning("dead letter not stored: later", error=str(unavailable))
                    await delivery.nak(decision.delay)
                else:
                    self._errors.forget(event.id)
                    await self._count(event, "dead_letter")

    async def _count(self, event: Event, outcome: str, acknowledging: Awaitable[Any] | None = None) -> None:
        if acknowledging is not None:
            await acknowledging
        known = event.type if event.type in self._handlers else "other"
        HANDLED.labels(self._spec.name, known, outcome).inc()

    async def _heartbeat(self, delivery: Acknowledger, lease: DeliveryLease) -> None:
        """Keep the delivery ours while the handler works, and prolong the lease when the server confirms."""
        while True:
            await asyncio.sleep(self._spec.heartbeat)
            sent = time.monotonic()
            if await delivery.in_progress():
                lease.confirm(sent)
