"""Alerts operators: by an error in the log, and by the counters that the downloader's alarms have too."""

from __future__ import annotations

import structlog

from catalog.core.generations.domain.model import LostOutput
from servicekit.telemetry.alert_metrics import OUTPUTS_AT_RISK, OUTPUTS_LOST


class LoggedAlerts:
    def __init__(self) -> None:
        self._log = structlog.get_logger("catalog")

    def at_risk(self, output: LostOutput, seconds_left: float) -> None:
        OUTPUTS_AT_RISK.inc()
        self._log.error("output at risk", seconds_left=round(seconds_left), **_about(output))

    def lost(self, output: LostOutput) -> None:
        OUTPUTS_LOST.inc()
        self._log.error("output lost", **_about(output))


def _about(output: LostOutput) -> dict[str, object]:
    return {
        "generation_id": output.generation_id,
        "index": output.index,
        "job_id": output.job_id,
        "reason": output.error.message,
    }
