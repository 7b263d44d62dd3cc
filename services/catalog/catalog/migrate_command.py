"""`python -m catalog migrate`: waits for the database, migrates it, and ends."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog
import uvloop

from catalog.adapters.db.migrate import Migrator
from catalog.config import Settings
from servicekit.config import ConfigError, load
from servicekit.database.engine import open_engine
from servicekit.errors import AppError, Unavailable
from servicekit.process.main import FAILED, MISCONFIGURED, OK
from servicekit.shared_settings import ProcessSettings
from servicekit.telemetry import logs

TRY_EVERY = 1.0
"""Seconds between two tries to reach the database."""

LOG_EVERY = 10.0
"""Seconds between two lines of the log that say what it waits for."""


def migrate_command(environ: Mapping[str, str]) -> int:
    """Migrate; answers the exit code. 0: it is migrated, 1: it cannot be, 2: the settings are wrong."""
    logs.configure("catalog", ProcessSettings())
    log = structlog.get_logger("catalog.migrate")
    try:
        settings = load(Settings, environ)
        logs.configure("catalog", settings)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_migrate(settings.database_url, log))
    except ConfigError as error:
        log.error("wrong settings", problem=str(error))  # noqa: TRY400  # a stack would hide the list
        return MISCONFIGURED
    except AppError as error:
        log.error("not migrated", reason=error.message)  # noqa: TRY400  # the message is for the operator
        return FAILED
    log.info("migrated")
    return OK


async def _migrate(database_url: str, log: structlog.typing.FilteringBoundLogger) -> None:
    """Migrate it as soon as it answers, however long that takes."""
    clock, log_at = asyncio.get_running_loop().time, 0.0
    migrator = Migrator(open_engine(database_url))
    while True:
        try:
            await migrator.start()
        except Unavailable as error:
            if clock() >= log_at:
                log.warning("waiting for the database", reason=error.message)
                log_at = clock() + LOG_EVERY
        else:
            return
        finally:
            await migrator.stop()
        await asyncio.sleep(TRY_EVERY)
