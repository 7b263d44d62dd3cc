"""`python -m catalog rebuild`: fills an empty database from the journal, and says what came of it."""

# ruff: noqa: T201  # a command for people

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping

import uvloop

from catalog.adapters.rebuild import RebuildReport
from catalog.config import Settings
from catalog.main import rebuild
from servicekit.clock import SystemClock
from servicekit.config import ConfigError, load
from servicekit.errors import AppError
from servicekit.process.main import FAILED, MISCONFIGURED, OK
from servicekit.telemetry import logs

WITH_GAPS = 3
SHOWN = 20
"""Gaps that are named; the rest is counted."""


def rebuild_command(environ: Mapping[str, str]) -> int:
    """Rebuild; answers the exit code. 0: all of it, 1: nothing, 2: the settings are wrong, 3: with gaps."""
    try:
        settings = load(Settings, environ)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return MISCONFIGURED
    logs.configure("catalog", settings)
    begun = time.monotonic()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            report = runner.run(rebuild(settings, SystemClock(), report=_show_progress))
    except AppError as error:
        print(f"Nothing was rebuilt: {error.message}", file=sys.stderr)
        return FAILED
    _show(report, time.monotonic() - begun)
    return WITH_GAPS if report.gaps or report.unreadable else OK


def _show_progress(read: int) -> None:
    print(f"read {read:,} entries", flush=True)


def _show(report: RebuildReport, seconds: float) -> None:
    print(f"rebuilt from {report.entries:,} entries in {seconds:.1f} s:")
    for table, rows in report.rows.items():
        print(f"  {table:<12} {rows:>10,}")
    if not report.named:
        print("The journal does not name the database: it has a new name, and no sweep removes any blob.")
    sys.stdout.flush()
    for text in report.unreadable[:SHOWN]:
        print(f"not read: {text}", file=sys.stderr)
    for gap in report.gaps[:SHOWN]:
        print(
            f"{gap.record_id} is as it was at revision {gap.revision}: later entries are missing, up to "
            f"{gap.next_revision - 1}",
            file=sys.stderr,
        )
    if (more := len(report.gaps) - SHOWN) > 0:
        print(f"… and {more:,} more records", file=sys.stderr)
