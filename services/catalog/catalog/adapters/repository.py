"""The repository of records that people edit: one table, and one way in for every change."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from sqlalchemy import ColumnElement, Row, Select, Table, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from catalog.adapters.db.keyset_pagination import page_of
from catalog.adapters.db.outbox_messages import DelayedMessage
from catalog.adapters.db.rows import from_row, to_row
from catalog.adapters.journal.repository import SqlJournal
from catalog.core.journal.domain.entry import RECORD_TYPES, Deletion, Entity, Entry, Snapshot
from catalog.core.shared.paging import Page, PageRequest
from servicekit.errors import Conflict, NotFound


class Record(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def revision(self) -> int: ...


T = TypeVar("T", bound=Record)


class SqlRepository(Generic[T]):
    """`Repository` over a table whose columns are the record's fields.

    Attributes:
        table, noun: of this kind of record; the noun is for people.
        entity: what the journal calls it.
    """

    table: ClassVar[Table]
    noun: ClassVar[str]
    entity: ClassVar[Entity]

    def __init__(self, connection: AsyncConnection, journal: SqlJournal) -> None:
        self._connection = connection
        self._journal = journal

    async def get(self, record_id: str, *, lock: bool = False) -> T:
        query = self._select().where(self.table.c.id == record_id)
        locked = query.with_for_update(of=self.table)
        row = (await self._connection.execute(locked if lock else query)).first()
        if row is None:
            raise NotFound(f"there is no {self.noun} {record_id}")
        return self._record(row)

    async def save(self, record: T) -> T:
        saved = _next(record)
        row = self.row(saved)
        # One that has changed since it was read is inserted, which its id does not allow.
        changing = update(self.table).where(*self._as_read(record)).values(row)
        created = (await self._connection.execute(changing)).rowcount == 0
        if created:
            await self._connection.execute(insert(self.table).values(row))
        messages = await self._saved(saved, created=created)
        await self._add_entry(saved, Snapshot(self._journal.now(), self._own(saved)), messages)
        return saved

    async def delete(self, record: T) -> None:
        deleting = delete(self.table).where(*self._as_read(record))
        if (await self._connection.execute(deleting)).rowcount == 0:
            raise Conflict(f"{self.noun} {record.id} has changed since it was read: read it again")
        messages = await self._deleted(record)
        deleted = _next(record)
        await self._add_entry(deleted, Deletion(self._journal.now()), messages)

    def _as_read(self, record: T) -> tuple[ColumnElement[bool], ...]:
        """The row, if the record has not changed since it was read: its next revision is free then."""
        return (self.table.c.id == record.id, self.table.c.revision == record.revision)

    async def _add_entry(
        self, record: T, event: Snapshot | Deletion, messages: Sequence[DelayedMessage]
    ) -> None:
        entry = Entry(self.entity, record.id, record.revision, event.at, (event,))
        await self._journal.add(entry, messages)

    async def after(self, record_id: str, limit: int) -> Sequence[T]:
        """The next ones by their ids."""
        query = select(self.table).where(self.table.c.id > record_id).order_by(self.table.c.id).limit(limit)
        return [self._record(row) for row in await self._connection.execute(query)]

    async def _all(self, *conditions: ColumnElement[bool]) -> Sequence[T]:
        """Those that meet the conditions, oldest first."""
        query = self._select().where(*conditions).order_by(self.table.c.id)
        return [self._record(row) for row in await self._connection.execute(query)]

    async def _page(self, query: Select[Any], paging: PageRequest) -> Page[T]:
        return await page_of(self._connection, query, (self.table.c.id,), paging, self._record)

    # What a kind of record may have of its own ----------------------------------------------------

    def _select(self) -> Select[Any]:
        return select(self.table)

    def _record(self, row: Row[Any]) -> T:
        record: T = from_row(RECORD_TYPES[self.entity], row)
        return record

    @classmethod
    def row(cls, record: T) -> dict[str, Any]:
        return to_row(cls.table, record)

    def _own(self, record: T) -> T:
        """The record without what is read from other records."""
        return record

    async def _saved(self, record: T, *, created: bool) -> Sequence[DelayedMessage]:  # noqa: ARG002
        """Called after each save, in its transaction. Answers what other services are told."""
        return ()

    async def _deleted(self, record: T) -> Sequence[DelayedMessage]:  # noqa: ARG002
        """As `_saved`, after each deletion."""
        return ()


def _next(record: T) -> T:
    """The record with its next revision."""
    changed: Any = record
    result: T = dataclasses.replace(changed, revision=record.revision + 1)
    return result
