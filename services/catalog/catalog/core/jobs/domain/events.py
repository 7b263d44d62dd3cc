"""What happens to a job, in the past tense. Its tables are the fold of these events."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from catalog.core.jobs.domain.model import Edit, JobRequest, Music, Scene
from catalog.core.shared.domain import Error, Facts


@dataclass(frozen=True)
class JobCreated:
    """Somebody wants a video; its scenes are being chosen."""

    at: datetime
    id: str
    campaign_id: str
    request: JobRequest
    edit: Edit


@dataclass(frozen=True)
class PlanningRepeated:
    """Nothing came of the planning, for the process died: it begins again."""

    at: datetime


@dataclass(frozen=True)
class JobPlanned:
    """The scenes are chosen, checked and priced; approval is awaited."""

    at: datetime
    scenes: tuple[Scene, ...]
    planner: str
    music: Music | None = None


@dataclass(frozen=True)
class JobApproved:
    """Money may be spent on these generations: of the scenes, in their order, and of the music."""

    at: datetime
    generation_ids: tuple[str, ...]
    music_generation_id: str = ""


@dataclass(frozen=True)
class JobPaused:
    at: datetime


@dataclass(frozen=True)
class JobResumed:
    at: datetime


@dataclass(frozen=True)
class ClipStored:
    at: datetime
    scene_id: str
    media_id: str
    blob_key: str


@dataclass(frozen=True)
class MusicStored:
    at: datetime
    blob_key: str


@dataclass(frozen=True)
class SceneFailed:
    """The generation of a scene ended without a clip."""

    at: datetime
    scene_id: str
    error: Error


@dataclass(frozen=True)
class StitchRequested:
    """A cut is requested, `delay` seconds from now; `stalled`: since no event came of the last request."""

    at: datetime
    version: int
    round: int
    delay: float = 0.0
    stalled: bool = False


@dataclass(frozen=True)
class StitchProgressed:
    at: datetime
    version: int
    percent: float
    message: str


@dataclass(frozen=True)
class StitchFailed:
    at: datetime
    version: int
    error: Error


@dataclass(frozen=True)
class CutStored:
    at: datetime
    version: int
    cut_key: str
    thumbnail_key: str
    facts: Facts


@dataclass(frozen=True)
class JobCompleted:
    """The video is ready; `cost_micros`: of all its generations."""

    at: datetime
    version: int
    cost_micros: int


@dataclass(frozen=True)
class JobFailed:
    at: datetime
    error: Error


@dataclass(frozen=True)
class JobCanceled:
    at: datetime


@dataclass(frozen=True)
class ClipDeleted:
    at: datetime
    scene_id: str


@dataclass(frozen=True)
class MusicDeleted:
    at: datetime


@dataclass(frozen=True)
class CutDeleted:
    """A cut was deleted; its bytes and its thumbnail's are to be removed."""

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
    | StitchProgressed
    | StitchFailed
    | CutStored
    | JobCompleted
    | JobFailed
    | JobCanceled
    | ClipDeleted
    | MusicDeleted
    | CutDeleted
)

Events = tuple[JobEvent, ...]
