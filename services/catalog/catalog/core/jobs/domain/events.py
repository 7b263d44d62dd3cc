"""What happens to a job, in the past tense."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from catalog.core.jobs.domain.model import Edit, JobRequest, Music, Scene
from catalog.core.shared.domain import Error, Facts


@dataclass(frozen=True)
class JobCreated:
    """Somebody wants a film; it is being planned."""

    at: datetime
    id: str
    campaign_id: str
    request: JobRequest
    edit: Edit


@dataclass(frozen=True)
class PlanningRepeated:
    """Nothing came of the planning (a crash): it begins again."""

    at: datetime


@dataclass(frozen=True)
class JobPlanned:
    """The scenes are written; approval is awaited."""

    at: datetime
    scenes: tuple[Scene, ...]
    planner: str
    music: Music | None = None


@dataclass(frozen=True)
class JobApproved:
    """Money may be spent: these generations render the scenes, in order, and the music."""

    at: datetime
    generation_ids: tuple[str, ...]
    music_generation_id: str = ""


@dataclass(frozen=True)
class JobPaused:
    """New submissions are held back."""

    at: datetime


@dataclass(frozen=True)
class JobResumed:
    """New submissions are wanted again."""

    at: datetime


@dataclass(frozen=True)
class ClipStored:
    """A scene's clip is here."""

    at: datetime
    scene_id: str
    media_id: str
    blob_key: str


@dataclass(frozen=True)
class MusicStored:
    """The composed music is here."""

    at: datetime
    blob_key: str


@dataclass(frozen=True)
class SceneFailed:
    """A scene was given up."""

    at: datetime
    scene_id: str
    error: Error


@dataclass(frozen=True)
class StitchRequested:
    """The stitcher is asked for a cut, `delay` seconds from now."""

    at: datetime
    version: int
    round: int
    delay: float = 0.0
    stalled: bool = False


@dataclass(frozen=True)
class StitchFailed:
    """The stitcher gave a cut up."""

    at: datetime
    version: int
    error: Error


@dataclass(frozen=True)
class CutStored:
    """A cut is here."""

    at: datetime
    version: int
    cut_key: str
    thumbnail_key: str
    facts: Facts


@dataclass(frozen=True)
class JobCompleted:
    """The film is here; it has cost so much."""

    at: datetime
    version: int
    cost_micros: int


@dataclass(frozen=True)
class JobFailed:
    """Given up."""

    at: datetime
    error: Error


@dataclass(frozen=True)
class JobCanceled:
    """Stopped by request."""

    at: datetime


@dataclass(frozen=True)
class ClipDeleted:
    """A scene's clip was deleted."""

    at: datetime
    scene_id: str


@dataclass(frozen=True)
class MusicDeleted:
    """The composed music was deleted."""

    at: datetime


@dataclass(frozen=True)
class CutDeleted:
    """A cut was deleted; its bytes and its poster's are to be removed."""

    at: datetime
    version: int
    cut_key: str
    thumbnail_key: str


JobEvent = (
    JobCreated
    | PlanningRepeated
    | JobPlanned
    | JobApproved
    | JobPaused
    | JobResumed
    | ClipStored
    | MusicStored
    | SceneFailed
    | StitchRequested
    | StitchFailed
    | CutStored
    | JobCompleted
    | JobFailed
    | JobCanceled
    | ClipDeleted
    | MusicDeleted
    | CutDeleted
)
