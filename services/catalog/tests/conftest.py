"""A whole catalog in this process, and its core alone; helpers become importable."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from catalog.adapters.db.migrate import Migrator
from catalog.adapters.unit_of_work import SqlDatabase
from servicekit.database.engine import open_engine
from servicekit.testing import NatsFixture, SimulatedClock

sys.path.insert(0, str(Path(__file__).parent))

from catalog_core import CatalogCore  # importable only now
from journal_guard import journal_guard
from running_catalog import RunningCatalog, running


@pytest_asyncio.fixture
async def catalog(sqlite_database: str, nats: NatsFixture) -> AsyncIterator[RunningCatalog]:
    """A running catalog on SQLite, with stubs for all its services."""
    async with running(sqlite_database, str(nats)) as catalog:
        yield catalog


@pytest_asyncio.fixture
async def core(database_url: str, clock: SimulatedClock) -> AsyncIterator[CatalogCore]:
    """The use cases on a fresh database of either kind."""
    engine = open_engine(database_url, pool_size=10)
    migrator = Migrator(engine)
    await migrator.start()
    yield CatalogCore(SqlDatabase(engine, clock, stalled_after=timedelta(seconds=60)), clock)
    await migrator.stop()


@pytest.fixture
def rows_by_hand() -> None:
    """For tests that write rows as the catalog never does."""


@pytest.fixture(autouse=True)
def _journaled(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test does to records: no row changes without an entry in the journal."""
    with journal_guard() as guard:
        yield
    if "rows_by_hand" not in request.fixturenames:
        assert guard.problems == []
