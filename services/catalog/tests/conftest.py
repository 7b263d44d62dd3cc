"""A whole catalog in this process, on SQLite, for the tests that need one; helpers become importable."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import pytest_asyncio

from catalog.adapters.db.migrate import Database
from catalog.adapters.db.unit_of_work import SqlStore
from catalog.core.campaigns.service import Library
from catalog.core.generations.attempts import AttemptLimits, AttemptService
from servicekit.databases import open_engine
from servicekit.testing import NatsFixture, TestClock

sys.path.insert(0, str(Path(__file__).parent))

from catalog_shelf import Shelf, Storage  # importable only now
from catalog_world import World, running

S = TypeVar("S", bound=Shelf)


@pytest_asyncio.fixture
async def world(sqlite_database: str, nats: NatsFixture) -> AsyncIterator[World]:
    """A running catalog with stubs for all its services."""
    async with running(sqlite_database, str(nats)) as world:
        yield world


@pytest_asyncio.fixture
async def shelf(database_url: str, clock: TestClock) -> AsyncIterator[Shelf]:
    """A store on a fresh database of either kind."""
    async with _stored(Shelf, database_url, clock) as shelf:
        yield shelf


@pytest_asyncio.fixture
async def storage(database_url: str, clock: TestClock) -> AsyncIterator[Storage]:
    """The same, with things on it that can be deleted."""
    async with _stored(Storage, database_url, clock) as storage:
        yield storage


@asynccontextmanager
async def _stored(kind: type[S], database_url: str, clock: TestClock) -> AsyncIterator[S]:
    engine = open_engine(database_url, pool_size=10)
    database = Database(engine)
    await database.start()
    store = SqlStore(engine, clock, stalled_after=timedelta(seconds=60))
    yield kind(store, clock, Library(store, clock), AttemptService(store, clock, AttemptLimits()))
    await database.stop()
