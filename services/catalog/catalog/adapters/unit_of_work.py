"""Opens transactions as units of work, over SQLite or PostgreSQL, and raises their errors as app errors."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any

from sqlalchemy import Table, event
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from catalog.adapters.access.repository import SqlApiKeys
from catalog.adapters.budget.accounts import SqlAccounts
from catalog.adapters.campaigns.repository import SqlAssets, SqlCampaigns, SqlClients
from catalog.adapters.db import tables as t
from catalog.adapters.db.group_commit import GroupCommit
from catalog.adapters.generations.repository import SqlGenerations
from catalog.adapters.jobs.repository import SqlJobs
from catalog.adapters.journal.repository import SqlJournal
from catalog.adapters.outcomes import Outcomes
from catalog.adapters.repository import SqlRepository
from catalog.adapters.storage.blob_references import SqlBlobReferences
from catalog.adapters.storage.queries import SqlStoredFiles
from catalog.adapters.watchdog.expiry import SqlExpiringOutputs
from catalog.core.journal.domain.entry import Entity
from servicekit.clock import Clock
from servicekit.database.engine import is_sqlite
from servicekit.database.errors import is_transient
from servicekit.errors import Conflict, Invalid, Unavailable
from servicekit.outbox import first_time
from servicekit.outbox.inbox import TRIM, trim_inbox

INBOX_RETENTION = timedelta(days=35)
"""How long it is remembered which events were applied: the log holds events for 30 days."""


EDITED: tuple[type[SqlRepository[Any]], ...] = (SqlClients, SqlCampaigns, SqlAssets, SqlApiKeys)
"""The repositories of records that people edit."""

RECORD_TABLES: dict[Entity, Table] = {
    **{each.entity: each.table for each in EDITED},
    Entity.JOB: t.jobs,
    Entity.GENERATION: t.generations,
}
"""Where each kind of record that the journal has stands; parts have tables beside it."""


class SqlUnitOfWork:
    def __init__(self, connection: AsyncConnection, clock: Clock, stalled_after: timedelta) -> None:
        self._connection = connection
        self._clock = clock
        journal, self.outcomes = SqlJournal(connection, clock), Outcomes()
        self.clients = SqlClients(connection, journal)
        self.campaigns = SqlCampaigns(connection, journal)
        self.assets = SqlAssets(connection, journal)
        self.api_keys = SqlApiKeys(connection, journal)
        self.accounts = SqlAccounts(connection)
        self.stored_files = SqlStoredFiles(connection)
        self.expiring_outputs = SqlExpiringOutputs(connection)
        self.blob_references = SqlBlobReferences(connection)
        self.generations = SqlGenerations(connection, journal, self.accounts, self.outcomes, stalled_after)
        self.jobs = SqlJobs(connection, journal, self.outcomes, stalled_after)

    async def first_time(self, consumer: str, event_id: str) -> bool:
        return await first_time(self._connection, t.inbox, consumer, event_id, clock=self._clock)


class SqlDatabase:
    """`Database` over SQLite or PostgreSQL.

    Args:
        stalled_after: how long a record may be without an event before the reconciler requests it again.
    """

    def __init__(self, engine: AsyncEngine, clock: Clock, *, stalled_after: timedelta) -> None:
        self._writing = engine.execution_options(short=True)  # units of work touch few rows, by their keys
        self._reading = engine.execution_options(read_only=True)
        self._clock = clock
        self._stalled_after = stalled_after
        self._on_commit: Callable[[], None] = lambda: None
        # SQLite has one writer; waiting here is first come, first served, and its busy timeout is neither.
        self._group_commit = GroupCommit(self._writing) if is_sqlite(engine) else None
        event.listen(engine.sync_engine, "before_cursor_execute", _refuse_nul)

    def on_commit(self, callback: Callable[[], None]) -> None:
        """Call back after each commit that may have written to the outbox."""
        self._on_commit = callback

    def transaction(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A connection in a transaction, for few rows by their keys; leaving it without an error commits."""
        return self._group_commit.transaction() if self._group_commit else self._writing.begin()

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[SqlUnitOfWork]:
        with app_errors():
            async with self.transaction() as connection:
                unit = SqlUnitOfWork(connection, self._clock, self._stalled_after)
                yield unit
        unit.outcomes.count()
        self._on_commit()

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[SqlUnitOfWork]:
        with app_errors():
            async with self._reading.connect() as connection:
                yield SqlUnitOfWork(connection, self._clock, self._stalled_after)

    async def trim_inbox(self) -> None:
        """Delete inbox rows that no delivery can match any more: the log has dropped their events before."""
        deleted = TRIM
        while deleted == TRIM:
            with app_errors():
                async with self.transaction() as connection:
                    deleted = await trim_inbox(connection, t.inbox, INBOX_RETENTION, clock=self._clock)


_DATA_EXCEPTION = "22"
"""PostgreSQL's class of data exceptions: a text that is too long, a number out of range."""


def _refuse_nul(*args: Any) -> None:
    """Refuse texts with a NUL wherever they are. `args`: as SQLAlchemy calls `before_cursor_execute`.

    PostgreSQL takes none as a text. It does take one within JSON, but then no query looks into that column
    any more. SQLite takes both.
    """
    context = args[4]
    for row in getattr(context, "compiled_parameters", ()):
        if _has_nul(row):
            raise Invalid("the character NUL (\\u0000) cannot be stored: leave it out")


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_has_nul(key) or _has_nul(item) for key, item in value.items())
    return isinstance(value, list | tuple) and any(_has_nul(item) for item in value)


@contextlib.contextmanager
def app_errors() -> Iterator[None]:
    """Raise what the database raises as the `AppError` that it means."""
    try:
        yield
    except IntegrityError as error:
        raise Conflict("somebody else recorded the same at the same moment: read it again") from error
    except (SQLAlchemyError, OSError) as error:
        if str(getattr(getattr(error, "orig", None), "sqlstate", "")).startswith(_DATA_EXCEPTION):
            raise Invalid("the database cannot store one of these values") from error
        if not is_transient(error):
            raise
        raise Unavailable(f"the database is away, busy or full ({type(error).__name__})") from error
