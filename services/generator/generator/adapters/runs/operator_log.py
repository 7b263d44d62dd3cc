"""What operators are told: log lines, counters, and whether the lane is closed."""

from __future__ import annotations

import structlog
from prometheus_client import Counter, Gauge

EVENTS = Counter("rushes_generator_events", "What happened on the way to the provider", ["event"])
LANE_CLOSED = Gauge(
    "rushes_provider_lane_closed",
    "1 while nothing may be submitted (401 or 402, or a list that may not be read)",
    ["provider"],
)


class LogJournal:
    """A `Journal` in logs and metrics."""

    def __init__(self, provider: str) -> None:
        self._log = structlog.get_logger("generator").bind(provider=provider)
        self._closed = LANE_CLOSED.labels(provider)
        self._closed.set(0)

    def note(self, event: str, **facts: object) -> None:
        """Worth knowing."""
        EVENTS.labels(event).inc()
        if event == "lane_reopened":
            self._closed.set(0)
        self._log.info(event, **facts)

    def alarm(self, event: str, **facts: object) -> None:
        """Somebody has to act."""
        EVENTS.labels(event).inc()
        if event == "lane_closed":
            self._closed.set(1)
            facts["way_out"] = (
                "put REPLICATE_API_TOKEN or the credit at the provider right; "
                "it is tried again by itself, and at once after a restart"
            )
        self._log.error(event, **facts)
