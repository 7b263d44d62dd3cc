"""Opens a database: SQLite tuned for one process that must not lose a commit, or PostgreSQL."""

from __future__ import annotations

import sqlite3
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from servicekit.database.sqlite import Driver
from servicekit.errors import Invalid

_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
}

_PRAGMAS = (
    # Milliseconds that a writer waits for another one before "database is locked"; so may the next line.
    "busy_timeout=10000",
    # Readers do not wait for the writer, nor it for them; a kill -9 leaves a log that the next open replays.
    "journal_mode=WAL",
    # fsync at each commit. NORMAL would be faster and may lose the last commits with the machine's power:
    # a lost "intent" is a paid submission nobody knows of.
    "synchronous=FULL",
    # SQLite checks them only when asked to.
    "foreign_keys=ON",
)


def open_engine(url: str, *, pool_size: int = 10) -> AsyncEngine:
    """An engine for "sqlite:///path" or "postgresql://…", also with a driver named. Nothing connects yet.

    On SQLite every transaction is BEGIN IMMEDIATE: it takes the write lock at once. A deferred one takes
    it at its first write, and fails without waiting when another has written since it began to read. For a
    read-only transaction: the execution option `read_only=True`. With `short=True` the statements of a
    writing one run in the caller's thread: for those that touch few rows by their keys.

    Raises:
        Invalid: no address, or of another kind of database.
    """
    try:
        address = make_url(url)
    except ArgumentError as error:
        raise Invalid("DATABASE_URL is no database address: sqlite:///path or postgresql://…") from error
    driver = _DRIVERS.get(address.drivername)
    if driver is None:
        raise Invalid(f"DATABASE_URL: {address.drivername} is not supported, sqlite and postgresql are")
    address = address.set(drivername=driver)
    if driver.startswith("postgresql"):
        return create_async_engine(
            address,
            pool_size=pool_size,
            max_overflow=0,
            pool_pre_ping=True,
            hide_parameters=True,  # they hold people's texts and inputs, and errors are logged
        )
    engine = create_async_engine(address, module=Driver(), hide_parameters=True)
    event.listen(engine.sync_engine, "connect", _prepare)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def is_sqlite(engine: AsyncEngine) -> bool:
    """Whether it serves one process only."""
    return engine.dialect.name == "sqlite"


def _prepare(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # `_begin` begins transactions, not the driver by itself
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    options = connection.get_execution_options()
    read_only, short = options.get("read_only", False), options.get("short", False)
    driven: Any = connection.connection.dbapi_connection
    try:
        driven.begin(read_only=read_only, in_caller_thread=short)
    except sqlite3.Error as error:
        # SQLAlchemy wraps errors itself, but not those raised in events, and callers catch only wrapped ones.
        raise DBAPIError.instance("BEGIN", None, error, sqlite3.Error, hide_parameters=True) from error
