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
from servicekit.errors import AppError
from servicekit.process.lifecycle import StartFailed, StopForced, run
from servicekit.process.main import FAILED, MISCONFIGURED, OK
from servicekit.shared_settings import ProcessSettings
from servicekit.telemetry import logs


def migrate_command(environ: Mapping[str, str]) -> int:
    """Migrate; answers the exit code. 0: it is migrated, 1: it is not, 2: the settings are wrong.

    It waits for a database that is away, however long that takes; a signal ends that.
    """
    logs.configure("catalog", ProcessSettings())
    log = structlog.get_logger("catalog.migrate")
    try:
        settings = load(Settings, environ)
        logs.configure("catalog", settings)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            migrator = Migrator(open_engine(settings.database_url))
            migrated = runner.run(run("catalog", [migrator], until_signal=False))
    except ConfigError as error:
        log.error("wrong settings", problem=str(error))  # noqa: TRY400  # a stack would hide the list
        return MISCONFIGURED
    except (AppError, StartFailed, StopForced) as error:
        log.error("not migrated", reason=str(error))  # noqa: TRY400  # the message is for the operator
        return FAILED
    if not migrated:
        log.error("not migrated", reason="a signal came before the database answered")
        return FAILED
    log.info("migrated")
    return OK
