"""Migrating as a command of its own, and catalogs that wait until it has been run; on real PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from alembic import command
from running_catalog import settings_for
from sqlalchemy import text

from catalog.adapters.db.migrate import Migrator, alembic_config
from catalog.main import build, compose
from servicekit.clock import SystemClock
from servicekit.database.engine import open_engine
from servicekit.errors import Precondition, Unavailable
from servicekit.testing import PostgresServer


class MigrateCommand:
    """`python -m catalog migrate`, as a process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def line(self) -> dict[str, Any]:
        """The next line of its log."""
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), 20.0)
        return dict(json.loads(line))

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def end(self) -> tuple[int, list[dict[str, Any]]]:
        """Its exit code (0 or more: it ended by itself), and the rest of its log."""
        output, _ = await asyncio.wait_for(self._process.communicate(), 20.0)
        assert self._process.returncode is not None
        return self._process.returncode, [json.loads(line) for line in output.splitlines()]


@asynccontextmanager
async def run_migrate(url: str) -> AsyncIterator[MigrateCommand]:
    """Run the command; it is killed at the end when it has not ended by itself."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "catalog", "migrate", stdout=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "DATABASE_URL": url, "RUSHES_LOG": "json"},
    )  # fmt: skip
    try:
        yield MigrateCommand(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def set_revision(url: str, revision: str) -> None:
    engine = open_engine(url)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = :to"), {"to": revision})
    await engine.dispose()


async def test_it_waits_for_the_database_and_migrates_it() -> None:
    server = PostgresServer()
    try:
        async with run_migrate(server.url("postgres")) as migrating:
            waiting = await migrating.line()
            assert (waiting["event"], waiting["part"]) == ("waiting to start", "Migrator")
            assert "ConnectionRefusedError" in waiting["reason"]
            await server.start()
            code, log = await migrating.end()
        assert (code, [each["event"] for each in log if each["logger"] == "catalog.migrate"]) == (
            0,
            ["migrated"],
        )
        catalog = Migrator(open_engine(server.url("postgres")), migrate=False)
        await catalog.start()
        await catalog.stop()
    finally:
        await server.stop()


async def test_a_signal_ends_its_wait_for_the_database() -> None:
    async with run_migrate(PostgresServer().url("postgres")) as migrating:
        assert (await migrating.line())["event"] == "waiting to start"
        migrating.signal(signal.SIGTERM)
        async with asyncio.timeout(5):
            code, log = await migrating.end()
    assert (code, log[-1]["event"]) == (1, "not migrated")
    assert "a signal came" in log[-1]["reason"]


async def test_an_address_that_is_none_is_reported_without_a_stack() -> None:
    async with run_migrate("mysql://db/rushes") as migrating:
        code, [line] = await migrating.end()
    assert (code, line["event"]) == (1, "not migrated")
    assert line["reason"] == "DATABASE_URL: mysql is not supported, sqlite and postgresql are"


async def test_many_at_once_migrate_it_once(postgres_database: str) -> None:
    replicas = [Migrator(open_engine(postgres_database)) for _ in range(4)]
    await asyncio.gather(*(each.start() for each in replicas))
    await asyncio.gather(*(each.stop() for each in replicas))


async def test_a_database_of_a_newer_catalog_is_left_alone(postgres_database: str) -> None:
    migrator = Migrator(open_engine(postgres_database))
    await migrator.start()
    await migrator.stop()
    await set_revision(postgres_database, "9999")
    async with run_migrate(postgres_database) as migrating:
        code, log = await migrating.end()
    assert code == 1
    assert log[-1]["event"] == "not migrated"
    assert "migrated by a newer catalog" in log[-1]["reason"]
    for migrates in (True, False):
        catalog = Migrator(open_engine(postgres_database), migrate=migrates)
        with pytest.raises(Precondition, match="newer catalog"):
            await catalog.start()
        await catalog.stop()


async def test_a_migration_that_is_refused_is_not_waited_for(postgres_database: str) -> None:
    engine = open_engine(postgres_database)
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE jobs (id text)"))
    await engine.dispose()
    migrator = Migrator(open_engine(postgres_database))
    with pytest.raises(Precondition, match=r'refuses a migration: .*"jobs" already exists'):
        await migrator.start()
    await migrator.stop()


async def test_a_catalog_that_does_not_migrate_waits_for_every_migration(database_url: str) -> None:
    settings = settings_for(database_url, "nats://127.0.0.1:1", "127.0.0.1:1", migrate_at_start=False)
    waiting = compose(settings, SystemClock()).parts[0]
    with pytest.raises(Unavailable, match=r"it is at no migration.*catalog migrate"):
        await waiting.start()
    await waiting.stop()
    engine = open_engine(database_url)
    migrator = Migrator(engine)
    await migrator.start()
    async with engine.begin() as connection:
        await connection.run_sync(lambda sync: command.downgrade(alembic_config(sync), "0007"))
    await migrator.stop()
    with pytest.raises(Unavailable, match="not migrated yet: it is at 0007"):
        await waiting.start()
    await waiting.stop()
    await migrator.start()
    await migrator.stop()
    await waiting.start()
    await waiting.stop()


async def test_the_setting_decides_and_is_on_by_itself(sqlite_database: str) -> None:
    waiting = build({"DATABASE_URL": sqlite_database, "MIGRATE_AT_START": "false"})[0]
    with pytest.raises(Unavailable, match="MIGRATE_AT_START=true"):
        await waiting.start()
    await waiting.stop()
    migrating = build({"DATABASE_URL": sqlite_database})[0]
    await migrating.start()
    await migrating.stop()
