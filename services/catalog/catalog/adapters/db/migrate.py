"""Bringing a database up to date at start, and keeping a second catalog off a SQLite file."""

from __future__ import annotations

import fcntl
import os
from importlib.resources import files
from pathlib import Path
from typing import IO

from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from servicekit.databases import is_sqlite
from servicekit.errors import Precondition, Unavailable

MIGRATION_LOCK = 7_234_701_001
"""PostgreSQL's advisory lock under which one replica migrates and the others wait."""


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's configuration: the migrations lie beside the code, wherever that is installed."""
    config = Config()
    config.set_main_option("script_location", str(files("catalog") / "migrations"))
    config.attributes["connection"] = connection
    return config


class Database:
    """A `Part`: takes the file, migrates, and lets go of the engine at stop."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._marker: IO[str] | None = None

    async def start(self) -> None:
        """Take the SQLite file for this process alone, and apply the migrations that are missing.

        Raises:
            Precondition: another catalog serves the file, or a newer one has migrated the database.
            Unavailable: the database does not answer.
        """
        if is_sqlite(self._engine):
            self._take()
        try:
            async with self._engine.begin() as connection:
                if not is_sqlite(self._engine):
                    await connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
                await connection.run_sync(_upgrade)
        except CommandError as error:
            raise Precondition(
                f"the database was migrated by a newer catalog ({error}): start that version instead"
            ) from error
        except (DBAPIError, OSError) as error:
            raise Unavailable(
                f"the database at DATABASE_URL does not answer: {type(error).__name__}: {error}"
            ) from error

    async def stop(self) -> None:
        """Close the connections, and give the file up."""
        await self._engine.dispose()
        marker, self._marker = self._marker, None
        if marker is not None:
            marker.close()  # which unlocks it; the file stays, for removing it would race with a start

    def _take(self) -> None:
        name = self._engine.url.database
        if not name or name == ":memory:" or self._marker is not None:
            return
        path = Path(f"{name}.lock")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            marker = path.open("a+")
        except OSError as error:
            raise Unavailable(f"the folder of DATABASE_URL cannot be written: {error}") from error
        try:
            fcntl.flock(marker, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            marker.seek(0)
            holder = marker.read().strip() or "another process"
            marker.close()
            raise Precondition(
                f"the database {name} is served by another catalog already (process {holder}): SQLite serves "
                "one; stop it, or set DATABASE_URL to a PostgreSQL address for several replicas"
            ) from error
        marker.seek(0)
        marker.truncate()
        marker.write(str(os.getpid()))
        marker.flush()
        self._marker = marker


def _upgrade(connection: Connection) -> None:
    command.upgrade(alembic_config(connection), "head")
