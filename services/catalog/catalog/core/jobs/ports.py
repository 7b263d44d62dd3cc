"""What the use cases on jobs need: their repository, a planner of scenes, and a judge of edits."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from catalog.core.campaigns.domain import Asset
from catalog.core.jobs.domain.events import JobEvent
from catalog.core.jobs.domain.model import EditDocument, Job, JobRequest, JobStatus, TimelineEntry
from catalog.core.shared.domain import RunSpec
from catalog.core.shared.paging import Page, PageRequest


@dataclass(frozen=True)
class SceneParts:
    """The parts of a scene, by what they are for. Pictures are `asset:<id>`, empty for none."""

    prompt: str
    first_image: str
    last_image: str
    seconds: float
    width: int
    height: int


@dataclass(frozen=True)
class PlannedScene:
    """A scene as the planner chose it."""

    first_asset_id: str
    last_asset_id: str
    prompt: str
    seconds: float
    reason: str
    model: str


@dataclass(frozen=True)
class Plan:
    """The planner's answer, with the models for composed music and for image pairs."""

    scenes: tuple[PlannedScene, ...]
    planner: str
    music_model: str
    pair_model: str


@dataclass(frozen=True)
class PlanRequest:
    """The request of a job, the photos that scenes are chosen from, and the texts that guide the choice."""

    job: JobRequest
    photos: tuple[Asset, ...]
    brief: str
    brand_guidelines: str


@dataclass(frozen=True)
class CheckedEdit:
    """An edit that can be cut, with what was left out written out, and how long its cut is."""

    edit: EditDocument
    seconds: float


class Jobs(Protocol):
    """The jobs with their scenes and cuts, stored as the fold of their events."""

    async def get(self, job_id: str, *, lock: bool = False) -> Job:
        """One; `lock`: nobody else changes it before this unit of work ends. NotFound."""
        ...

    async def save(self, before: Job | None, events: Sequence[JobEvent]) -> Job:
        """Apply events: to the rows, the journal and the outbox. Conflict: the row has changed since."""
        ...

    async def count(self, campaign_id: str) -> int:
        """How many a campaign has."""
        ...

    async def page(
        self, paging: PageRequest, *, campaign_id: str = "", status: JobStatus | None = None
    ) -> Page[Job]: ...

    async def timelines(self, *job_ids: str) -> Mapping[str, Sequence[TimelineEntry]]:
        """What has happened to each of these jobs, oldest first."""
        ...

    async def stalled(
        self, at: datetime, limit: int = 1, *, only: str = "", without: Collection[str] = ()
    ) -> Sequence[str]:
        """Those with no event for too long by then, the longest first; `only` that one, none of `without`."""
        ...


class ScenePlanner(Protocol):
    """The generator, where a job is planned."""

    async def prepare_scene(self, model: str, parts: SceneParts) -> RunSpec:
        """Fit a scene to a model's input, check it, and price it. Invalid: the model does not take it."""
        ...

    async def plan(self, request: PlanRequest) -> Plan:
        """Choose scenes from photos."""
        ...


class EditChecker(Protocol):
    """The stitcher, where a job is planned."""

    async def check(self, edit: EditDocument, clips: Sequence[tuple[str, float]]) -> CheckedEdit:
        """Put clips (id of the scene, seconds) into an edit and have it judged. Invalid: it cannot be cut."""
        ...
