"""Migrates the database at start, or checks that it is migrated; keeps a second catalog off a SQLite file."""

from __future__ import annotations

import fcntl
import os
from importlib.resources import files
from pathlib import Path
from typing import IO

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from servicekit.database.engine import is_sqlite
from servicekit.database.errors import is_transient
from servicekit.errors import Precondition, Unavailable

MIGRATION_LOCK = 7_234_701_001
"""PostgreSQL's advisory lock under which one replica migrates and the others wait.

A catalog of another release has to wait for it too, so the number stays: it is larger than any that
`servicekit.database.turn` makes of a name."""


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's configuration: the migrations are beside the code, wherever that is installed."""
    config = Config()
    config.set_main_option("script_location", str(files("catalog") / "migrations"))
    config.attributes["connection"] = connection
    return config


class Migrator:
    """A `Part`: at start it locks a SQLite file and migrates the database, at stop it closes the engine.

    Args:
        migrate: whether it applies the migrations that are missing; else they have to be there.
    """

    def __init__(self, engine: AsyncEngine, *, migrate: bool = True) -> None:
        self._engine = engine
        self._migrates = migrate
        self._lock_file: IO[str] | None = None

    async def start(self) -> None:
        """Lock a SQLite file for this process alone, and see to it that the database has our tables.

        Raises:
            Precondition: another catalog serves the file, a newer one has migrated the database, or the
                database refuses a migration.
            Unavailable: the database does not answer, or is not migrated yet.
        """
        if is_sqlite(self._engine):
            self._lock_sqlite_file()
        connected = False
        try:
            async with self._engine.begin() as connection:
                connected = True
                if self._migrates and not is_sqlite(self._engine):
                    await connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
                await connection.run_sync(_upgrade if self._migrates else _check)
        except CommandError as error:
            raise Precondition(
                f"the database was migrated by a newer catalog ({error}): start that version instead"
            ) from error
        except (DBAPIError, OSError) as error:
            reason = f"{type(error).__name__}: {getattr(error, 'orig', None) or error}"
            if connected and not is_transient(error):
                raise Precondition(f"the database refuses a migration: {reason}") from error
            raise Unavailable(f"the database at DATABASE_URL does not answer: {reason}") from error

    async def stop(self) -> None:
        """Close the connections, and unlock the file."""
        await self._engine.dispose()
        lock_file, self._lock_file = self._lock_file, None
        if lock_file is not None:
            lock_file.close()  # which unlocks it; the file stays, for removing it would race with a start

    def _lock_sqlite_file(self) -> None:
        name = self._engine.url.database
        if not name or name == ":memory:" or self._lock_file is not None:
            return
        path = Path(f"{name}.lock")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock_file = path.open("a+")
        except OSError as error:
            raise Unavailable(f"the folder of DATABASE_URL cannot be written: {error}") from error
        try:
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock_file.seek(0)
            holder = lock_file.read().strip() or "another process"
            lock_file.close()
            raise Precondition(
                f"the database {name} is served by another catalog already (process {holder}): SQLite serves "
                "one; stop it, or set DATABASE_URL to a PostgreSQL address for several replicas"
            ) from error
        lock_file.seek(0)
        lock_file.truncate()
        lock_file.write(str(os.getpid()))
        lock_file.flush()
        self._lock_file = lock_file


def _upgrade(connection: Connection) -> None:
    command.upgrade(alembic_config(connection), "head")


def _check(connection: Connection) -> None:
    """Unavailable while a migration is missing; CommandError when the database has one that is not ours."""
    ours = ScriptDirectory.from_config(alembic_config())
    found, wanted = MigrationContext.configure(connection).get_current_revision(), ours.get_current_head()
    if found == wanted:
        return
    if found:
        ours.get_revision(found)
    raise Unavailable(
        f"the database is not migrated yet: it is at {found or 'no migration'}, and this catalog needs "
        f"{wanted}: run `python -m catalog migrate`, or set MIGRATE_AT_START=true"
    )
