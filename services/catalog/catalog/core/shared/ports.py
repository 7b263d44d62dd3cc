"""What the use cases need of the world: a store that changes in units, and the generator."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from catalog.core.budget.domain import Account
from catalog.core.generations.domain.events import GenerationEvent
from catalog.core.generations.domain.model import Attempt, Generation, Status
from catalog.core.jobs.domain.events import JobEvent
from catalog.core.jobs.domain.model import Job, JobStatus
from catalog.core.shared.records import (
    ApiKey,
    Asset,
    Campaign,
    Client,
    LostOutput,
    Media,
    Page,
    TimelineEntry,
)
from catalog.core.shared.values import MediaKind, RunSpec
from catalog.core.storage.blob_keys import BlobKeys
from catalog.core.storage.queries import Files
from catalog.core.watchdog.ports import ExpiringOutputs


@dataclass(frozen=True)
class PageRequest:
    """Which page: how many items (0: the usual number), after which token."""

    size: int = 0
    token: str = ""


class Clients(Protocol):
    """The brands."""

    async def add(self, client: Client) -> None:
        """Record it."""
        ...

    async def get(self, client_id: str, *, lock: bool = False) -> Client:
        """One, locked for the rest of the unit when asked; NotFound."""
        ...

    async def change(self, client: Client) -> None:
        """Replace it."""
        ...

    async def remove(self, client_id: str) -> None:
        """Forget it."""
        ...

    async def page(self, paging: PageRequest, *, q: str = "") -> Page[Client]:
        """Newest first."""
        ...


class Campaigns(Protocol):
    """The pieces of work."""

    async def add(self, campaign: Campaign) -> None:
        """Record it."""
        ...

    async def get(self, campaign_id: str, *, lock: bool = False) -> Campaign:
        """One, with its account, locked (it, not the account) when asked; NotFound."""
        ...

    async def change(self, campaign: Campaign) -> None:
        """Replace it."""
        ...

    async def remove(self, campaign_id: str) -> None:
        """Forget it."""
        ...

    async def count(self, client_id: str) -> int:
        """How many a client has."""
        ...

    async def page(self, paging: PageRequest, *, client_id: str = "", q: str = "") -> Page[Campaign]:
        """Newest first."""
        ...


class Assets(Protocol):
    """The uploaded files."""

    async def add(self, asset: Asset) -> None:
        """Record it, and say so in the outbox."""
        ...

    async def get(self, asset_id: str, *, lock: bool = False) -> Asset:
        """One, locked for the rest of the unit when asked; NotFound."""
        ...

    async def change(self, asset: Asset) -> None:
        """Replace it."""
        ...

    async def remove(self, asset: Asset) -> None:
        """Forget it, and say so in the outbox."""
        ...

    async def jobs_using(self, asset_id: str) -> Sequence[str]:
        """Jobs that are not final and need it."""
        ...

    async def of(self, *, client_id: str = "", campaign_id: str = "") -> Sequence[Asset]:
        """All of a campaign, or of a client."""
        ...

    async def page(
        self,
        paging: PageRequest,
        *,
        client_id: str = "",
        campaign_id: str = "",
        kind: MediaKind | None = None,
        tag: str = "",
    ) -> Page[Asset]:
        """Newest first."""
        ...


class Keys(Protocol):
    """The API keys."""

    async def add(self, key: ApiKey) -> None:
        """Record it."""
        ...

    async def get(self, key_id: str) -> ApiKey:
        """One; NotFound."""
        ...

    async def find(self, sha256: str) -> ApiKey | None:
        """The one with this hash."""
        ...

    async def named(self, name: str) -> Sequence[ApiKey]:
        """All of that name."""
        ...

    async def used(self, key_id: str, at: datetime) -> None:
        """Set when it was used last, and nothing else: whoever says so has read it some time ago."""
        ...

    async def revoke(self, key_id: str, at: datetime) -> None:
        """End it; one that has ended stays ended since then."""
        ...

    async def reinstate(self, key_id: str) -> None:
        """Make it an admin's that has not ended."""
        ...

    async def page(self, paging: PageRequest) -> Page[ApiKey]:
        """Newest first."""
        ...


@dataclass(frozen=True)
class GenerationFilter:
    """Which generations; empty or None: any."""

    kind: MediaKind | None = None
    status: Status | None = None
    model: str = ""
    campaign_id: str = ""
    job_id: str = ""


class Generations(Protocol):
    """The generations with attempts and outputs, stored as the fold of their events."""

    async def get(self, generation_id: str, *, lock: bool = False, deleted: bool = False) -> Generation:
        """One, locked for the rest of the unit when asked; NotFound, for a deleted one unless asked for."""
        ...

    async def job_of(self, generation_id: str) -> str:
        """The job it belongs to, or ""; NotFound."""
        ...

    async def save(self, before: Generation | None, events: Sequence[GenerationEvent]) -> Generation:
        """Apply events: rows, money, outbox, timeline. Conflict: the prediction is another attempt's."""
        ...

    async def page(self, paging: PageRequest, only: GenerationFilter) -> Page[Generation]:
        """Newest first."""
        ...

    async def of_job(self, job_id: str, *, lock: bool = False) -> Sequence[Generation]:
        """All of a job, oldest first; deleted ones too, for what they have cost."""
        ...

    async def of_attempt(self, attempt_id: str) -> str:
        """The generation an attempt belongs to; NotFound."""
        ...

    async def of_prediction(self, prediction_id: str) -> tuple[str, Attempt] | None:
        """The generation and the attempt that own a prediction."""
        ...

    async def stalled(self, at: datetime, limit: int, *, without: Collection[str] = ()) -> Sequence[str]:
        """Those of which an event should have come by now, but for some; the first due first."""
        ...

    async def to_requeue(self, at: datetime, limit: int, *, without: Collection[str] = ()) -> Sequence[str]:
        """Those whose lost outputs are to be requested again by now, but for some; the first due first."""
        ...

    async def lost(self, paging: PageRequest) -> Page[LostOutput]:
        """The retry queue, newest first."""
        ...

    async def media(self, media_id: str) -> Media:
        """A stored output; NotFound."""
        ...


class Jobs(Protocol):
    """The jobs with scenes and cuts, stored as the fold of their events."""

    async def get(self, job_id: str, *, lock: bool = False) -> Job:
        """One, locked for the rest of the unit when asked; NotFound."""
        ...

    async def save(self, before: Job | None, events: Sequence[JobEvent]) -> Job:
        """Apply events: rows, outbox, timeline."""
        ...

    async def note(self, job_id: str, version: int, percent: float, message: str) -> None:
        """Set how far its cut is, cheaply, while it is being stitched."""
        ...

    async def count(self, campaign_id: str) -> int:
        """How many a campaign has."""
        ...

    async def page(
        self, paging: PageRequest, *, campaign_id: str = "", status: JobStatus | None = None
    ) -> Page[Job]:
        """Newest first."""
        ...

    async def timeline(self, job_id: str) -> Sequence[TimelineEntry]:
        """What has happened, oldest first."""
        ...

    async def stalled(self, at: datetime, limit: int, *, without: Collection[str] = ()) -> Sequence[str]:
        """Those of which an event should have come by now, but for some; the first due first."""
        ...


class Accounts(Protocol):
    """The accounts."""

    async def lock(self, accounts: Sequence[str]) -> Mapping[str, Account]:
        """The accounts (without caps), locked for the rest of the unit, in the order of their names."""
        ...


class Unit(Protocol):
    """One transaction: everything in it is committed, or nothing."""

    @property
    def clients(self) -> Clients: ...  # its type says it
    @property
    def campaigns(self) -> Campaigns: ...  # its type says it
    @property
    def assets(self) -> Assets: ...  # its type says it
    @property
    def keys(self) -> Keys: ...  # its type says it
    @property
    def generations(self) -> Generations: ...  # its type says it
    @property
    def jobs(self) -> Jobs: ...  # its type says it
    @property
    def accounts(self) -> Accounts: ...  # its type says it
    @property
    def files(self) -> Files: ...  # its type says it
    @property
    def expiring_outputs(self) -> ExpiringOutputs: ...  # its type says it
    @property
    def blob_keys(self) -> BlobKeys: ...  # its type says it

    async def first_time(self, consumer: str, event_id: str) -> bool:
        """Whether a fact is applied for the first time: then in this unit."""
        ...


class Store(Protocol):
    """Where the records are."""

    def write(self) -> AbstractAsyncContextManager[Unit]:
        """A unit that may change things; leaving it without an error commits it."""
        ...

    def read(self) -> AbstractAsyncContextManager[Unit]:
        """A unit that only looks."""
        ...


@dataclass(frozen=True)
class SceneParts:
    """A scene by what its parts are for; pictures as `asset:<id>`, empty for none."""

    prompt: str
    first_image: str
    last_image: str
    seconds: float
    width: int
    height: int


@dataclass(frozen=True)
class PlannedScene:
    """What the planner wrote for one scene."""

    first_asset_id: str
    last_asset_id: str
    prompt: str
    seconds: float
    reason: str
    model: str


@dataclass(frozen=True)
class Plan:
    """The planner's answer."""

    scenes: tuple[PlannedScene, ...]
    planner: str
    music_model: str
    pair_model: str


@dataclass(frozen=True)
class PlanRequest:
    """What is to be planned."""

    photos: tuple[Asset, ...]
    brief: str
    brand_guidelines: str
    scene_count: int
    scene_seconds: float
    planner: str
    model: str
    width: int
    height: int


class Generator(Protocol):
    """The generator, before anything is paid."""

    async def prepare(self, model: str, version: str, input: Mapping[str, Any]) -> RunSpec:  # noqa: A002  # the contract's word
        """Check an input; Invalid names what is wrong."""
        ...

    async def prepare_scene(self, model: str, parts: SceneParts) -> RunSpec:
        """Fit a scene to a model, and check it."""
        ...

    async def plan(self, paging: PlanRequest) -> Plan:
        """Choose scenes from photos."""
        ...
