"""Writes what happened to records into the journal and the outbox, in the transaction that changes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from catalog.adapters.db import tables as t
from catalog.adapters.db.outbox_messages import DelayedMessage
from catalog.adapters.journal.documents import dump_events, event_of, load_events
from catalog.core.journal.domain.entry import Entity, Entry
from events.envelope import envelope
from servicekit.clock import Clock
from servicekit.outbox import append

_ADD = insert(t.journal)


class SqlJournal:
    def __init__(self, connection: AsyncConnection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock

    def now(self) -> datetime:
        return self._clock.now()

    async def add(self, entry: Entry, messages: Sequence[DelayedMessage] = ()) -> None:
        """Add an entry, and the messages for other services that follow from it."""
        if entry.job_id:
            added = await self._connection.execute(_ADD, journal_row(entry))
            entry = replace(entry, place=int(added.inserted_primary_key[0]))  # type: ignore[index]
        at_once = [envelope(message) for message, delay in messages if not delay]
        await append(self._connection, t.outbox, [*at_once, event_of(entry)], clock=self._clock)
        for delay in sorted({delay for _, delay in messages if delay}):
            events = [envelope(message) for message, wait in messages if wait == delay]
            await append(self._connection, t.outbox, events, clock=self._clock, delay=delay)

    async def of_jobs(self, job_ids: Sequence[str]) -> Sequence[Entry]:
        """The entries of these jobs and of their generations, oldest first."""
        query = select(t.journal).where(t.journal.c.job_id.in_(job_ids)).order_by(t.journal.c.id)
        return [_entry(row) for row in await self._connection.execute(query)]


def journal_row(entry: Entry) -> dict[str, Any]:
    return {
        "job_id": entry.job_id,
        "entity": entry.entity.value,
        "record_id": entry.record_id,
        "revision": entry.revision,
        "at": entry.at,
        "events": dump_events(entry.events),
    }


def _entry(row: Row[Any]) -> Entry:
    entity = Entity(row.entity)
    return Entry(entity, row.record_id, row.revision, row.at, load_events(entity, row.events), row.job_id)
