"""Consumes the events that request generations to be run, to be fetched once more, or to be stopped."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from generator.core.runs.cancel_generation import cancel_generation
from generator.core.runs.ports import RunPorts
from generator.core.runs.run_generation import GenerationRequest, run_generation
from rushes.events.v1 import events_pb2
from servicekit.errors import Unauthenticated, Unavailable
from servicekit.events import Consumer, ConsumerSpec, Event, EventLog


def consumers(log: EventLog, ports: RunPorts, *, provider: str, concurrency: int) -> list[Consumer]:
    """The consumers for one provider; at most `concurrency` generations in hand over all replicas.

    What is paid for and only to be fetched once more does not stand in their queue.
    """
    handlers = GenerationHandlers(ports)
    name, subject = f"generator-{provider}", f"generation.requested.{provider}.>"
    runs = ConsumerSpec(name, (subject,), slots=concurrency, max_in_flight=concurrency)
    fetches = ConsumerSpec(f"{name}-fetch", (f"generation.fetch_requested.{provider}.>",))
    cancels = ConsumerSpec(f"{name}-cancel", (f"generation.cancel_requested.{provider}.>",))
    return [
        Consumer(log, runs, {"generation.requested": handlers.requested}),
        Consumer(log, fetches, {"generation.fetch_requested": handlers.fetch_requested}),
        Consumer(log, cancels, {"generation.cancel_requested": handlers.cancel_requested}),
    ]


class GenerationHandlers:
    """One handler for each event; each returns when nothing more is to do, or raises when to come back."""

    def __init__(self, ports: RunPorts) -> None:
        self._ports = ports

    async def requested(self, event: Event) -> None:
        await self._run(event, event.message(events_pb2.GenerationRequested))

    async def fetch_requested(self, event: Event) -> None:
        await self._run(event, event.message(events_pb2.GenerationFetchRequested))

    async def _run(
        self, event: Event, message: events_pb2.GenerationRequested | events_pb2.GenerationFetchRequested
    ) -> None:
        assets = message.asset_ids if isinstance(message, events_pb2.GenerationRequested) else ()
        request = GenerationRequest(
            message.generation_id, max(message.round, 1), event.lease.fresh, tuple(assets)
        )
        async with trip_breaker_on_refusal(self._ports):
            await run_generation(self._ports, request)

    async def cancel_requested(self, event: Event) -> None:
        message = event.message(events_pb2.GenerationCancelRequested)
        async with trip_breaker_on_refusal(self._ports):
            await cancel_generation(self._ports, message.generation_id)


@asynccontextmanager
async def trip_breaker_on_refusal(ports: RunPorts) -> AsyncIterator[None]:
    """Our token or our credit was refused, by whatever call: that trips the breaker, and ends no request.

    Raises:
        Unavailable: come back at the next probe.
    """
    try:
        yield
    except Unauthenticated as error:
        await ports.limiter.trip(error.message)
        raise Unavailable(error.message, retry_after=ports.limiter.probe_every) from error
