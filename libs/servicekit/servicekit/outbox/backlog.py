"""Measures the backlog of the outbox, apart from the relay: it matters most when the relay is stuck."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog
from prometheus_client import Gauge
from sqlalchemy import Table, bindparam, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from servicekit.clock import Clock
from servicekit.outbox.tables import micros

WAITING = Gauge("rushes_outbox_waiting", "Events that are due and not published yet")
OLDEST = Gauge("rushes_outbox_oldest_seconds", "How long the oldest of them has been due")


@dataclass(frozen=True)
class Backlog:
    """Events that are due and not published, and for how many seconds the oldest of them has been due."""

    events: int
    oldest: float


class BacklogGauge:
    """A Part: sets the gauges every `every` seconds, also while the relay is stuck."""

    def __init__(self, engine: AsyncEngine, table: Table, clock: Clock, *, every: float) -> None:
        self._engine = engine
        self._due = select(func.count(), func.min(table.c.not_before)).where(
            table.c.published_at.is_(None), table.c.not_before <= bindparam("now")
        )
        self._clock = clock
        self._every = every
        self._log = structlog.get_logger("servicekit.outbox")
        self._loop: asyncio.Task[None] | None = None

    async def start(self) -> None:
        if self._loop is None:
            self._loop = asyncio.get_running_loop().create_task(self._run(), name="outbox backlog")

    async def stop(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.cancel()
            await asyncio.wait([loop], timeout=1.0)

    async def measure(self) -> Backlog:
        """The backlog now, as the database has it."""
        now = micros(self._clock.now())
        async with self._engine.connect() as connection:
            await connection.execution_options(read_only=True)
            events, since = (await connection.execute(self._due, {"now": now})).one()
        return Backlog(events, (now - since) / 1e6 if events else 0.0)

    async def _run(self) -> None:
        while True:
            try:
                backlog = await self.measure()
            except (SQLAlchemyError, OSError) as error:  # while it is away, nothing is appended either
                self._log.debug("backlog not measured", error=type(error).__name__)
            except Exception:  # noqa: BLE001  # a driver's own fault, say: nobody would restart this task
                self._log.exception("backlog not measured")
            else:
                WAITING.set(backlog.events)
                OLDEST.set(backlog.oldest)
            await asyncio.sleep(self._every)
