"""What happens to a generation, in the past tense: the tables are the fold of these events."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from catalog.core.generations.domain.model import AttemptState
from catalog.core.shared.domain import Error, Facts, RunSpec


@dataclass(frozen=True)
class GenerationCreated:
    """A user or a job requested a run."""

    at: datetime
    id: str
    run: RunSpec
    campaign_id: str = ""
    job_id: str = ""
    scene_id: str = ""


@dataclass(frozen=True)
class GenerationRequested:
    """The generator is to run it, `delay` seconds from now. `stalled`: because no event came for too long."""

    at: datetime
    round: int
    delay: float = 0.0
    stalled: bool = False


@dataclass(frozen=True)
class RequestPostponed:
    """It has stalled for a good reason (its job is paused): it is looked at again later."""

    at: datetime


@dataclass(frozen=True)
class ProgressReported:
    """How far the provider, or the fetching of an output, is. It comes about once a second while it runs."""

    at: datetime
    percent: float
    message: str


@dataclass(frozen=True)
class AttemptIntended:
    """Its reserve is booked, and one submission is allowed."""

    at: datetime
    attempt_id: str
    number: int
    reserved_micros: int
    intended_at: datetime


@dataclass(frozen=True)
class AttemptReconciliationStarted:
    """A second caller found the intent: whether it was submitted is to be found out."""

    at: datetime
    attempt_id: str


@dataclass(frozen=True)
class AttemptSubmitted:
    """The provider has it."""

    at: datetime
    attempt_id: str
    prediction_id: str


@dataclass(frozen=True)
class AttemptAdopted:
    """The provider had taken an attempt that was released: its reserve is booked again, cap or no cap."""

    at: datetime
    attempt_id: str
    prediction_id: str
    reserved_micros: int
    intended_at: datetime


@dataclass(frozen=True)
class AttemptReleased:
    """It cost nothing, and its reserve is free again."""

    at: datetime
    attempt_id: str
    error: Error | None = None


@dataclass(frozen=True)
class AttemptEnded:
    """It is over at the provider: the real cost replaces the reserve."""

    at: datetime
    attempt_id: str
    state: AttemptState
    cost_micros: int
    error: Error | None = None


@dataclass(frozen=True)
class ReturnedToQueue:
    """Its attempt came to nothing, and another may follow."""

    at: datetime
    error: Error | None = None


@dataclass(frozen=True)
class OutputsAnnounced:
    """The provider is done: so many outputs, which it keeps until `expires_at`."""

    at: datetime
    attempt_id: str
    count: int
    expires_at: datetime | None = None


@dataclass(frozen=True)
class OutputStored:
    """One output is in the blob store."""

    at: datetime
    index: int
    media_id: str
    blob_key: str
    facts: Facts


@dataclass(frozen=True)
class OutputLost:
    """The fetching of one output was given up; at `requeue_at` it is requested again, None: not by itself.

    The provider keeps it until `expires_at`.
    """

    at: datetime
    index: int
    error: Error
    expires_at: datetime | None = None
    requeue_at: datetime | None = None


@dataclass(frozen=True)
class OutputExpiryWarned:
    """Operators were warned that an output that is not stored expires soon."""

    at: datetime
    index: int


@dataclass(frozen=True)
class OutputLossCounted:
    """An output that is not stored has expired, and was counted as lost."""

    at: datetime
    index: int


@dataclass(frozen=True)
class CancelRequested:
    """It is to be stopped at the provider, which may have it."""

    at: datetime


@dataclass(frozen=True)
class DownloadRequeued:
    """These lost outputs are fetched once more."""

    at: datetime
    automatic: bool
    indexes: tuple[int, ...]


@dataclass(frozen=True)
class GenerationCompleted:
    """Every output is stored, or those that are not are lost for good and not what it was run for."""

    at: datetime


@dataclass(frozen=True)
class GenerationFailed:
    """Given up, for good."""

    at: datetime
    error: Error


@dataclass(frozen=True)
class GenerationCanceled:
    """Stopped by request."""

    at: datetime


@dataclass(frozen=True)
class OutputDeleted:
    """One output was deleted; its bytes are to be removed."""

    at: datetime
    index: int
    media_id: str
    blob_key: str


@dataclass(frozen=True)
class OutputRefused:
    """Bytes came for what was deleted: they are to be removed, and nothing is recorded of them."""

    at: datetime
    index: int
    media_id: str
    blob_key: str


@dataclass(frozen=True)
class GenerationDeleted:
    """Nobody is shown it any more. What it has cost stays."""

    at: datetime


GenerationEvent = (
    GenerationCreated
    | GenerationRequested
    | RequestPostponed
    | ProgressReported
    | AttemptIntended
    | AttemptReconciliationStarted
    | AttemptSubmitted
    | AttemptAdopted
    | AttemptReleased
    | AttemptEnded
    | ReturnedToQueue
    | OutputsAnnounced
    | OutputStored
    | OutputLost
    | OutputExpiryWarned
    | OutputLossCounted
    | CancelRequested
    | DownloadRequeued
    | GenerationCompleted
    | GenerationFailed
    | GenerationCanceled
    | OutputDeleted
    | OutputRefused
    | GenerationDeleted
)

Events = tuple[GenerationEvent, ...]
