"""Reads the provider's record of a run tolerantly: absent and null are alike, unknown words are kept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

WAITING_STATUSES = frozenset({"starting", "queued"})
FINAL_STATUSES = frozenset({"succeeded", "failed", "canceled", "aborted"})
"""Everything else is "still running": an unknown status must not end a paid run (docs/provider.md)."""

_PROGRESS_BAR = re.compile(r"(?<![\d.])(\d{1,3})(?:\.\d+)?\s?%\|")
_LOGS_READ = 4000
"""Characters at the end of the logs that are searched."""


@dataclass(frozen=True)
class Prediction:
    """One run at the provider, as far as its record goes."""

    id: str
    status: str
    output: Any = None
    error: str = ""
    logs: str = ""
    input: Mapping[str, Any] = field(default_factory=dict)
    model: str = ""
    version: str = ""
    webhook: str = ""
    data_removed: bool = False
    metrics: Mapping[str, Any] = field(default_factory=dict)
    created_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None

    @property
    def is_final(self) -> bool:
        return self.status in FINAL_STATUSES

    @property
    def has_started(self) -> bool:
        """Whether it has begun to run (and so may cost something)."""
        return self.started_at is not None or self.status not in (WAITING_STATUSES | {"aborted"})


def read_prediction(raw: Any) -> Prediction | None:
    """Read a prediction from the provider's JSON; None when it is none (no id)."""
    if not isinstance(raw, Mapping) or not isinstance(raw.get("id"), str) or not raw["id"]:
        return None
    return Prediction(
        id=raw["id"],
        status=_text(raw.get("status")).lower(),
        output=raw.get("output"),
        error=_text(raw.get("error")),
        logs=_text(raw.get("logs")),
        input=_object(raw.get("input")),
        model=_text(raw.get("model")),
        version=_text(raw.get("version")),
        webhook=_text(raw.get("webhook")),
        data_removed=raw.get("data_removed") is True,
        metrics=_object(raw.get("metrics")),
        created_at=parse_time(raw.get("created_at")),
        started_at=parse_time(raw.get("started_at")),
        completed_at=parse_time(raw.get("completed_at")),
    )


def parse_time(raw: Any) -> datetime | None:
    """An RFC 3339 time with any number of fraction digits (3, 6, 8 and 9 have been seen), or None."""
    if not isinstance(raw, str):
        return None
    try:
        moment = datetime.fromisoformat(raw.strip())
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def progress_percent(logs: str) -> int | None:
    """How far it is, from the last progress bar ("42%|####") in its logs; None when there is none."""
    found = _PROGRESS_BAR.findall(logs[-_LOGS_READ:])
    return min(int(found[-1]), 100) if found else None


def last_log_line(logs: str, *, longest: int = 120) -> str:
    """What is happening now: the last line of its logs that is no progress bar, cut."""
    lines = (line.strip() for line in logs[-_LOGS_READ:].replace("\r", "\n").splitlines())
    words = [line for line in lines if line and not _PROGRESS_BAR.search(line)]
    return words[-1][:longest] if words else ""


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else str(value)


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
