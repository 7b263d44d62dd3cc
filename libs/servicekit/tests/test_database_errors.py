"""Which errors of a database pass by waiting: each as the database itself raises it."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from servicekit.database.engine import open_engine
from servicekit.database.errors import is_transient
from servicekit.testing import eventually

TABLE = "CREATE TABLE words (n INTEGER PRIMARY KEY, word TEXT NOT NULL)"


async def run(connection: AsyncConnection, *statements: str) -> None:
    for statement in statements:
        await connection.exec_driver_sql(statement)


async def raised_by(engine: AsyncEngine, *statements: str) -> DBAPIError:
    with pytest.raises(DBAPIError) as caught:
        async with engine.begin() as connection:
            await run(connection, *statements)
    return caught.value


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    engine = open_engine(f"sqlite:///{tmp_path}/words.db")
    event.listen(engine.sync_engine, "connect", lambda raw, _: raw.cursor().execute("PRAGMA busy_timeout=10"))
    async with engine.begin() as connection:
        await run(connection, TABLE, "INSERT INTO words VALUES (1, 'one')")
    yield engine
    await engine.dispose()


@pytest.fixture
async def postgres(postgres_database: str) -> AsyncIterator[AsyncEngine]:
    engine = open_engine(postgres_database)
    async with engine.begin() as connection:
        await run(connection, TABLE, "INSERT INTO words VALUES (1, 'one')")
    yield engine
    await engine.dispose()


async def test_sqlite_that_is_locked(sqlite: AsyncEngine) -> None:
    async with sqlite.begin() as other:
        await run(other, "INSERT INTO words VALUES (2, 'two')")
        error = await raised_by(sqlite, "INSERT INTO words VALUES (3, 'three')")
    assert "locked" in str(error.orig)
    assert is_transient(error)


@pytest.mark.parametrize(
    ("statements", "message"),
    [
        (["PRAGMA max_page_count=1", "INSERT INTO words VALUES (2, hex(zeroblob(900000)))"], "is full"),
        (["PRAGMA query_only=1", "INSERT INTO words VALUES (2, 'two')"], "readonly"),
    ],
)
async def test_sqlite_with_a_failing_disk_is_transient(
    sqlite: AsyncEngine, statements: list[str], message: str
) -> None:
    error = await raised_by(sqlite, *statements)
    assert message in str(error.orig)
    assert is_transient(error)


async def test_a_sqlite_file_that_cannot_be_opened_is_transient(tmp_path: Path) -> None:
    error = await raised_by(open_engine(f"sqlite:///{tmp_path}/missing/words.db"), "SELECT 1")
    assert "unable to open" in str(error.orig)
    assert is_transient(error)
    # aiosqlite's thread ends a moment later: on a closed loop that would be an error in another test.
    await eventually(lambda: not any("_connection_worker" in thread.name for thread in threading.enumerate()))


async def test_sqlite_under_a_crowd_that_opens_it() -> None:
    crowd = sqlite3.OperationalError("locking protocol")
    crowd.sqlite_errorcode = sqlite3.SQLITE_PROTOCOL
    assert is_transient(OperationalError("BEGIN IMMEDIATE", {}, crowd))


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM missing",
        "SELEC 1",
        "INSERT INTO words VALUES (1, 'again')",
        "INSERT INTO words VALUES (2)",
    ],
)
async def test_a_wrong_statement_is_not_transient(
    sqlite: AsyncEngine, postgres: AsyncEngine, statement: str
) -> None:
    assert not is_transient(await raised_by(sqlite, statement))
    assert not is_transient(await raised_by(postgres, statement))


async def test_postgres_that_takes_too_long(postgres: AsyncEngine) -> None:
    error = await raised_by(postgres, "SET LOCAL statement_timeout = 10", "SELECT pg_sleep(5)")
    assert "statement timeout" in str(error.orig)
    assert is_transient(error)


async def test_a_locked_row_of_postgres_is_transient(postgres: AsyncEngine) -> None:
    change = "UPDATE words SET word = 'uno' WHERE n = 1"
    async with postgres.begin() as other:
        await run(other, change)
        error = await raised_by(postgres, "SET LOCAL lock_timeout = 10", change)
    assert "lock timeout" in str(error.orig)
    assert is_transient(error)


async def test_postgres_that_undoes_one_of_two(postgres: AsyncEngine) -> None:
    with pytest.raises(DBAPIError) as caught:  # noqa: PT012  # the block is the transaction
        async with postgres.begin() as mine:
            await run(mine, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SELECT * FROM words")
            async with postgres.begin() as other:
                await run(other, "UPDATE words SET word = 'uno' WHERE n = 1")
            await run(mine, "UPDATE words SET word = 'eins' WHERE n = 1")
    assert "could not serialize" in str(caught.value.orig)
    assert is_transient(caught.value)


async def test_postgres_with_too_many_clients(postgres: AsyncEngine, postgres_database: str) -> None:
    async with postgres.begin() as connection:
        await run(connection, "DROP ROLE IF EXISTS crowd", "CREATE ROLE crowd LOGIN CONNECTION LIMIT 0")
    crowd = open_engine(make_url(postgres_database).set(username="crowd").render_as_string())
    error = await raised_by(crowd, "SELECT 1")
    assert "too many connections" in str(error.orig)
    assert is_transient(error)


async def test_postgres_that_shuts_down(postgres: AsyncEngine) -> None:
    error = await raised_by(postgres, "SELECT pg_terminate_backend(pg_backend_pid())")
    assert is_transient(error)


@pytest.mark.parametrize("error", [PoolTimeout(), ConnectionRefusedError(), TimeoutError()])
def test_a_missing_server_is_transient(error: Exception) -> None:
    assert is_transient(error)


@pytest.mark.parametrize("error", [ValueError("disk"), KeyError("connection"), ZeroDivisionError()])
def test_a_fault_of_ours_is_none(error: Exception) -> None:
    assert not is_transient(error)
