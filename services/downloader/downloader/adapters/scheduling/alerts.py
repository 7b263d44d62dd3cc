"""Alarms for operators: an error in the log, and counters."""

from __future__ import annotations

import structlog

from downloader.core.scheduling.domain.outputs import Output
from servicekit.alarms import OUTPUTS_AT_RISK, OUTPUTS_LOST


class LoggedAlarms:
    """See `core.ports.Alarms`."""

    def __init__(self) -> None:
        self._log = structlog.get_logger("downloader")

    def at_risk(self, output: Output, seconds_left: float, reason: str) -> None:
        """It expires soon and is not stored yet."""
        OUTPUTS_AT_RISK.inc()
        self._log.error("output at risk", seconds_left=round(seconds_left), **_about(output, reason))

    def lost(self, output: Output, reason: str) -> None:
        """It has expired and is not stored."""
        OUTPUTS_LOST.inc()
        self._log.error("output lost", **_about(output, reason))

    def stranger(self, output: Output, host: str) -> None:
        """It comes from a host that none is expected from."""
        about = _about(output, "add it to FETCH_EXPECT when the provider delivers from there")
        self._log.warning("output from a host that none is expected from", host=host, **about)


def _about(output: Output, reason: str) -> dict[str, object]:
    return {"generation": output.generation, "index": output.index, "job": output.job, "reason": reason}
