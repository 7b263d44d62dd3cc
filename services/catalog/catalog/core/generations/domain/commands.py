"""What can be asked of a generation, in the imperative."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from catalog.core.budget.domain import Account
from catalog.core.shared.domain import Error, Facts, RunSpec


@dataclass(frozen=True)
class CreateGeneration:
    """Ask for a run."""

    at: datetime
    id: str
    run: RunSpec
    campaign_id: str = ""
    job_id: str = ""
    scene_id: str = ""


@dataclass(frozen=True)
class BeginAttempt:
    """Allow one submission under this new id, if there is reason and money for it.

    `held`: why its job wants no new submission now ("paused", "canceled"); empty when it does.
    """

    at: datetime
    attempt_id: str
    accounts: tuple[Account, ...] = ()
    held: str = ""
    max_attempts: int = 3


@dataclass(frozen=True)
class RecordSubmitted:
    """The provider accepted it."""

    at: datetime
    attempt_id: str
    prediction_id: str


@dataclass(frozen=True)
class ReleaseAttempt:
    """It cost nothing. `fail`: end the generation too; else ask again after `retry_after` seconds.

    With `retry_after` 0 whoever releases it goes on by itself, and nobody else is asked.
    """

    at: datetime
    attempt_id: str
    error: Error
    fail: bool = False
    retry_after: float = 0.0


@dataclass(frozen=True)
class RecordStarted:
    """The provider runs it."""

    at: datetime
    attempt_id: str
    prediction_id: str


@dataclass(frozen=True)
class RecordSucceeded:
    """The provider is done and has outputs."""

    at: datetime
    attempt_id: str
    prediction_id: str
    count: int
    cost_micros: int
    expires_at: datetime | None = None


@dataclass(frozen=True)
class RecordFailed:
    """The provider gave it up, or its outputs are gone. `most_retries`: after this code; None: any number."""

    at: datetime
    attempt_id: str
    prediction_id: str
    error: Error
    cost_micros: int = 0
    retry_after: float = 0.0
    max_attempts: int = 3
    most_retries: int | None = None


@dataclass(frozen=True)
class RecordCanceled:
    """It was stopped at the provider; `by_deadline`: because its time was over."""

    at: datetime
    attempt_id: str
    prediction_id: str
    cost_micros: int = 0
    by_deadline: bool = False


@dataclass(frozen=True)
class RecordStored:
    """One output is in the blob store; `media_id` is for its record if it is new."""

    at: datetime
    attempt_id: str
    index: int
    media_id: str
    blob_key: str
    facts: Facts


@dataclass(frozen=True)
class RecordLost:
    """The downloader gave one output up, in this round."""

    at: datetime
    attempt_id: str
    index: int
    error: Error
    round: int
    expires_at: datetime | None = None


@dataclass(frozen=True)
class CancelGeneration:
    """Stop it. What is final stays as it is."""

    at: datetime


@dataclass(frozen=True)
class RequestAgain:
    """Ask the generator with the next round: `stalled` too long, or its job goes on."""

    at: datetime
    stalled: bool = False


@dataclass(frozen=True)
class RequeueDownload:
    """Fetch lost outputs once more."""

    at: datetime
    automatic: bool = False


@dataclass(frozen=True)
class DeleteGeneration:
    """Delete it, or one of its outputs (`index`). `needed_by`: the job that is not final and needs it."""

    at: datetime
    index: int | None = None
    needed_by: str = ""


GenerationCommand = (
    CreateGeneration
    | BeginAttempt
    | RecordSubmitted
    | ReleaseAttempt
    | RecordStarted
    | RecordSucceeded
    | RecordFailed
    | RecordCanceled
    | RecordStored
    | RecordLost
    | CancelGeneration
    | RequestAgain
    | RequeueDownload
    | DeleteGeneration
)
