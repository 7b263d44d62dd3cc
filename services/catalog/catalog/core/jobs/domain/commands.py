"""What can be asked of a job, in the imperative."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from catalog.core.budget.domain import Account
from catalog.core.jobs.domain.model import Edit, JobRequest, Music, Scene
from catalog.core.shared.domain import Error, Facts


@dataclass(frozen=True)
class CreateJob:
    """Begin a production."""

    at: datetime
    id: str
    campaign_id: str
    request: JobRequest
    edit: Edit


@dataclass(frozen=True)
class PlanAgain:
    """Its planning was stalled too long."""

    at: datetime


@dataclass(frozen=True)
class PlanJob:
    """Write its scenes, and the music's run when it is composed."""

    at: datetime
    scenes: tuple[Scene, ...]
    planner: str
    music: Music | None = None


@dataclass(frozen=True)
class ApproveJob:
    """Let it spend money: these generations, in the order of the scenes. `accounts` must have room."""

    at: datetime
    generation_ids: tuple[str, ...]
    music_generation_id: str = ""
    accounts: tuple[Account, ...] = ()


@dataclass(frozen=True)
class PauseJob:
    """Hold new submissions back."""

    at: datetime


@dataclass(frozen=True)
class ResumeJob:
    """Want new submissions again."""

    at: datetime


@dataclass(frozen=True)
class CancelJob:
    """Stop it."""

    at: datetime


@dataclass(frozen=True)
class FailJob:
    """Give it up, for a reason outside its scenes."""

    at: datetime
    error: Error


@dataclass(frozen=True)
class RecordRunStored:
    """One of its generations has stored its first output."""

    at: datetime
    generation_id: str
    media_id: str
    blob_key: str


@dataclass(frozen=True)
class RecordRunEnded:
    """One of its generations ended without its output, for good."""

    at: datetime
    generation_id: str
    error: Error


@dataclass(frozen=True)
class RequestStitchAgain:
    """The stitcher was stalled too long."""

    at: datetime


@dataclass(frozen=True)
class RecordStitchFailed:
    """The stitcher gave a version up."""

    at: datetime
    version: int
    error: Error


@dataclass(frozen=True)
class RecordCut:
    """The stitcher stored a version; the job has cost so much by now."""

    at: datetime
    version: int
    cut_key: str
    thumbnail_key: str
    facts: Facts
    cost_micros: int


@dataclass(frozen=True)
class RecordRunDeleted:
    """An output of one of its generations was deleted."""

    at: datetime
    generation_id: str
    blob_key: str


@dataclass(frozen=True)
class DeleteCuts:
    """Delete every cut of it."""

    at: datetime


JobCommand = (
    CreateJob
    | PlanAgain
    | PlanJob
    | ApproveJob
    | PauseJob
    | ResumeJob
    | CancelJob
    | FailJob
    | RecordRunStored
    | RecordRunEnded
    | RequestStitchAgain
    | RecordStitchFailed
    | RecordCut
    | RecordRunDeleted
    | DeleteCuts
)
