"""A whole catalog in this process, on SQLite, for the tests that need one; helpers become importable."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from servicekit.testing import NatsFixture

sys.path.insert(0, str(Path(__file__).parent))

from catalog_world import World, running  # importable only now


@pytest_asyncio.fixture
async def world(sqlite_database: str, nats: NatsFixture) -> AsyncIterator[World]:
    """A running catalog with stubs for all its services."""
    async with running(sqlite_database, str(nats)) as world:
        yield world
