"""The state of a job: its request, its scenes, its edit, its cuts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from catalog.core.shared.values import Error, Facts, RunSpec


class JobStatus(StrEnum):
    """Where a job is."""

    DRAFT = "draft"
    AWAITING_APPROVAL = "awaiting_approval"
    RENDERING = "rendering"
    STITCHING = "stitching"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"


FINAL = frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELED})


class Transition(StrEnum):
    """How one clip gives way to the next."""

    CUT = "cut"
    CROSSFADE = "crossfade"


@dataclass(frozen=True)
class Pair:
    """A first and a last picture, chosen by a person. Seconds."""

    first_asset_id: str
    last_asset_id: str
    prompt: str
    seconds: float


@dataclass(frozen=True)
class JobRequest:
    """What was asked for; with `pairs` there is nothing to choose. Empty texts: whatever is set up."""

    scene_count: int
    scene_seconds: float
    model: str = ""
    planner: str = ""
    pairs: tuple[Pair, ...] = ()


@dataclass(frozen=True)
class Music:
    """The music under the cut: an asset, or what `run` composes. `blob_key` is known once it is stored."""

    asset_id: str = ""
    prompt: str = ""
    model: str = ""
    gain_db: float = 0.0
    run: RunSpec | None = None
    generation_id: str = ""
    blob_key: str = ""


@dataclass(frozen=True)
class Edit:
    """The shape of the cut. Pixels, frames per second, seconds."""

    width: int
    height: int
    fps: float
    transition: Transition = Transition.CUT
    transition_seconds: float = 0.0
    music: Music | None = None


@dataclass(frozen=True)
class Scene:
    """One shot, and its clip once it is stored."""

    id: str
    position: int
    prompt: str
    seconds: float
    first_asset_id: str
    last_asset_id: str
    reason: str
    run: RunSpec
    generation_id: str = ""
    media_id: str = ""
    blob_key: str = ""
    error: Error | None = None


@dataclass(frozen=True)
class Cut:
    """A finished video. `deleted_at`: when somebody deleted it; its version is not made twice."""

    version: int
    cut_key: str
    thumbnail_key: str
    facts: Facts
    created_at: datetime
    deleted_at: datetime | None = None


@dataclass(frozen=True)
class Job:
    """One production.

    Args:
        version: of the cut that is asked for; 0 before the first.
        stitch_round: how often that version was asked for; `stitch_errors` how often it was given up.
        percent, message: how far the cut is, while it is being made.
        last_event_at, stalled_rounds: as in a generation.
    """

    id: str
    campaign_id: str
    request: JobRequest
    edit: Edit
    created_at: datetime
    updated_at: datetime
    last_event_at: datetime
    status: JobStatus = JobStatus.DRAFT
    paused: bool = False
    planner: str = ""
    scenes: tuple[Scene, ...] = ()
    cuts: tuple[Cut, ...] = ()
    version: int = 0
    stitch_round: int = 0
    stitch_errors: int = 0
    percent: float = 0.0
    message: str = ""
    error: Error | None = None
    stalled_rounds: int = 0
    finished_at: datetime | None = None

    @property
    def final(self) -> bool:
        """Whether nothing that is heard changes it any more."""
        return self.status in FINAL

    @property
    def runs(self) -> tuple[RunSpec, ...]:
        """Every run it needs: the scenes', and the music's when it is composed."""
        music = self.edit.music.run if self.edit.music else None
        return tuple(scene.run for scene in self.scenes) + ((music,) if music else ())

    @property
    def estimate_micros(self) -> int:
        """What it should cost."""
        return sum(run.estimate_micros for run in self.runs)

    @property
    def reserve_micros(self) -> int:
        """The most that its runs can cost, each made once."""
        return sum(run.reserve_or_estimate_micros for run in self.runs)

    @property
    def held(self) -> str:
        """Why no new submission is wanted now; empty when one is."""
        if self.final:
            return "canceled" if self.status is JobStatus.CANCELED else "final"
        return "paused" if self.paused else ""

    @property
    def shown_cuts(self) -> tuple[Cut, ...]:
        """The cuts that are here, oldest first."""
        return tuple(cut for cut in self.cuts if cut.deleted_at is None)

    @property
    def complete(self) -> bool:
        """Whether every clip, and the music if there is to be one, is stored."""
        music = self.edit.music
        return all(scene.blob_key for scene in self.scenes) and (music is None or bool(music.blob_key))


def cut_key(job_id: str, version: int) -> str:
    """Where a cut lies in the blob store."""
    return f"cuts/{job_id}/v{version}.mp4"


def cut_thumbnail_key(job_id: str, version: int) -> str:
    """Where a cut's poster lies."""
    return f"thumbs/{job_id}-v{version}.jpg"


def thumbnail_key(record_id: str) -> str:
    """Where the small picture of an asset or a media lies."""
    return f"thumbs/{record_id}.webp"
