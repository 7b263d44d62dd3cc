"""Counts the backlog of the outbox, apart from the relay: it matters most when the relay is stuck."""

from __future__ import annotations

import asyncio

import structlog
from prometheus_client import Gauge
from sqlalchemy import Table, bindparam, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from servicekit.clock import Clock
from servicekit.outbox.tables import micros

BACKLOG = Gauge("rushes_outbox_waiting", "Events that are due and not published yet")


class BacklogGauge:
    """A Part: sets the gauge every `every` seconds, whatever the relay does. Postponed events are not due."""

    def __init__(self, engine: AsyncEngine, table: Table, clock: Clock, *, every: float) -> None:
        self._engine = engine
        self._due = (
            select(func.count())
            .select_from(table)
            .where(table.c.published_at.is_(None), table.c.not_before <= bindparam("now"))
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

    async def count(self) -> int:
        """Events that are due and not published, now."""
        async with self._engine.connect() as connection:
            await connection.execution_options(read_only=True)
            found = await connection.execute(self._due, {"now": micros(self._clock.now())})
            return int(found.scalar_one())

    async def _run(self) -> None:
        while True:
            try:
                BACKLOG.set(await self.count())
            except (
                SQLAlchemyError,
                OSError,
            ) as error:  # the gauge stays as it is; while the database is away nothing is appended
                self._log.debug("backlog not counted", error=type(error).__name__)
            except Exception:  # noqa: BLE001  # a driver's own fault, say: nobody would restart this task
                self._log.exception("backlog not counted")
            await asyncio.sleep(self._every)
