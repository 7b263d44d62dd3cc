"""The store: opens transactions as units, over SQLite or PostgreSQL, and says its troubles as app errors."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from datetime import timedelta

from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from catalog.adapters.access.repository import SqlKeys
from catalog.adapters.budget.accounts import SqlAccounts
from catalog.adapters.campaigns.repository import SqlAssets, SqlCampaigns, SqlClients
from catalog.adapters.db import tables as t
from catalog.adapters.db.group_commit import SharedCommits
from catalog.adapters.db.outbox_messages import Outgoing
from catalog.adapters.generations.repository import SqlGenerations
from catalog.adapters.jobs.repository import SqlJobs
from catalog.adapters.jobs.timeline import SqlTimeline
from catalog.adapters.storage.blob_references import SqlBlobKeys
from catalog.adapters.storage.queries import SqlFiles
from catalog.adapters.watchdog.expiry import SqlExpiringOutputs
from servicekit.clock import Clock
from servicekit.database_troubles import is_trouble
from servicekit.databases import is_sqlite
from servicekit.errors import Conflict, Invalid, Unavailable
from servicekit.outbox import first_time
from servicekit.outbox.inbox import TRIM, trim_inbox

KEEP_APPLIED = timedelta(days=35)
"""How long it is remembered which facts were applied: the log keeps facts for 30 days."""


class SqlUnit:
    """`Unit`: one transaction."""

    def __init__(self, connection: AsyncConnection, clock: Clock, stalled_after: timedelta) -> None:
        self._connection = connection
        self._clock = clock
        outgoing = Outgoing(connection, clock)
        timeline = SqlTimeline(connection)
        self.clients = SqlClients(connection)
        self.campaigns = SqlCampaigns(connection)
        self.assets = SqlAssets(connection, outgoing)
        self.keys = SqlKeys(connection)
        self.accounts = SqlAccounts(connection)
        self.files = SqlFiles(connection)
        self.expiring_outputs = SqlExpiringOutputs(connection)
        self.blob_keys = SqlBlobKeys(connection)
        self.generations = SqlGenerations(connection, clock, outgoing, self.accounts, timeline, stalled_after)
        self.jobs = SqlJobs(connection, clock, outgoing, timeline, stalled_after)

    async def first_time(self, consumer: str, event_id: str) -> bool:
        """Whether a fact is applied for the first time: then in this unit."""
        return await first_time(self._connection, t.inbox, consumer, event_id, clock=self._clock)


class SqlStore:
    """`Store`.

    Args:
        stalled_after: after how long a silence the reconciler looks.
    """

    def __init__(self, engine: AsyncEngine, clock: Clock, *, stalled_after: timedelta) -> None:
        self._writing = engine.execution_options(short=True)  # units touch few rows, by their keys
        self._reading = engine.execution_options(read_only=True)
        self._clock = clock
        self._silent_after = stalled_after
        self._committed: Callable[[], None] = lambda: None
        # SQLite has one writer; waiting here is first come, first served, and its busy timeout is neither.
        self._shared = SharedCommits(self._writing) if is_sqlite(engine) else None

    def on_commit(self, committed: Callable[[], None]) -> None:
        """Call it after each commit that may have written to the outbox."""
        self._committed = committed

    def writing(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A connection in a transaction, for few rows by their keys; leaving it without an error commits."""
        return self._shared.unit() if self._shared else self._writing.begin()

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[SqlUnit]:
        """A unit that may change things; leaving it without an error commits it."""
        with _told():
            async with self.writing() as connection:
                yield SqlUnit(connection, self._clock, self._silent_after)
        self._committed()

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[SqlUnit]:
        """A unit that only looks."""
        with _told():
            async with self._reading.connect() as connection:
                yield SqlUnit(connection, self._clock, self._silent_after)

    async def forget_applied(self) -> None:
        """Drop inbox rows that no delivery can match any more: the log has dropped its facts before."""
        forgotten = TRIM
        while forgotten == TRIM:
            with _told():
                async with self.writing() as connection:
                    forgotten = await trim_inbox(connection, t.inbox, KEEP_APPLIED, clock=self._clock)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        raise Conflict("somebody else recorded the same at the same moment: read it again") from error
    except (SQLAlchemyError, OSError) as error:
        if str(getattr(getattr(error, "orig", None), "sqlstate", "")).startswith(_NO_VALUE):
            raise Invalid(
                "the database cannot keep one of these values: leave out characters such as NUL (\\u0000)"
            ) from error
        if not is_trouble(error):
            raise
        raise Unavailable(f"the database is away, busy or full ({type(error).__name__})") from error


_NO_VALUE = "22"
"""PostgreSQL's class of data exceptions: a text with a NUL or too long, a number out of range."""
