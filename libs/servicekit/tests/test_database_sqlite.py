"""SQLite under the engine: where statements run, what waits beside the loop, what ends cleanly."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, insert, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

from servicekit.database.engine import open_engine

metadata = MetaData()
NUMBERS = Table("numbers", metadata, Column("number", Integer, primary_key=True))


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    engine = open_engine(f"sqlite:///{tmp_path}/x.db")
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    yield engine
    await engine.dispose()


async def add(connection: AsyncConnection | AsyncSession, *numbers: int) -> None:
    await connection.execute(insert(NUMBERS), [{"number": number} for number in numbers])


async def stored(engine: AsyncEngine) -> list[int]:
    async with engine.connect() as connection:
        await connection.execution_options(read_only=True)
        return list((await connection.execute(select(NUMBERS.c.number))).scalars())


async def thread_of(connection: AsyncConnection) -> int:
    """The thread that a statement of this connection runs in."""
    raw = (await connection.get_raw_connection()).driver_connection
    assert raw is not None
    await raw.create_function("thread", 0, lambda: str(threading.get_ident()))
    return int((await connection.execute(text("SELECT thread()"))).scalar_one())


@pytest.mark.parametrize("short", [True, False])
async def test_only_short_transactions_run_in_the_loop(engine: AsyncEngine, short: bool) -> None:
    async with engine.connect() as connection:
        await connection.execution_options(short=short)
        here = threading.get_ident()
        assert (await thread_of(connection) == here) is short
        await connection.commit()
        await connection.execution_options(short=False)
        assert await thread_of(connection) != here, "the next transaction begins anew"


async def test_a_session_takes_the_option_too(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session, session.begin():
        connection = await session.connection(execution_options={"short": True})
        assert await thread_of(connection) == threading.get_ident()


@pytest.mark.parametrize("short", [True, False])
async def test_what_is_committed_stays_and_what_is_not_goes(engine: AsyncEngine, short: bool) -> None:
    async with engine.connect() as connection:
        await connection.execution_options(short=short)
        await add(connection, 1, 2)
        await connection.commit()
        await add(connection, 3)
        await connection.rollback()
        await add(connection, 4)
    assert await stored(engine) == [1, 2]


async def test_an_error_is_sqlalchemys_and_the_connection_is_fit_for_the_next(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.execution_options(short=True)
        await add(connection, 1)
        with pytest.raises(IntegrityError):
            await add(connection, 1)
    async with engine.begin() as connection:
        await add(connection, 2)
    assert await stored(engine) == [2]


async def test_waiting_for_the_lock_does_not_stop_the_loop(engine: AsyncEngine) -> None:
    async with engine.connect() as first, engine.connect() as second:
        await add(first, 1)
        await second.execution_options(short=True)
        waiting = asyncio.create_task(add(second, 2))
        assert await stored(engine) == [], "the loop goes on, and readers do not wait"
        assert not waiting.done()
        await first.commit()
        await waiting
        await second.commit()
    assert await stored(engine) == [1, 2]


async def test_giving_up_the_wait_leaves_no_lock(engine: AsyncEngine) -> None:
    async with engine.connect() as first:
        await add(first, 1)

        async def wait() -> None:
            async with engine.connect() as second:
                await second.execution_options(short=True)
                await add(second, 2)

        waiting = asyncio.create_task(wait())
        assert await stored(engine) == []
        waiting.cancel()
        await first.commit()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    async with engine.begin() as connection:
        await add(connection, 3)
    assert await stored(engine) == [1, 3]
