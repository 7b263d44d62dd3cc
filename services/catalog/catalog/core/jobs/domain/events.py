"""What happens to a job, in the past tense. Its tables are the fold of these events."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from catalog.core.jobs.domain.model import EditDocument, JobRequest, Music, Scene
from catalog.core.shared.domain import Error, Facts


@dataclass(frozen=True)
class JobEvent:
    """What happened to a job, and when."""

    at: datetime


@dataclass(frozen=True)
class JobCreated(JobEvent):
    """Somebody wants a video; its scenes are being chosen."""

    id: str
    campaign_id: str
    request: JobRequest
    edit: EditDocument
    music: Music | None = None


@dataclass(frozen=True)
class PlanningRepeated(JobEvent):
    """Nothing came of the planning, for the process died: it begins again."""


@dataclass(frozen=True)
class JobPlanned(JobEvent):
    """The scenes are chosen, checked and priced, and the edit has their clips; approval is awaited."""

    scenes: tuple[Scene, ...]
    planner: str
    edit: EditDocument
    music: Music | None = None


@dataclass(frozen=True)
class JobApproved(JobEvent):
    """Money may be spent on these generations: of the scenes, in their order, and of the music."""

    generation_ids: tuple[str, ...]
    music_generation_id: str = ""


@dataclass(frozen=True)
class JobPaused(JobEvent):
    pass


@dataclass(frozen=True)
class JobResumed(JobEvent):
    pass


@dataclass(frozen=True)
class ClipStored(JobEvent):
    scene_id: str
    media_id: str
    blob_key: str


@dataclass(frozen=True)
class MusicStored(JobEvent):
    media_id: str
    blob_key: str


@dataclass(frozen=True)
class SceneFailed(JobEvent):
    """The generation of a scene ended without a clip."""

    scene_id: str
    error: Error


@dataclass(frozen=True)
class StitchRequested(JobEvent):
    """A cut is requested, `delay` seconds from now; `stalled`: since no event came of the last request."""

    version: int
    round: int
    delay: float = 0.0
    stalled: bool = False


@dataclass(frozen=True)
class StitchProgressed(JobEvent):
    version: int
    percent: float
    message: str


@dataclass(frozen=True)
class StitchFailed(JobEvent):
    version: int
    error: Error


@dataclass(frozen=True)
class CutStored(JobEvent):
    version: int
    cut_key: str
    thumbnail_key: str
    facts: Facts


@dataclass(frozen=True)
class JobCompleted(JobEvent):
    """The video is ready; `cost_micros`: of all its generations."""

    version: int
    cost_micros: int


@dataclass(frozen=True)
class JobFailed(JobEvent):
    error: Error


@dataclass(frozen=True)
class JobCanceled(JobEvent):
    pass


@dataclass(frozen=True)
class ClipDeleted(JobEvent):
    scene_id: str


@dataclass(frozen=True)
class MusicDeleted(JobEvent):
    pass


@dataclass(frozen=True)
class CutDeleted(JobEvent):
    """A cut was deleted; its bytes and its thumbnail's are to be removed."""

    version: int
    cut_key: str
    thumbnail_key: str


Events = tuple[JobEvent, ...]
