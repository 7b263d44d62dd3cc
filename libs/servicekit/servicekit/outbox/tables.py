"""The outbox table for a service's own metadata, and writing events into it in the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Index,
    Insert,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    insert,
    text,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from servicekit.clock import Clock
from servicekit.events.event import Event, check
from servicekit.telemetry import traces


def outbox_table(metadata: MetaData, name: str = "outbox") -> Table:
    """The table of events that are to be published.

    `id` gives the order; `event_id` is the event's own. Times are microseconds since 1970 (UTC): integers
    compare alike in every database. `published_at` is null until the log has the event.
    """
    return Table(
        name,
        metadata,
        Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
        Column("event_id", String(200), nullable=False),
        Column("type", String(100), nullable=False),
        Column("key", String(200), nullable=False),
        Column("refs", JSON, nullable=False),
        Column("data", LargeBinary, nullable=False),
        Column("traceparent", String(60), nullable=False),
        Column("created_at", BigInteger, nullable=False),
        Column("not_before", BigInteger, nullable=False),
        Column("published_at", BigInteger),
        # Few rows are unpublished, however many are published: the relay reads this index alone.
        Index(
            f"ix_{name}_waiting",
            "id",
            sqlite_where=text("published_at IS NULL"),
            postgresql_where=text("published_at IS NULL"),
        ),
        Index(f"ix_{name}_published", "published_at"),
        sqlite_autoincrement=True,  # an id is never given twice, also after trimming
    )


async def append(
    connection: AsyncConnection, table: Table, events: Sequence[Event], *, clock: Clock, delay: float = 0.0
) -> None:
    """Write the events in the connection's transaction: they are published when it commits, or never.

    `delay`: seconds before which they are not published. They carry the current trace.
    Raises Invalid for an event that could not be published; the transaction can go on without it.
    """
    if not events:
        return
    for event in events:
        check(event)
    now = clock.now()
    current = traces.inject().get("traceparent", "")
    rows = [
        {
            "event_id": event.id,
            "type": event.type,
            "key": event.key,
            "refs": dict(event.refs),
            "data": event.data,
            "traceparent": event.traceparent or current,
            "created_at": micros(event.time or now),
            "not_before": micros(now + timedelta(seconds=delay)),
        }
        for event in events
    ]
    await connection.execute(_appending(table), rows)


@cache
def _appending(table: Table) -> Insert:
    return insert(table)


def micros(moment: datetime) -> int:
    """Microseconds since 1970, as the tables store times."""
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return since // timedelta(microseconds=1)


def moment(stored: int) -> datetime:
    """The inverse of `micros`."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=stored)
