"""The repository of records that people edit: one table, and one way in for every change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from sqlalchemy import ColumnElement, Row, Select, Table, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from catalog.adapters.db.keyset_pagination import page_of
from catalog.adapters.db.rows import from_row, to_row
from catalog.core.shared.paging import Page, PageRequest
from servicekit.errors import NotFound


class Record(Protocol):
    @property
    def id(self) -> str: ...


T = TypeVar("T", bound=Record)


class SqlRepository(Generic[T]):
    """`Repository` over a table whose columns are the record's fields.

    Attributes:
        table, record_type, noun: of this kind of record; the noun is for people.
    """

    table: ClassVar[Table]
    record_type: ClassVar[type[Any]]
    noun: ClassVar[str]

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def get(self, record_id: str, *, lock: bool = False) -> T:
        query = self._select().where(self.table.c.id == record_id)
        locked = query.with_for_update(of=self.table)
        row = (await self._connection.execute(locked if lock else query)).first()
        if row is None:
            raise NotFound(f"there is no {self.noun} {record_id}")
        return self._record(row)

    async def save(self, record: T) -> None:
        row = to_row(self.table, record, **self._derived(record))
        replace = update(self.table).where(self.table.c.id == record.id).values(row)
        created = (await self._connection.execute(replace)).rowcount == 0
        if created:
            await self._connection.execute(insert(self.table).values(row))
        await self._saved(record, created=created)

    async def delete(self, record: T) -> None:
        await self._connection.execute(delete(self.table).where(self.table.c.id == record.id))
        await self._deleted(record)

    async def _all(self, *conditions: ColumnElement[bool]) -> Sequence[T]:
        """Those that meet the conditions, oldest first."""
        query = self._select().where(*conditions).order_by(self.table.c.id)
        return [self._record(row) for row in await self._connection.execute(query)]

    async def _page(self, query: Select[Any], paging: PageRequest) -> Page[T]:
        return await page_of(self._connection, query, self.table, paging, self._record)

    # What a kind of record may have of its own ----------------------------------------------------

    def _select(self) -> Select[Any]:
        return select(self.table)

    def _record(self, row: Row[Any]) -> T:
        record: T = from_row(self.record_type, row)
        return record

    def _derived(self, record: T) -> dict[str, Any]:  # noqa: ARG002  # most have none
        """Columns that are computed from the record, for an index."""
        return {}

    async def _saved(self, record: T, *, created: bool) -> None:
        """Called after each save, in its transaction."""

    async def _deleted(self, record: T) -> None:
        """Called after each deletion, in its transaction."""
