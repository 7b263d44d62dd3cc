"""Errors of the database are raised as app errors that say what to do."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import event

from catalog.adapters.unit_of_work import SqlDatabase
from servicekit.clock import SystemClock
from servicekit.database.engine import open_engine
from servicekit.errors import Unavailable


async def test_a_locked_database_is_unavailable(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/catalog.db")
    event.listen(engine.sync_engine, "connect", lambda raw, _: raw.cursor().execute("PRAGMA busy_timeout=10"))
    database = SqlDatabase(engine, SystemClock(), stalled_after=timedelta(seconds=60))
    async with database.read():
        pass
    with closing(sqlite3.connect(tmp_path / "catalog.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="away, busy or full"):
            async with database.write():
                raise AssertionError("it has no transaction")
    async with database.write():
        pass
    await engine.dispose()
