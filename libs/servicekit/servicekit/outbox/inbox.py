"""The inbox: which events a consumer has applied, recorded in the same transaction as their effect."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Column, Index, MetaData, String, Table, delete, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from servicekit.clock import Clock
from servicekit.outbox.tables import micros

TRIM = 500
"""Rows removed in one transaction: consumers that apply events do not wait for a million of them."""


def inbox_table(metadata: MetaData, name: str = "inbox") -> Table:
    """The table of applied events. `applied_at`: microseconds since 1970 (UTC)."""
    return Table(
        name,
        metadata,
        Column("consumer", String(100), primary_key=True),
        Column("event_id", String(200), primary_key=True),
        Column("applied_at", BigInteger, nullable=False),
        Index(f"ix_{name}_applied", "applied_at"),
    )


async def first_time(
    connection: AsyncConnection, table: Table, consumer: str, event_id: str, *, clock: Clock
) -> bool:
    """Whether this consumer applies the event for the first time: then do so in this very transaction.

    JetStream knows a duplicate for two hours; this table knows it for as long as its rows are kept. Of two
    transactions at once the second waits for the first, and then knows.
    """
    row = {"consumer": consumer, "event_id": event_id, "applied_at": micros(clock.now())}
    statement = _insert_once(table, connection.dialect.name)
    return (await connection.execute(statement, row)).first() is not None


@cache
def _insert_once(table: Table, dialect: str) -> Any:
    insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
    return insert(table).on_conflict_do_nothing().returning(table.c.event_id)


async def trim_inbox(
    connection: AsyncConnection, table: Table, older_than: timedelta, *, clock: Clock
) -> int:
    """Remove rows applied that long ago, at most `TRIM` of them; answers how many.

    Keep them at least as long as the log keeps its events.
    """
    columns = table.c
    old = select(columns.consumer, columns.event_id).where(
        columns.applied_at < micros(clock.now() - older_than)
    )
    old = old.limit(TRIM).with_for_update(skip_locked=True)  # of rows that another replica is removing
    done = await connection.execute(delete(table).where(tuple_(columns.consumer, columns.event_id).in_(old)))
    return done.rowcount
