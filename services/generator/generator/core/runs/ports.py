"""What the core needs of the world, as protocols; adapters fulfil them, tests stand in for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from generator.core.models.domain.media_kinds import Kind
from generator.core.runs.domain.events import Fact
from generator.core.runs.domain.prediction import Prediction
from generator.core.runs.domain.provider_errors import Failure, Outcome


class Step(StrEnum):
    """What to do next for a generation."""

    SUBMIT = "submit"
    RECONCILE = "reconcile"
    FOLLOW = "follow"
    NOTHING = "nothing"


class State(StrEnum):
    """Where an attempt is."""

    INTENDED = "intended"
    SUBMITTED = "submitted"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Attempt:
    """One paid submission, as catalog has it. `round`: that in which its generation was asked for last."""

    id: str
    generation_id: str
    number: int
    state: State
    intended_at: datetime
    prediction_id: str = ""
    cancel_requested: bool = False
    round: int = 1


@dataclass(frozen=True)
class Work:
    """What to do for a generation, and everything needed to do it. `attempt` is None with NOTHING.

    `deadline`: seconds that the money set aside lasts for; 0: those of every run. `secrets`: keys of the
    input that the provider shows to nobody.
    """

    step: Step
    attempt: Attempt | None = None
    model: str = ""
    version: str = ""
    input: Mapping[str, Any] = field(default_factory=dict)
    kind: Kind = Kind.UNKNOWN
    job_id: str = ""
    campaign_id: str = ""
    reason: str = ""
    deadline: float = 0.0
    secrets: tuple[str, ...] = ()


class Attempts(Protocol):
    """Catalog's book of intents. Every call may raise Unavailable or TimedOut."""

    async def ahead(self, generation_id: str) -> Work:
        """The step that `begin` would answer, its reason, and nothing more; SUBMIT is no permission here."""
        ...

    async def begin(self, generation_id: str) -> Work:
        """What to do next; SUBMIT is the only permission to submit."""
        ...

    async def record(self, attempt_id: str, prediction_id: str) -> None:
        """The provider has it. Again is fine; Conflict when the attempt or the prediction is another's."""
        ...

    async def release(
        self, attempt_id: str, failure: Failure, *, fail_generation: bool = False, retry_after: float = 0.0
    ) -> None:
        """It cost nothing. Conflict when the provider has it after all."""
        ...

    async def get(self, attempt_id: str) -> Attempt:
        """One attempt; NotFound."""
        ...

    async def of_prediction(self, prediction_id: str) -> Attempt | None:
        """The attempt that owns a prediction."""
        ...

    async def newest(self, generation_id: str) -> Attempt | None:
        """A generation's newest attempt."""
        ...

    async def work_of(self, attempt: Attempt) -> Work:
        """The attempt's generation as a FOLLOW, without booking anything."""
        ...


@dataclass(frozen=True)
class Order:
    """A run to be bought. `webhook` may be empty; `deadline` in seconds from its creation."""

    model: str
    version: str
    input: Mapping[str, Any]
    webhook: str
    deadline: float


class Provider(Protocol):
    """Where models run."""

    async def create(self, order: Order, *, timeout: float) -> Outcome:  # noqa: ASYNC109  # part of the meaning
        """Buy a run; every failure is one of the outcomes. Nothing is in the air after `timeout` seconds."""
        ...

    async def get(self, prediction_id: str) -> Prediction:
        """One run. NotFound; Unauthenticated; Unavailable, TimedOut or Limited: ask again."""
        ...

    async def since(
        self, moment: datetime, keep: Callable[[Prediction], bool] = lambda _: True
    ) -> list[Prediction]:
        """All runs created since then that are to be kept. Every run is looked at, or Unavailable.

        Unauthenticated: the list may not be read. There may be very many: only those kept are held.
        """
        ...

    async def cancel(self, prediction_id: str) -> None:
        """Stop a run; one that is over or unknown is fine."""
        ...


@dataclass(frozen=True)
class Collection:
    """A group of models made by the provider."""

    slug: str
    name: str
    description: str


@dataclass(frozen=True)
class Model:
    """Something the provider can run. `openapi` is its schema as published, None when there is none."""

    owner: str
    name: str
    description: str = ""
    cover_image_url: str = ""
    run_count: int = 0
    official: bool = False
    version: str = ""
    example: Any = None
    openapi: Any = None

    @property
    def full_name(self) -> str:
        """`owner/name`."""
        return f"{self.owner}/{self.name}"


class Library(Protocol):
    """What the provider offers. NotFound where a name is unknown; Unavailable while it is away."""

    async def collections(self) -> list[Collection]:
        """All collections."""
        ...

    async def models_in(self, slug: str) -> list[Model]:
        """The models of a collection."""
        ...

    async def model(self, owner: str, name: str) -> Model:
        """One model."""
        ...

    async def version(self, owner: str, name: str, version: str) -> Any:
        """The `openapi_schema` of one version of a model, None when it has none."""
        ...


class Files(Protocol):
    """Files of ours as addresses that the provider can read."""

    async def prepare(self, asset_ids: Sequence[str]) -> None:
        """Do what takes time for these assets now, so that `resolve` need not; what fails, fails there."""
        ...

    async def resolve(
        self, value: Mapping[str, Any], asset_ids: Sequence[str], *, since: datetime
    ) -> dict[str, Any]:
        """The input with `asset:<id>` of each as an address; the same for the same `since`. NotFound."""
        ...


class Facts(Protocol):
    """The event log, for what is said."""

    async def say(self, fact: Fact) -> None:
        """Publish and wait until it is stored."""
        ...


class Waking(Protocol):
    """A place to wait for a poke."""

    async def wait(self, seconds: float) -> Prediction | None:
        """Until the poke, at most so long; what was handed over since the last wait, if anything."""
        ...


class Wakes(Protocol):
    """Pokes between replicas: "look at this attempt's prediction now"; and news within one."""

    def listening(self, attempt_id: str, prediction_id: str) -> AbstractAsyncContextManager[Waking]:
        """Hear the pokes for an attempt, and be given news of its prediction."""
        ...

    def hand_over(self, attempt_id: str, prediction: Prediction) -> bool:
        """Give it to who follows it in this process; False: nobody here follows that very prediction."""
        ...

    async def poke(self, attempt_id: str) -> None:
        """Wake whoever follows the attempt; lost pokes do no harm."""
        ...


class Costs(Protocol):
    """What runs have cost."""

    async def of(self, work: Work, prediction: Prediction | None) -> int:
        """Micro-dollars of a finished run; of one that nobody can ask about any more, the estimate."""
        ...


class Start(Protocol):
    """A turn that was taken."""

    @property
    def probe(self) -> bool:
        """Whether the lane is closed, and this one tries the door."""
        ...


class Lane(Protocol):
    """The way to the provider, shared by all replicas."""

    async def turn(self) -> Start:
        """Wait for the next start. Limited when the lane is closed, or blocked for long."""
        ...

    async def block(self, wait: float, slow: float) -> None:
        """After a 429: nobody starts for `wait` seconds; then `slow` seconds apart, when that is not 0."""
        ...

    async def close(self, reason: str) -> None:
        """After a 401 or 402: nobody starts until a probe succeeds."""
        ...

    async def reopen(self) -> None:
        """A probe has succeeded."""
        ...

    @property
    def probe_every(self) -> float:
        """Seconds between two probes."""
        ...


class Journal(Protocol):
    """What operators are told."""

    def note(self, event: str, **facts: object) -> None:
        """Worth knowing."""
        ...

    def alarm(self, event: str, **facts: object) -> None:
        """Somebody has to act."""
        ...


@dataclass(frozen=True)
class Look:
    """What a photo looks like. `sharpness` from 0 up; others 0 to 1; `fingerprint` of 64 bits."""

    sharpness: float
    exposure: float
    contrast: float
    fingerprint: int


@dataclass(frozen=True)
class Photo:
    """A photo to choose from."""

    asset_id: str
    name: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    blob_key: str = ""
    width: int = 0
    height: int = 0
    sha256: str = ""


class PhotoLooks(Protocol):
    """Looking at photos."""

    async def look(self, photos: Sequence[Photo]) -> dict[str, Look]:
        """By asset id; photos that cannot be read are missing."""
        ...
