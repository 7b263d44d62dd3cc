"""Drives SQLite for SQLAlchemy's async engine with one thread switch a statement, or with none.

It subclasses private classes of SQLAlchemy (`AsyncAdapt_aiosqlite_*`) and uses private names of aiosqlite
(`_execute`, `_conn`, `_connection`): neither offers a public way to run a statement and fetch its rows in one
step of the thread, or in the caller's thread. `_Cursor` says what that gains; docs/adr/0007 has the numbers.
An upgrade that moves these names breaks this package's tests.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

import aiosqlite
from sqlalchemy.dialects.sqlite.aiosqlite import (
    AsyncAdapt_aiosqlite_connection,
    AsyncAdapt_aiosqlite_cursor,
    AsyncAdapt_aiosqlite_dbapi,
)
from sqlalchemy.util import await_

T = TypeVar("T")


class _Cursor(AsyncAdapt_aiosqlite_cursor):
    """Executes and fetches in one step, where SQLAlchemy's own switches to the thread for each of five steps.

    A switch to the thread and back costs more than most statements, and yet more when the loop is busy: the
    thread waits for the interpreter's lock, and every other writer waits for the database lock it has.
    """

    __slots__ = ()
    _awaitable_cursor_close = False  # what it wraps once it has executed is sqlite3's own

    def __init__(self, connection: Connection) -> None:
        self._adapt_connection = connection
        self._cursor: Any = None
        self._rows = deque()
        self._soft_closed_memoized = {}  # type: ignore[assignment]  # theirs is immutable, and stays empty

    def execute(self, operation: Any, parameters: Any = None) -> Any:
        return self._step(lambda cursor: cursor.execute(operation, parameters or ()))

    def executemany(self, operation: Any, seq_of_parameters: Any) -> Any:
        return self._step(lambda cursor: cursor.executemany(operation, seq_of_parameters))

    def _step(self, act: Callable[[sqlite3.Cursor], object]) -> Any:
        def step(raw: sqlite3.Connection) -> tuple[sqlite3.Cursor, deque[Any]]:
            cursor = raw.cursor()
            act(cursor)
            return cursor, deque(cursor.fetchall() if cursor.description else ())

        connection: Any = self._adapt_connection
        self._cursor, self._rows = connection.step(step)
        return self


class Connection(AsyncAdapt_aiosqlite_connection):
    """A connection that switches to its thread only for what may wait: for a lock, the disk, or a long query.

    Attributes:
        in_caller_thread: run statements in the caller's thread. Only for transactions that hold the write
            lock and touch few rows by their keys; BEGIN IMMEDIATE and COMMIT always go to the thread.
        interrupted: the caller of the last step in the thread was cancelled; it may have begun a transaction.
    """

    __slots__ = ("in_caller_thread", "interrupted")
    _cursor_cls: Any = _Cursor

    def __init__(self, dbapi: Any, connection: Any) -> None:
        super().__init__(dbapi, connection)
        self.in_caller_thread = False
        self.interrupted = False

    def step(self, act: Callable[[sqlite3.Connection], T]) -> T:
        """Do something with sqlite3's own connection."""
        driver: Any = self._connection
        raw = driver._conn  # noqa: SLF001  # as SQLAlchemy's adapter does
        try:
            if self.in_caller_thread:
                return await_(_in_this_thread(act, raw))
            # When the caller is cancelled, the thread finishes the step all the same.
            self.interrupted = True
            done: T = await_(driver._execute(act, raw))  # noqa: SLF001  # the driver offers no other way
            self.interrupted = False
        except Exception as error:  # noqa: BLE001  # `_handle_exception` translates any
            self.interrupted = False
            self._handle_exception(error)
        return done

    def begin(self, *, read_only: bool, in_caller_thread: bool) -> None:
        """Begin a transaction; of a writing one the write lock is waited for in the thread."""
        self.in_caller_thread = read_only  # reading takes no lock before its first statement
        self.step(lambda raw: raw.execute("BEGIN" if read_only else "BEGIN IMMEDIATE"))
        self.in_caller_thread = in_caller_thread

    def commit(self) -> None:
        """Outside a transaction there is nothing to do: no thread switch."""
        self.in_caller_thread = False
        if self.in_transaction:
            super().commit()

    def rollback(self) -> None:
        """SQLAlchemy rolls back whenever it returns a connection to the pool, also without a transaction."""
        self.in_caller_thread = False
        if self.in_transaction:
            super().rollback()

    @property
    def in_transaction(self) -> bool:
        """Whether one is open: SQLite ends it by itself when its disk is full or broken."""
        driver: Any = self._connection
        raw = driver._connection  # noqa: SLF001  # None once it is closed
        return raw is not None and (self.interrupted or bool(raw.in_transaction))


async def _in_this_thread(act: Callable[[sqlite3.Connection], T], raw: sqlite3.Connection) -> T:
    """A coroutine that never waits: SQLAlchemy raises for a driver that awaits nothing."""
    return act(raw)


class Driver(AsyncAdapt_aiosqlite_dbapi):
    """The DBAPI module to give to `create_async_engine`."""

    def __init__(self) -> None:
        drivers: tuple[ModuleType, ModuleType] = (aiosqlite, sqlite3)
        super().__init__(*drivers)

    def connect(self, *args: Any, **settings: Any) -> Connection:
        """A connection with a thread of its own."""
        connection = super().connect(*args, **settings)
        return Connection(self, connection._connection)  # noqa: SLF001  # the driver offers no other way
