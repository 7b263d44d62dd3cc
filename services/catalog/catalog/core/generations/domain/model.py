"""Holds the state of a generation: its stage, attempts and outputs; and outputs as they are read alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from catalog.core.shared.domain import GONE, Error, Facts, MediaKind, RunSpec
from servicekit.errors import NotFound


class Stage(StrEnum):
    """Where a generation is, exactly."""

    REQUESTED = "requested"
    SUBMITTING = "submitting"
    RUNNING = "running"
    FETCHING = "fetching"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"


FINAL = frozenset({Stage.COMPLETED, Stage.FAILED, Stage.CANCELED})


class Status(StrEnum):
    """Where a generation is, for everyone."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"


STATUS: dict[Stage, Status] = {
    Stage.REQUESTED: Status.QUEUED,
    Stage.SUBMITTING: Status.PROCESSING,
    Stage.RUNNING: Status.PROCESSING,
    Stage.FETCHING: Status.PROCESSING,
    Stage.COMPLETED: Status.COMPLETED,
    Stage.FAILED: Status.FAILED,
    Stage.CANCELED: Status.CANCELED,
}


class AttemptState(StrEnum):
    """Where one paid submission is."""

    INTENDED = "intended"
    UNKNOWN = "unknown"
    """Perhaps submitted: being reconciled with the provider."""
    SUBMITTED = "submitted"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    RELEASED = "released"
    """Never reached the provider, or was refused unpaid."""


UNSENT = frozenset({AttemptState.INTENDED, AttemptState.UNKNOWN})
OPEN = UNSENT | {AttemptState.SUBMITTED}


@dataclass(frozen=True)
class Attempt:
    """One paid submission. Money in micro-dollars."""

    id: str
    number: int
    state: AttemptState
    reserved_micros: int
    intended_at: datetime
    prediction_id: str = ""
    cost_micros: int = 0
    submitted_at: datetime | None = None
    error: Error | None = None

    @property
    def open(self) -> bool:
        """Whether its reserve is still booked."""
        return self.state in OPEN


class OutputState(StrEnum):
    """Where one output is."""

    PENDING = "pending"
    STORED = "stored"
    LOST = "lost"
    """Its fetching was given up; it stands in the retry queue."""
    DELETED = "deleted"
    """It was deleted by request: no later event changes that."""


@dataclass(frozen=True)
class Output:
    """One output: stored under `media_id` (until deleted), or lost for `error`.

    Args:
        at: when it became what it is.
        expires_at: until when the provider keeps it.
        requeue_at: of a lost one: when it is requested again by itself; None: never.
        warned_at: when operators were warned that it expires.
        counted_at: when it was counted as lost.
        deleted_at: when its bytes were to be removed; None: never, or it never came.
    """

    index: int
    state: OutputState
    at: datetime
    media_id: str = ""
    blob_key: str = ""
    facts: Facts | None = None
    error: Error | None = None
    expires_at: datetime | None = None
    requeue_at: datetime | None = None
    warned_at: datetime | None = None
    counted_at: datetime | None = None
    deleted_at: datetime | None = None

    @property
    def fetched(self) -> bool:
        """Whether it came here; it may have been deleted since."""
        return self.state in (OutputState.STORED, OutputState.DELETED)

    @property
    def missing(self) -> bool:
        """Whether it is not here, and was given up at least once."""
        return self.state in (OutputState.LOST, OutputState.PENDING)

    @property
    def undecided(self) -> bool:
        """Whether it is being fetched once more, or will be by itself."""
        return self.state is OutputState.PENDING or (
            self.state is OutputState.LOST and self.requeue_at is not None
        )


@dataclass(frozen=True)
class Generation:
    """One run of a model.

    Args:
        round: how often the generator was requested to run it.
        not_before: no attempt begins earlier: the provider is given time after one that failed.
        winner: the attempt whose outputs are fetched.
        output_count: how many outputs there are; 0 until the provider is done.
        requeues: how often lost outputs were requested again; `requeue_round` is the round of the last time.
        deleted_at: when somebody deleted it: the record stays for the accounts and for late events.
        last_event_at: when the last event came, or was to come; `stalled_rounds`: requests since then.
        revision: how many entries the journal has of it; no part of what it is.
    """

    id: str
    run: RunSpec
    created_at: datetime
    updated_at: datetime
    last_event_at: datetime
    campaign_id: str = ""
    job_id: str = ""
    scene_id: str = ""
    stage: Stage = Stage.REQUESTED
    percent: float = 0.0
    message: str = ""
    error: Error | None = None
    round: int = 0
    stalled_rounds: int = 0
    not_before: datetime | None = None
    cancel_requested: bool = False
    attempts: tuple[Attempt, ...] = ()
    winner: str = ""
    outputs: tuple[Output, ...] = ()
    output_count: int = 0
    expires_at: datetime | None = None
    requeues: int = 0
    requeue_round: int = 0
    finished_at: datetime | None = None
    deleted_at: datetime | None = None
    revision: int = field(default=0, compare=False)

    @property
    def status(self) -> Status:
        return STATUS[self.stage]

    @property
    def final(self) -> bool:
        """Whether it is over; only a requeue opens it again."""
        return self.stage in FINAL

    @property
    def submissions(self) -> int:
        """How many attempts the provider took, or may have taken."""
        return sum(attempt.state is not AttemptState.RELEASED for attempt in self.attempts)

    @property
    def cost_micros(self) -> int:
        """What its attempts have cost, failed ones included."""
        return sum(attempt.cost_micros for attempt in self.attempts)

    @property
    def open_attempts(self) -> tuple[Attempt, ...]:
        """Attempts with a reserve: one at most, unless the provider took one that was released."""
        return tuple(attempt for attempt in self.attempts if attempt.open)

    @property
    def stored(self) -> tuple[Output, ...]:
        """The outputs that are here."""
        return tuple(output for output in self.outputs if output.state is OutputState.STORED)

    @property
    def fetched(self) -> tuple[Output, ...]:
        """The outputs that came here, those that were deleted since included."""
        return tuple(output for output in self.outputs if output.fetched)

    @property
    def lost(self) -> tuple[Output, ...]:
        """The outputs that could not be fetched."""
        return tuple(output for output in self.outputs if output.state is OutputState.LOST)

    @property
    def requeue_at(self) -> datetime | None:
        """When lost outputs are requested again by themselves; None: never, or not before it is announced."""
        if not self.winner or self.stage in (Stage.COMPLETED, Stage.CANCELED):
            return None
        return min((each.requeue_at for each in self.lost if each.requeue_at is not None), default=None)

    @property
    def main(self) -> Output | None:
        """The output that it was run for, once that is known.

        It is the first of the kind that the model makes, and known when all before it are decided; of a
        completed one with nothing of that kind it is the first that is stored.
        """
        for index in range(self.output_count):
            output = self.output(index)
            if output is None or output.undecided:
                return None
            if output.state is OutputState.STORED and self._is_of_its_kind(output):
                return output
        return self.stored[0] if self.stage is Stage.COMPLETED and self.stored else None

    def run_for_is_among(self, outputs: Iterable[Output]) -> bool:
        """Whether one of these is what it was run for: stored, and of the kind that the model makes."""
        unknown = self.run.kind is MediaKind.UNKNOWN
        return any(each.fetched and (unknown or self._is_of_its_kind(each)) for each in outputs)

    def _is_of_its_kind(self, output: Output) -> bool:
        return output.facts is not None and output.facts.kind is self.run.kind

    def attempt(self, attempt_id: str) -> Attempt:
        """One of its attempts; NotFound when it is none of its."""
        for attempt in self.attempts:
            if attempt.id == attempt_id:
                return attempt
        raise NotFound(f"attempt {attempt_id} is none of generation {self.id}")

    def output(self, index: int) -> Output | None:
        """What is known of an output."""
        return next((output for output in self.outputs if output.index == index), None)


@dataclass(frozen=True)
class Media:
    """A stored output."""

    id: str
    generation_id: str
    job_id: str
    index: int
    blob_key: str
    facts: Facts
    created_at: datetime
    model: str = ""


@dataclass(frozen=True)
class LostOutput:
    """A paid output that is not stored here."""

    generation_id: str
    job_id: str
    index: int
    model: str
    error: Error
    failed_at: datetime
    expires_at: datetime | None

    def may_live(self, at: datetime) -> bool:
        """Whether its address may still lead to it: it has not expired, and did not answer "gone"."""
        return self.error.code != GONE and self.expires_at is not None and self.expires_at > at
