"""Metrics for alert rules that more than one service counts under one name, so that one rule covers all."""

from __future__ import annotations

from prometheus_client import Counter

OUTPUTS_AT_RISK = Counter(
    "rushes_outputs_at_risk", "Alarms for outputs that expire within 10 minutes and are not stored yet"
)
OUTPUTS_LOST = Counter("rushes_outputs_lost", "Outputs that the provider deleted before they were stored")
