"""`rushes rebuild`: makes the database of a data folder again, from the journal in its event log."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from rushes_cli import output
from rushes_cli.data_folder import DataFolder
from rushes_cli.errors import FAILED, CommandError
from rushes_cli.stack.external_servers import check_reachable
from servicekit.embedded.nats import NatsServer
from servicekit.errors import Unavailable

WITH_GAPS = 3
"""Exit code of `python -m catalog rebuild`: there is a database, and entries of some records are missing."""

_PARTS = ("", "-wal", "-shm")
"""What the names of a SQLite database's files end with."""


async def rebuild(folder: DataFolder, environ: Mapping[str, str]) -> int:
    """Move the database aside, and fill a new one; with DATABASE_URL the one that it names, which is empty.

    Raises:
        CommandError: a stack runs on the folder, it has no event log, or nothing could be rebuilt. Then
            everything is where it was.
    """
    if not environ.get("NATS_URL") and not (folder.path / "nats" / "jetstream").is_dir():
        raise CommandError(
            f"{folder.path} has no event log to rebuild a database from.",
            "Name the right folder with --data or RUSHES_DATA, or a log elsewhere with NATS_URL.",
        )
    folder.prepare()
    with folder.lock():
        database = None if environ.get("DATABASE_URL") else folder.path / "catalog.db"
        aside = _move_aside(database, "before-rebuild") if database else None
        code = FAILED
        try:
            async with _event_log(folder, environ) as nats_url:
                code = await _run_catalog(database, nats_url, environ)
        finally:
            if code not in (0, WITH_GAPS) and database:
                _move_aside(database, "failed-rebuild")
                if aside:
                    _move(aside, database)
    if code not in (0, WITH_GAPS):
        raise CommandError("Nothing was rebuilt, and the database is where it was.", exit_code=FAILED)
    if aside:
        output.line(f"The database of before is {aside}.")
    output.line(
        "Start it with `rushes up`: what was under way is requested again by itself. `rushes storage check` "
        "compares the records with the files."
    )
    return FAILED if code == WITH_GAPS else 0


@asynccontextmanager
async def _event_log(folder: DataFolder, environ: Mapping[str, str]) -> AsyncIterator[str]:
    """The address of the event log: the one that people name, or the folder's, which is run meanwhile."""
    if address := environ.get("NATS_URL"):
        await check_reachable(address)
        yield address
        return
    server = NatsServer(folder.path / "nats")
    try:
        await server.start()
        yield server.url
    except Unavailable as error:
        raise CommandError(
            f"The event log did not start: {error}", "`rushes doctor` looks for the reason.", exit_code=FAILED
        ) from error
    finally:
        await server.stop()


async def _run_catalog(database: Path | None, nats_url: str, environ: Mapping[str, str]) -> int:
    """Run the catalog's own command, which says what it does; answers its exit code."""
    given = {"DATABASE_URL": f"sqlite+aiosqlite:///{database}"} if database else {}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "catalog", "rebuild", env={**environ, **given, "NATS_URL": nats_url}
    )
    try:
        return await process.wait()
    finally:
        if process.returncode is None:  # Ctrl-C: the transaction is not committed
            process.terminate()
            await process.wait()


def _move_aside(database: Path, why: str) -> Path | None:
    """Rename the files of a database; answers its new name, None when there is none."""
    if not database.exists():
        return None
    now = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    aside = database.with_name(f"{database.name}.{why}-{now}")
    _move(database, aside)
    return aside


def _move(database: Path, to: Path) -> None:
    for part in _PARTS:
        file = database.with_name(database.name + part)
        if file.exists():
            file.rename(to.with_name(to.name + part))
