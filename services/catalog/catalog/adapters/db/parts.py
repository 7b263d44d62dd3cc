"""Writes the parts of a record that have a table of their own: those that are new, and those that changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import Insert, Table, Update, bindparam, insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

T = TypeVar("T")


async def write_parts(
    connection: AsyncConnection,
    table: Table,
    row: Callable[[str, T], dict[str, Any]],
    record_id: str,
    before: Iterable[T],
    after: Iterable[T],
    *,
    key: str,
) -> None:
    """Write the rows that make `after` of `before`, the parts of a record. None is ever removed.

    `key`: the field by which a part is the same as before.
    """
    known = {getattr(part, key): part for part in before}
    for part in after:
        old = known.get(getattr(part, key))
        if part == old:
            continue
        values = row(record_id, part)
        if old is None:
            await connection.execute(_add(table), values)
        else:
            of = {f"of_{column.name}": values[column.name] for column in table.primary_key}
            await connection.execute(_change(table), values | of)


# Each step of a run executes these: to build them each time would cost more than to run them.


@cache
def _add(table: Table) -> Insert:
    return insert(table)


@cache
def _change(table: Table) -> Update:
    return update(table).where(*(column == bindparam(f"of_{column.name}") for column in table.primary_key))
