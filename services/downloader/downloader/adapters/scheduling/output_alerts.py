"""Writes into the log, and counts, what operators must know of outputs."""

from __future__ import annotations

import structlog

from downloader.core.scheduling.domain.outputs import Output
from servicekit.telemetry.alert_metrics import OUTPUTS_AT_RISK, OUTPUTS_LOST

_log = structlog.get_logger("downloader")


class LoggedOutputAlerts:
    """See `core.scheduling.ports.OutputAlerts`."""

    def at_risk(self, output: Output, seconds_left: float, reason: str) -> None:
        OUTPUTS_AT_RISK.inc()
        _log.error("output at risk", seconds_left=round(seconds_left), **_about(output, reason))

    def lost(self, output: Output, reason: str) -> None:
        OUTPUTS_LOST.inc()
        _log.error("output lost", **_about(output, reason))

    def unexpected_host(self, output: Output, host: str) -> None:
        about = _about(output, "add it to FETCH_EXPECT when the provider delivers from there")
        _log.warning("output from a host that none is expected from", host=host, **about)


def _about(output: Output, reason: str) -> dict[str, object]:
    return {
        "generation_id": output.generation,
        "index": output.index,
        "job_id": output.job,
        "reason": reason,
    }
