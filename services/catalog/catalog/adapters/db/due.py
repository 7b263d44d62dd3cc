"""Finds the records whose time has come, by a column that says when."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Column, select
from sqlalchemy.ext.asyncio import AsyncConnection


async def due_ids(
    connection: AsyncConnection,
    column: Column[datetime],
    at: datetime,
    limit: int,
    *,
    only: str = "",
    without: Collection[str] = (),
) -> Sequence[str]:
    """The ids of the rows whose `column` is not later than `at`, the earliest first.

    Args:
        only: none but this one; empty: any.
        without: not these.
    """
    id_ = column.table.c.id
    due = select(id_).where(column <= at, id_ == only if only else id_.not_in(without))
    return list((await connection.execute(due.order_by(column).limit(limit))).scalars())
