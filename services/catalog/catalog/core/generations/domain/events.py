"""What happens to a generation, in the past tense: the tables are the fold of these events."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from catalog.core.generations.domain.model import AttemptState
from catalog.core.shared.domain import Error, Facts, RunSpec


@dataclass(frozen=True)
class GenerationEvent:
    """What happened to a generation, and when."""

    at: datetime


@dataclass(frozen=True)
class GenerationCreated(GenerationEvent):
    """A user or a job requested a run."""

    id: str
    run: RunSpec
    campaign_id: str = ""
    job_id: str = ""
    scene_id: str = ""


@dataclass(frozen=True)
class GenerationRequested(GenerationEvent):
    """The generator is to run it, `delay` seconds from now. `stalled`: because no event came for too long."""

    round: int
    delay: float = 0.0
    stalled: bool = False


@dataclass(frozen=True)
class RequestPostponed(GenerationEvent):
    """It has stalled for a good reason (its job is paused): the reconciler comes back to it later."""


@dataclass(frozen=True)
class ProgressReported(GenerationEvent):
    """How far the provider, or the fetching of an output, is. It comes about once a second while it runs."""

    percent: float
    message: str


@dataclass(frozen=True)
class AttemptIntended(GenerationEvent):
    """Its reserve is booked, and one submission is allowed."""

    attempt_id: str
    number: int
    reserved_micros: int
    intended_at: datetime


@dataclass(frozen=True)
class AttemptReconciliationStarted(GenerationEvent):
    """A second caller found the intent: whether it was submitted is to be found out."""

    attempt_id: str


@dataclass(frozen=True)
class AttemptSubmitted(GenerationEvent):
    """The provider has it."""

    attempt_id: str
    prediction_id: str


@dataclass(frozen=True)
class AttemptAdopted(GenerationEvent):
    """The provider had taken an attempt that was released: its reserve is booked again, cap or no cap."""

    attempt_id: str
    prediction_id: str
    reserved_micros: int
    intended_at: datetime


@dataclass(frozen=True)
class AttemptReleased(GenerationEvent):
    """It cost nothing, and its reserve is free again."""

    attempt_id: str
    error: Error | None = None


@dataclass(frozen=True)
class AttemptEnded(GenerationEvent):
    """It is over at the provider: the real cost replaces the reserve."""

    attempt_id: str
    state: AttemptState
    cost_micros: int
    error: Error | None = None


@dataclass(frozen=True)
class ReturnedToQueue(GenerationEvent):
    """Its attempt came to nothing, and another may follow."""

    error: Error | None = None


@dataclass(frozen=True)
class OutputsAnnounced(GenerationEvent):
    """The provider is done: so many outputs, which it keeps until `expires_at`."""

    attempt_id: str
    count: int
    expires_at: datetime | None = None


@dataclass(frozen=True)
class OutputStored(GenerationEvent):
    """One output is in the blob store."""

    index: int
    media_id: str
    blob_key: str
    facts: Facts


@dataclass(frozen=True)
class OutputLost(GenerationEvent):
    """The fetching of one output was given up; at `requeue_at` it is requested again, None: not by itself.

    The provider keeps it until `expires_at`.
    """

    index: int
    error: Error
    expires_at: datetime | None = None
    requeue_at: datetime | None = None


@dataclass(frozen=True)
class OutputExpiryWarned(GenerationEvent):
    """Operators were warned that an output that is not stored expires soon."""

    index: int


@dataclass(frozen=True)
class OutputLossCounted(GenerationEvent):
    """An output that is not stored has expired, and was counted as lost."""

    index: int


@dataclass(frozen=True)
class CancelRequested(GenerationEvent):
    """It is to be stopped at the provider, which may have it."""


@dataclass(frozen=True)
class DownloadRequeued(GenerationEvent):
    """These lost outputs are fetched once more."""

    automatic: bool
    indexes: tuple[int, ...]


@dataclass(frozen=True)
class GenerationCompleted(GenerationEvent):
    """Every output is stored, or those that are not are lost for good and not what it was run for."""


@dataclass(frozen=True)
class GenerationFailed(GenerationEvent):
    """Given up, for good."""

    error: Error


@dataclass(frozen=True)
class GenerationCanceled(GenerationEvent):
    """Stopped by request."""


@dataclass(frozen=True)
class OutputDeleted(GenerationEvent):
    """One output was deleted; its bytes are to be removed."""

    index: int
    media_id: str
    blob_key: str


@dataclass(frozen=True)
class OutputRefused(GenerationEvent):
    """Bytes came for what was deleted: they are to be removed, and nothing is recorded of them."""

    index: int
    media_id: str
    blob_key: str


@dataclass(frozen=True)
class GenerationDeleted(GenerationEvent):
    """Nobody is shown it any more. What it has cost stays."""


Events = tuple[GenerationEvent, ...]
