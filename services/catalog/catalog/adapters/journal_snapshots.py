"""Begins the journal of a database with a snapshot of every record, unless it has all of them already."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from catalog.adapters.db import tables as t
from catalog.adapters.journal.documents import FORM, JOURNAL, entry_of
from catalog.adapters.journal.repository import SqlJournal
from catalog.adapters.unit_of_work import EDITED, RECORD_TABLES, SqlUnitOfWork, app_errors
from catalog.core.journal.domain.entry import Entity, Entry, Snapshot, System, TimelineCarriedOver
from servicekit.clock import Clock
from servicekit.errors import Invalid
from servicekit.events import Event, EventLog
from servicekit.outbox.tables import micros

_AT_ONCE = 200
"""Records whose snapshots are in memory at the same time."""


class JournalSnapshots:
    """A `Part`: at start, writes a snapshot of every record if the journal cannot be relied on without them.

    That is so in a database from before the journal, and after a change of its form; when the log has lost
    its data; and when the journal knows more than the database: then a backup was restored, and the revisions
    from here on were used before.
    """

    def __init__(self, engine: AsyncEngine, log: EventLog, clock: Clock) -> None:
        self._engine = engine
        self._log = log
        self._clock = clock

    async def start(self) -> None:
        with app_errors():
            await self._begin_journal()

    async def _begin_journal(self) -> None:
        async with self._engine.begin() as connection:
            # One replica at a time: the next one sees what this one has written.
            query = select(t.system.c.id, t.system.c.journal_form).with_for_update()
            system_id, form = (await connection.execute(query)).one()
            if form == FORM and await self._is_begun(connection, system_id):
                last = await self._log.last(JOURNAL.name)
                if last is None or not await _is_ahead(connection, last):
                    return
            count = await self._write(connection)
        structlog.get_logger("catalog.journal").info("journal begun", form=FORM, before=form, records=count)

    async def stop(self) -> None:
        """Nothing to stop."""

    async def _is_begun(self, connection: AsyncConnection, system_id: str) -> bool:
        """Whether the first entry of a set of snapshots is in the log, or in the outbox on its way there."""
        waiting = select(t.outbox.c.id).where(
            t.outbox.c.published_at.is_(None), t.outbox.c.type == f"journal.{Entity.SYSTEM}"
        )
        # The outbox first: what a relay publishes meanwhile is in the log by then.
        if await connection.scalar(waiting.limit(1)):
            return True
        return bool(await self._log.last(JOURNAL.name, f"journal.{Entity.SYSTEM}.{system_id}"))

    async def _write(self, connection: AsyncConnection) -> int:
        now = self._clock.now()
        tables = RECORD_TABLES.values()
        highest = [await connection.scalar(select(func.max(table.c.revision))) for table in tables]
        # Ahead of every revision that any history of this database can have used.
        revision = max(micros(now), *(each or 0 for each in highest)) + 1
        for table in tables:  # first: it locks the rows, and what is read then stays so
            await connection.execute(update(table).values(revision=revision))
        journal, count = SqlJournal(connection, self._clock), 0
        async for entry in _snapshots(connection, self._clock, revision):
            await journal.add(entry)
            count += 1
        await connection.execute(delete(t.journal).where(t.journal.c.revision < revision))
        await connection.execute(update(t.system).values(journal_form=FORM))
        return count


async def _is_ahead(connection: AsyncConnection, last: Event) -> bool:
    """Whether the last entry of the journal is not of this database.

    Of a record that is not there any more the outbox tells, for a day: when it has forgotten, a set of
    snapshots is written that nobody needs, and that harms nobody.
    """
    try:
        entry = entry_of(last.data)
    except Invalid:
        return True
    if entry.entity is Entity.SYSTEM:
        return False
    table = RECORD_TABLES[entry.entity]
    known = await connection.scalar(select(table.c.revision).where(table.c.id == entry.record_id))
    if known is None:
        own = select(t.outbox.c.id).where(t.outbox.c.event_id == entry.id)
        return await connection.scalar(own.limit(1)) is None
    return bool(known < entry.revision)


async def _snapshots(connection: AsyncConnection, clock: Clock, revision: int) -> AsyncIterator[Entry]:
    now = clock.now()
    system_id = str(await connection.scalar(select(t.system.c.id)))
    yield _entry(Entity.SYSTEM, now, System(system_id, revision))
    unit = SqlUnitOfWork(connection, clock, timedelta())
    for repository in EDITED:
        async for record in _all(repository(connection, SqlJournal(connection, clock))):
            yield _entry(repository.entity, now, record)
    async for job in _all(unit.jobs):
        lines = tuple((await unit.jobs.timelines(job.id))[job.id])
        more = (TimelineCarriedOver(now, lines),) if lines else ()
        yield _entry(Entity.JOB, now, job, *more, job_id=job.id)
    async for generation in _all(unit.generations):
        yield _entry(Entity.GENERATION, now, generation, job_id=generation.job_id)


async def _all(records: Any) -> AsyncIterator[Any]:
    last = ""
    while some := await records.after(last, _AT_ONCE):
        for record in some:
            yield record
        last = some[-1].id


def _entry(entity: Entity, at: datetime, record: Any, *more: Any, job_id: str = "") -> Entry:
    return Entry(entity, record.id, record.revision, at, (Snapshot(at, record), *more), job_id)
