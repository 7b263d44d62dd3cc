"""What the journal knows of a record beside the events of its own domain."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from catalog.core.jobs.domain.model import TimelineEntry


@dataclass(frozen=True)
class Snapshot:
    """The whole record, as it was then. It stands for every event before it."""

    at: datetime
    record: Any


@dataclass(frozen=True)
class Deletion:
    """The record was removed from its table."""

    at: datetime


@dataclass(frozen=True)
class TimelineCarriedOver:
    """What the timeline of a job said by then, in words. It stands for every entry before it."""

    at: datetime
    entries: tuple[TimelineEntry, ...]


@dataclass(frozen=True)
class System:
    """The name of the database, by which a blob store knows whose it is (ADR 6)."""

    id: str
    revision: int = 0
