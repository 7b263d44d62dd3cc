"""What the event log asks of the generator: generations to make, to fetch once more, and to stop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from generator.core.runs.cancel_generation import cancel
from generator.core.runs.run_generation import Request, generate
from generator.core.runs.track_prediction import Ports
from rushes.events.v1 import events_pb2
from servicekit.errors import Unauthenticated, Unavailable
from servicekit.events import Consumer, ConsumerSpec, Event, EventLog


def consumers(log: EventLog, ports: Ports, *, provider: str, concurrency: int) -> list[Consumer]:
    """The consumers of one provider's lane; at most `concurrency` generations in hand over all replicas.

    What is paid for and only to be fetched once more does not stand in their queue.
    """
    requests = Requests(ports)
    name = f"generator-{provider}"
    return [
        Consumer(
            log,
            ConsumerSpec(
                name,
                (f"generation.requested.{provider}.>",),
                slots=concurrency,
                max_in_flight=concurrency,
            ),
            {"generation.requested": requests.requested},
        ),
        Consumer(
            log,
            ConsumerSpec(f"{name}-fetch", (f"generation.fetch_requested.{provider}.>",)),
            {"generation.fetch_requested": requests.fetch_requested},
        ),
        Consumer(
            log,
            ConsumerSpec(f"{name}-cancel", (f"generation.cancel_requested.{provider}.>",)),
            {"generation.cancel_requested": requests.cancel_requested},
        ),
    ]


class Requests:
    """Handlers: return when nothing more is to do, raise what says when to come back."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    async def requested(self, event: Event) -> None:
        """`generation.requested`."""
        message = events_pb2.GenerationRequested.FromString(event.data)
        asked = Request(
            message.generation_id,
            number=max(message.round, 1),
            fresh=event.lease.fresh,
            assets=tuple(message.asset_ids),
        )
        async with at_the_door(self._ports):
            await generate(self._ports, asked)

    async def fetch_requested(self, event: Event) -> None:
        """`generation.fetch_requested`."""
        message = events_pb2.GenerationFetchRequested.FromString(event.data)
        asked = Request(message.generation_id, number=max(message.round, 1), fresh=event.lease.fresh)
        async with at_the_door(self._ports):
            await generate(self._ports, asked)

    async def cancel_requested(self, event: Event) -> None:
        """`generation.cancel_requested`."""
        message = events_pb2.GenerationCancelRequested.FromString(event.data)
        async with at_the_door(self._ports):
            await cancel(self._ports, message.generation_id)


@asynccontextmanager
async def at_the_door(ports: Ports) -> AsyncIterator[None]:
    """Our token or our credit was refused, wherever: that closes the lane, and ends no request of anybody's.

    Raises:
        Unavailable: come back when the lane is probed next.
    """
    try:
        yield
    except Unauthenticated as error:
        await ports.lane.close(error.message)
        raise Unavailable(error.message, retry_after=ports.lane.probe_every) from error
