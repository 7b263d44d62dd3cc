"""An entry of the journal: what one unit of work did to one record, and the events of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from catalog.core.access.domain import ApiKey
from catalog.core.campaigns.domain import Asset, Campaign, Client
from catalog.core.generations.domain.events import GenerationEvent, ProgressReported
from catalog.core.generations.domain.model import Generation, Stage
from catalog.core.jobs.domain.events import JobEvent, StitchProgressed
from catalog.core.jobs.domain.model import Job, JobStatus, TimelineEntry


class Entity(StrEnum):
    """The kinds of records that are journaled. The rows of their parts are made from them."""

    SYSTEM = "system"
    CLIENT = "client"
    CAMPAIGN = "campaign"
    ASSET = "asset"
    API_KEY = "api_key"
    JOB = "job"
    GENERATION = "generation"


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


RECORD_TYPES: dict[Entity, type[Any]] = {
    Entity.SYSTEM: System,
    Entity.CLIENT: Client,
    Entity.CAMPAIGN: Campaign,
    Entity.ASSET: Asset,
    Entity.API_KEY: ApiKey,
    Entity.JOB: Job,
    Entity.GENERATION: Generation,
}


@dataclass(frozen=True)
class Progress:
    """How far a record was. Progress comes every second and has no entry: the next one carries the last."""

    percent: float
    message: str
    updated_at: datetime
    last_event_at: datetime
    stalled_rounds: int

    @classmethod
    def of(cls, state: Generation | Job) -> Progress:
        return cls(state.percent, state.message, state.updated_at, state.last_event_at, state.stalled_rounds)


@dataclass(frozen=True)
class Entry:
    """What happened to a record.

    Args:
        revision: of the record, after it. Each entry of a record has the next one, but for a snapshot, which
            may leave some out.
        events: of the record's domain, or a `Snapshot`, or a `Deletion`.
        job_id: the job whose timeline it belongs to; empty: none.
        place: its number among all entries that belong to timelines; 0: it belongs to none.
        progress: how far the record was before, where progress may have been reported since the last entry.
    """

    entity: Entity
    record_id: str
    revision: int
    at: datetime
    events: tuple[Any, ...]
    job_id: str = ""
    progress: Progress | None = None
    place: int = 0

    @property
    def id(self) -> str:
        return f"{self.record_id}:{self.revision}"

    @property
    def stands_alone(self) -> bool:
        """Whether it says what the record is, whatever was before."""
        return any(isinstance(event, Snapshot | Deletion) for event in self.events)


def is_progress(events: Sequence[GenerationEvent] | Sequence[JobEvent]) -> bool:
    """Whether these events only say how far something is: then there is no entry, nor a revision."""
    return all(isinstance(event, ProgressReported | StitchProgressed) for event in events)


_REPORTING = frozenset({Stage.SUBMITTING, Stage.RUNNING, Stage.FETCHING})
"""Where generations report progress; jobs do while they are stitched."""


def generation_entry(
    before: Generation | None, after: Generation, events: Sequence[GenerationEvent]
) -> Entry:
    reported = before is not None and before.stage in _REPORTING
    return Entry(
        Entity.GENERATION,
        after.id,
        after.revision,
        events[-1].at,
        tuple(events),
        after.job_id,
        Progress.of(before) if before is not None and reported else None,
    )


def job_entry(before: Job | None, after: Job, events: Sequence[JobEvent]) -> Entry:
    reported = before is not None and before.status is JobStatus.STITCHING
    return Entry(
        Entity.JOB,
        after.id,
        after.revision,
        events[-1].at,
        tuple(events),
        after.id,
        Progress.of(before) if before is not None and reported else None,
    )
