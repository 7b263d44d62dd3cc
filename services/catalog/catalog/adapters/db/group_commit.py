"""Units that wait for SQLite's one writer share a transaction, and with it the commit: one sync for all."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from servicekit.errors import Unavailable

MOST = 32
"""Units in one transaction: the first waits for the last, a few milliseconds."""


class SharedCommits:
    """Writing units one after the other, first come, first served.

    A unit that finds nobody waiting commits by itself, as ever. While one commits others queue up; those go
    into the next transaction together, each behind a savepoint of its own: one that raises takes back what
    it did and nothing else. Nobody is told "done" before the commit. Without this each unit would cost a
    sync of the disk and two round trips to SQLite's thread.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._queue: deque[_Unit] = deque()
        self._conductor: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def unit(self) -> AsyncIterator[AsyncConnection]:
        """A place in a transaction; leaving it without an error waits for the commit."""
        unit = _Unit()
        self._queue.append(unit)
        if self._conductor is None:
            self._conductor = asyncio.get_running_loop().create_task(self._conduct(), name="shared commits")
        try:
            yield await unit.turn
            unit.good = True
        finally:
            unit.left.set()
            if unit.served:
                await unit.over

    async def _conduct(self) -> None:
        """Serve until nobody waits."""
        try:
            while self._waiting():
                await self._transaction()
        finally:
            self._conductor = None

    async def _transaction(self) -> None:
        """One, with all who come while it is open, up to `MOST`."""
        members = [self._queue.popleft()]
        try:
            async with self._engine.begin() as connection:
                await _serve(connection, members[0])
                while len(members) < MOST and self._waiting():
                    members.append(self._queue.popleft())
                    await _serve(connection, members[-1])
        except Exception as error:  # noqa: BLE001  # nothing is swallowed: it is raised where they wait
            for unit in members:
                unit.end(error)
        except BaseException:  # cancelled, as all tasks are when the process is forced to end
            for unit in members:
                unit.end(Unavailable("the database gave the transaction up: the process ends"))
            raise
        else:
            for unit in members:
                unit.end(None)

    def _waiting(self) -> bool:
        """Whether anybody is next. Those who have given up meanwhile are passed over."""
        while self._queue and self._queue[0].left.is_set():
            self._queue.popleft()
        return bool(self._queue)


async def _serve(connection: AsyncConnection, unit: _Unit) -> None:
    """Give it the connection until it leaves; what a failed one did is undone."""
    await connection.exec_driver_sql("SAVEPOINT unit")
    if not unit.turn.done():  # else it gave up while it waited
        unit.turn.set_result(connection)
        await unit.left.wait()
    pooled: Any = connection.sync_connection
    if not pooled.connection.dbapi_connection.in_transaction:
        # SQLite ends a transaction by itself when its disk is full or broken, and all that was in it is gone.
        raise Unavailable("the database gave the transaction up: is its disk full?")
    if not unit.good:
        await connection.exec_driver_sql("ROLLBACK TO unit")


class _Unit:
    """Somebody who writes.

    Attributes:
        turn: the connection, when it is given.
        left: it does not use the connection (any more).
        good: it left without an error.
        over: its transaction is; an error when it was good, and is not committed.
    """

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.turn: asyncio.Future[AsyncConnection] = loop.create_future()
        self.left = asyncio.Event()
        self.good = False
        self.over: asyncio.Future[None] = loop.create_future()

    @property
    def served(self) -> bool:
        """Whether it was given the connection; also when it was cancelled at that very moment."""
        return self.turn.done() and not self.turn.cancelled() and self.turn.exception() is None

    def end(self, error: Exception | None) -> None:
        """The transaction is over; `error`: nothing of it is there."""
        if not self.served:
            if error is not None and not self.turn.done():
                self.turn.set_exception(error)
        elif not self.over.done():  # else nobody waits any more: it was cancelled
            if error is not None and self.good:
                self.over.set_exception(error)
            else:
                self.over.set_result(None)
