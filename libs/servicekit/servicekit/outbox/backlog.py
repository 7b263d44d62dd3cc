"""Measures the backlog of the outbox."""

from __future__ import annotations

from dataclasses import dataclass

import structlog
from prometheus_client import Gauge
from sqlalchemy import Table, bindparam, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from servicekit.clock import Clock
from servicekit.outbox.tables import micros

WAITING = Gauge("rushes_outbox_waiting_events", "Events that are due and not published yet")
OLDEST = Gauge("rushes_outbox_oldest_seconds", "How long the oldest event in the outbox has been due")


@dataclass(frozen=True)
class Backlog:
    """Events that are due and not published, and for how many seconds the oldest of them has been due."""

    events: int
    oldest: float


class BacklogMeter:
    """Counts what is due in an outbox table."""

    def __init__(self, engine: AsyncEngine, table: Table, clock: Clock) -> None:
        self._engine = engine
        self._due = select(func.count(), func.min(table.c.not_before)).where(
            table.c.published_at.is_(None), table.c.not_before <= bindparam("now")
        )
        self._clock = clock
        self._log = structlog.get_logger("servicekit.outbox")

    async def measure(self) -> Backlog:
        """The backlog now, as the database has it."""
        now = micros(self._clock.now())
        async with self._engine.connect() as connection:
            await connection.execution_options(read_only=True)
            events, since = (await connection.execute(self._due, {"now": now})).one()
        return Backlog(events, (now - since) / 1e6 if events else 0.0)

    async def set_gauges(self) -> None:
        """Measure, and set the gauges. While the database is away they stay: nothing is appended either."""
        try:
            backlog = await self.measure()
        except (SQLAlchemyError, OSError) as error:
            self._log.debug("backlog not measured", error=type(error).__name__)
        else:
            WAITING.set(backlog.events)
            OLDEST.set(backlog.oldest)
