"""Lets units of work that wait for SQLite's one writer share a transaction, and so one sync of the disk."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from servicekit.errors import Unavailable

MAX_MEMBERS = 32
"""Units of work in one transaction: the first one waits for the last, a few milliseconds."""


class GroupCommit:
    """Runs writing units of work one after the other, first come, first served.

    A unit of work that finds nobody waiting commits by itself. While it commits, others queue up; those go
    into the next transaction together, each behind a savepoint of its own: one that raises takes back what
    it did and nothing else. Nobody returns before the commit. Without this, each unit of work would cost a
    sync of the disk and two round trips to SQLite's thread.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._queue: deque[_Member] = deque()
        self._runner: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A part of a transaction; leaving it without an error waits for the commit."""
        member = _Member()
        self._queue.append(member)
        if self._runner is None:
            self._runner = asyncio.get_running_loop().create_task(self._run(), name="group commit")
        try:
            yield await member.connection
            member.succeeded = True
        finally:
            member.left.set()
            if member.connected:
                await member.ended

    async def _run(self) -> None:
        """Open transactions until nobody waits."""
        try:
            while self._has_next():
                await self._transaction()
        finally:
            self._runner = None

    async def _transaction(self) -> None:
        """One transaction, with all who come while it is open, up to `MAX_MEMBERS`."""
        members = [self._queue.popleft()]
        try:
            async with self._engine.begin() as connection:
                await _run_member(connection, members[0])
                while len(members) < MAX_MEMBERS and self._has_next():
                    members.append(self._queue.popleft())
                    await _run_member(connection, members[-1])
        except Exception as error:  # noqa: BLE001  # nothing is swallowed: it is raised where the members wait
            for member in members:
                member.end(error)
        except BaseException:  # cancelled, as all tasks are when the process is forced to end
            for member in members:
                member.end(Unavailable("the database gave the transaction up: the process ends"))
            raise
        else:
            for member in members:
                member.end(None)

    def _has_next(self) -> bool:
        """Whether anybody waits. Those who have given up meanwhile are removed."""
        while self._queue and self._queue[0].left.is_set():
            self._queue.popleft()
        return bool(self._queue)


async def _run_member(connection: AsyncConnection, member: _Member) -> None:
    """Lend the connection to a member until it leaves; undo what a failed one did."""
    await connection.exec_driver_sql("SAVEPOINT member")
    if not member.connection.done():  # else it gave up while it waited
        member.connection.set_result(connection)
        await member.left.wait()
    pooled: Any = connection.sync_connection
    if not pooled.connection.dbapi_connection.in_transaction:
        # SQLite ends a transaction by itself when its disk is full or broken, and all that was in it is gone.
        raise Unavailable("the database gave the transaction up: is its disk full?")
    if not member.succeeded:
        await connection.exec_driver_sql("ROLLBACK TO member")


class _Member:
    """A unit of work that takes part in a transaction.

    Attributes:
        connection: resolves when it is this member's turn to use the transaction.
        left: it does not use the connection (any more).
        succeeded: it left without an error.
        ended: resolves when the transaction has ended, with an error if the member's work is not committed.
    """

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.connection: asyncio.Future[AsyncConnection] = loop.create_future()
        self.left = asyncio.Event()
        self.succeeded = False
        self.ended: asyncio.Future[None] = loop.create_future()

    @property
    def connected(self) -> bool:
        """Whether it was lent the connection; also when it was cancelled at that very moment."""
        future = self.connection
        return future.done() and not future.cancelled() and future.exception() is None

    def end(self, error: Exception | None) -> None:
        """The transaction has ended; `error`: nothing of it is committed."""
        if not self.connected:
            if error is not None and not self.connection.done():
                self.connection.set_exception(error)
        elif not self.ended.done():  # else nobody waits any more: it was cancelled
            if error is not None and self.succeeded:
                self.ended.set_exception(error)
            else:
                self.ended.set_result(None)
