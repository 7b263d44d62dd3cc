"""The test servers as pytest fixtures; the package registers them as the pytest plugin `servicekit`.

| fixture | scope | gives |
| --- | --- | --- |
| `nats` | test | `NatsFixture`: a server of its own (20 ms), `kill()`, `restart()`; it is its own address |
| `s3` | session | `S3Server`: one store for all; a test that kills it starts its own with `s3_store()` |
| `blobs` | test | `BlobStore`, started, on a fresh bucket of `s3` |
| `postgres` | session | `PostgresServer` |
| `postgres_database`, `sqlite_database` | test | the URL of a fresh database |
| `database_url` | test, twice | first SQLite, then PostgreSQL: for contract suites |
| `clock` | test | `SimulatedClock` |
"""

# Drivers are imported inside the fixtures: the plugin is loaded for every test run, also of pure code.
# ruff: noqa: PLC0415

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

if TYPE_CHECKING:
    from servicekit.blobs import BlobStore
    from servicekit.testing import NatsFixture, PostgresServer, S3Server, SimulatedClock


@pytest_asyncio.fixture
async def nats() -> AsyncIterator[NatsFixture]:
    from servicekit.testing import nats_server

    async with nats_server() as server:
        yield server


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """One S3 store for all tests: use a bucket of your own, and do not kill it."""
    from servicekit.testing import s3_store

    # Its start is a coroutine, but the process belongs to no event loop: each test has another loop.
    runner = asyncio.Runner()
    stack = AsyncExitStack()
    try:
        yield runner.run(stack.enter_async_context(s3_store()))
    finally:
        runner.run(stack.aclose())
        runner.close()


@pytest_asyncio.fixture
async def blobs(s3: S3Server) -> AsyncIterator[BlobStore]:
    from servicekit.blobs import BlobStore

    store = BlobStore(s3.endpoint, s3.access_key, s3.secret_key, f"test-{secrets.token_hex(6)}")
    await store.start()
    yield store
    await store.stop()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    from servicekit.testing import PostgresServer

    server = PostgresServer()
    try:
        asyncio.run(server.start())
        yield server
    finally:
        asyncio.run(server.stop())


@pytest_asyncio.fixture
async def postgres_database(postgres: PostgresServer) -> AsyncIterator[str]:
    async with postgres.database() as url:
        yield url


@pytest_asyncio.fixture
async def sqlite_database(tmp_path: Path) -> AsyncIterator[str]:
    from servicekit.testing import sqlite_url

    async with sqlite_url(tmp_path) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def _database_server(request: pytest.FixtureRequest) -> PostgresServer | None:
    """Which kind it is this time. Not async: the server is started outside of any running loop."""
    server: PostgresServer | None = None
    if request.param == "postgres":
        server = request.getfixturevalue("postgres")
    return server


@pytest_asyncio.fixture
async def database_url(_database_server: PostgresServer | None, tmp_path: Path) -> AsyncIterator[str]:
    from servicekit.testing import sqlite_url

    async with sqlite_url(tmp_path) if _database_server is None else _database_server.database() as url:
        yield url


@pytest.fixture
def clock() -> SimulatedClock:
    from servicekit.testing import SimulatedClock

    return SimulatedClock()
