"""Writes what operators read: log lines, counters, and a gauge of the circuit breaker."""

from __future__ import annotations

import structlog
from prometheus_client import Counter, Gauge

EVENTS = Counter("rushes_generator_events", "What happened on the way to the provider", ["event"])
BREAKER_TRIPPED = Gauge(
    "rushes_provider_breaker_open",
    "1 while nothing may be submitted (401 or 402, or a list that may not be read)",
    ["provider"],
)
SPACING = Gauge(
    "rushes_provider_start_spacing_seconds",
    "Seconds between two starts over all replicas: REPLICATE_START_DELAY_MS, or what the provider demands",
    ["provider"],
)
BLOCKED = Gauge(
    "rushes_provider_blocked_seconds",
    "Seconds until the provider lets anybody start again, after it has answered 429; 0 when it does",
    ["provider"],
)
WAITING = Gauge(
    "rushes_provider_waiting_generations",
    "Generations of this process that wait for their start",
    ["provider"],
)


class StructlogOperatorLog:
    """An `OperatorLog` in logs and metrics."""

    def __init__(self, provider: str) -> None:
        self._log = structlog.get_logger("generator").bind(provider=provider)
        self._breaker_tripped = BREAKER_TRIPPED.labels(provider)
        self._breaker_tripped.set(0)
        self._spacing = SPACING.labels(provider)
        self._blocked = BLOCKED.labels(provider)
        self._waiting = WAITING.labels(provider)

    def note(self, event: str, **details: object) -> None:
        EVENTS.labels(event).inc()
        if event == "breaker_closed":
            self._breaker_tripped.set(0)
        self._log.info(event, **details)

    def alarm(self, event: str, **details: object) -> None:
        EVENTS.labels(event).inc()
        if event == "breaker_opened":
            self._breaker_tripped.set(1)
            details["way_out"] = (
                "put REPLICATE_API_TOKEN or the credit at the provider right; "
                "it is tried again by itself, and at once after a restart"
            )
        self._log.error(event, **details)

    def show_limits(self, *, spacing: float, blocked: float) -> None:
        self._spacing.set(spacing)
        self._blocked.set(blocked)

    def show_waiting(self, count: int) -> None:
        self._waiting.set(count)
