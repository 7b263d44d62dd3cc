"""The state of a job: its request, its edit, its scenes, its music, its cuts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from catalog.core.shared.domain import Error, Facts, RunSpec


class JobStatus(StrEnum):
    DRAFT = "draft"
    AWAITING_APPROVAL = "awaiting_approval"
    RENDERING = "rendering"
    STITCHING = "stitching"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"


FINAL = frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELED})


EditDocument = Mapping[str, Any]
"""How the cut is put together: the JSON of `rushes.edit.v1.Edit`, which the stitcher alone interprets."""


@dataclass(frozen=True)
class Pair:
    """A first and a last picture, chosen by a person. Seconds."""

    first_asset_id: str
    last_asset_id: str
    prompt: str
    seconds: float


@dataclass(frozen=True)
class JobRequest:
    """What somebody asked for; with `pairs` no scenes are chosen. Empty texts: whatever is set up.

    Clips are made in the cut's width and height, in pixels.
    """

    scene_count: int
    scene_seconds: float
    width: int
    height: int
    model: str = ""
    planner: str = ""
    pairs: tuple[Pair, ...] = ()


@dataclass(frozen=True)
class Music:
    """The piece under the cut: an asset, or what `run` composes (`media_id`, once that is stored).

    How it sounds in the cut is the edit's.
    """

    asset_id: str = ""
    prompt: str = ""
    model: str = ""
    run: RunSpec | None = None
    generation_id: str = ""
    media_id: str = ""
    blob_key: str = ""


@dataclass(frozen=True)
class Scene:
    """One shot, and its clip (`media_id`, `blob_key`) once that is stored."""

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
    """A finished video. A deleted one stays in the record: no other gets its version."""

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
        version: of the cut that is requested; 0 before the first.
        stitch_round: how often that version was requested; `stitch_errors`: how often it failed.
        percent, message: how far the cut is, while it is being made.
        last_event_at: when an event of it came last, or when what was requested is due to begin;
            `stalled_rounds`: how often it was requested again since then because none came.
        revision: how many entries the journal has of it; no part of what it is.
    """

    id: str
    campaign_id: str
    request: JobRequest
    edit: EditDocument
    created_at: datetime
    updated_at: datetime
    last_event_at: datetime
    status: JobStatus = JobStatus.DRAFT
    paused: bool = False
    planner: str = ""
    scenes: tuple[Scene, ...] = ()
    music: Music | None = None
    cuts: tuple[Cut, ...] = ()
    version: int = 0
    stitch_round: int = 0
    stitch_errors: int = 0
    percent: float = 0.0
    message: str = ""
    error: Error | None = None
    stalled_rounds: int = 0
    finished_at: datetime | None = None
    revision: int = field(default=0, compare=False)

    @property
    def final(self) -> bool:
        """Whether no event of others changes it any more."""
        return self.status in FINAL

    @property
    def runs(self) -> tuple[RunSpec, ...]:
        """Every run it needs: the scenes', and the music's when it is composed."""
        music = self.music.run if self.music else None
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
    def block_reason(self) -> str:
        """Why none of its generations may be submitted now; empty when they may."""
        if self.final:
            return "canceled" if self.status is JobStatus.CANCELED else "final"
        return "paused" if self.paused else ""

    @property
    def present_cuts(self) -> tuple[Cut, ...]:
        """The cuts that are not deleted, oldest first."""
        return tuple(cut for cut in self.cuts if cut.deleted_at is None)

    @property
    def missing_generations(self) -> frozenset[str]:
        """The ids of those generations whose output is not stored yet: its clips, and composed music."""
        missing = {scene.generation_id for scene in self.scenes if not scene.blob_key}
        if self.music is not None and not self.music.blob_key:
            missing.add(self.music.generation_id)
        return frozenset(missing)

    def scene_of(self, generation_id: str) -> Scene | None:
        """The scene whose clip a generation makes."""
        return next((scene for scene in self.scenes if scene.generation_id == generation_id), None)

    def music_of(self, generation_id: str) -> Music | None:
        """The music, if that generation composes it."""
        return self.music if self.music is not None and self.music.generation_id == generation_id else None


@dataclass(frozen=True)
class TimelineEntry:
    """One thing that happened to a job."""

    at: datetime
    type: str
    message: str
