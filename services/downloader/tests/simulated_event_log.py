"""Simulates the event log by the rules of JetStream: redeliveries first, a bound in flight."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from dataclasses import dataclass, field, replace

from outages import Outage, OutageCase

from servicekit.errors import Conflict, Unavailable
from servicekit.events import Event
from servicekit.events.ack_policy import AckAction, decide


@dataclass
class SimulatedEventLog:
    """The event log: what is published, its buckets, and one durable consumer."""

    case: OutageCase
    max_in_flight: int
    slots: int
    ack_wait: float
    handlers: list = field(default_factory=list)
    published: dict[str, Event] = field(default_factory=dict)
    stream: list[Event] = field(default_factory=list)
    delivered: int = 0
    deliveries: Counter = field(default_factory=Counter)
    in_flight: set[int] = field(default_factory=set)
    redeliveries: deque[int] = field(default_factory=deque)
    leased: list[set[asyncio.Task]] = field(default_factory=list)
    entries: dict[str, tuple[str, int, float]] = field(default_factory=dict)
    revision: int = 0

    def outage(self) -> Outage | None:
        return self.case.until("log", asyncio.get_running_loop().time())

    async def reach(self) -> None:
        if self.outage():
            await asyncio.sleep(5.0)
            if self.outage():
                raise Unavailable("the log is away")

    async def publish(self, event: Event) -> None:
        await self.reach()
        self.published.setdefault(event.id, event)

    # The bucket of claims
    async def bucket(self, name: str, *, ttl: float) -> SimulatedEventLog:
        self.ttl = ttl
        return self

    async def get(self, key: str) -> tuple[str, int] | None:
        await self.reach()
        found = self.entries.get(key)
        return found[:2] if found and asyncio.get_running_loop().time() < found[2] + self.ttl else None

    async def create(self, key: str, value: str) -> int:
        if await self.get(key) is not None:
            raise Conflict("taken")
        return self._put(key, value)

    async def update(self, key: str, value: str, *, revision: int) -> int:
        if (found := await self.get(key)) is None or found[1] != revision:
            raise Conflict("changed")
        return self._put(key, value)

    async def delete(self, key: str, *, revision: int) -> None:
        await self.reach()
        self.entries.pop(key, None)

    def _put(self, key: str, value: str) -> int:
        self.revision += 1
        self.entries[key] = (value, self.revision, asyncio.get_running_loop().time())
        return self.revision

    # The consumer
    def add(self, event: Event) -> None:
        self.stream.append(replace(event, sequence=len(self.stream)))
        self.deliver()

    def deliver(self) -> None:
        """Hand out what there is to whoever has room: redeliveries first, and first come, first served."""
        if self.outage():
            return
        while room := [replica for replica in self.leased if len(replica) < self.slots]:
            if self.redeliveries:
                number = self.redeliveries.popleft()
            elif self.delivered < len(self.stream) and len(self.in_flight) < self.max_in_flight:
                number, self.delivered = self.delivered, self.delivered + 1
                self.in_flight.add(number)
            else:
                return
            self.deliveries[number] += 1
            replica = min(room, key=len)
            event = replace(self.stream[number], deliveries=self.deliveries[number])
            task = asyncio.ensure_future(self._handle(event, self.handlers[self.leased.index(replica)]))
            replica.add(task)
            task.add_done_callback(replica.discard)
            task.add_done_callback(lambda done: done.result() or self.deliver())

    async def _handle(self, event: Event, handler) -> None:
        delay = 0.0
        try:
            await handler(event)
            acked = True
        except Exception as error:  # as the consumer does
            verdict = decide(error, errors=event.deliveries, max_internal_errors=10)
            if verdict.action is AckAction.DEAD_LETTER:
                raise
            acked, delay = verdict.action is AckAction.ACK, verdict.delay
        if (outage := self.outage()) is not None:
            patience = asyncio.get_running_loop().time() + 5 * self.ack_wait
            await asyncio.sleep(min(outage.end, patience) - asyncio.get_running_loop().time() + 0.1)
            if self.outage():  # not received: the lease runs out after the log is back
                acked, delay = False, outage.end - asyncio.get_running_loop().time() + self.ack_wait
        if acked:
            self.in_flight.discard(event.sequence)
        else:
            asyncio.get_running_loop().call_later(delay, self._redeliver, event.sequence)

    def _redeliver(self, number: int) -> None:
        self.redeliveries.append(number)
        self.deliver()
