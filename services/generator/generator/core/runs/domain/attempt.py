"""Describes an attempt to run a generation, as catalog records it, and the next step that catalog answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from generator.core.inputs.domain.run_spec import RunSpec


class AttemptState(StrEnum):
    """Where an attempt is."""

    INTENDED = "intended"
    SUBMITTED = "submitted"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Attempt:
    """One submission that is paid for.

    Args:
        number: of the generation's attempts, from 1.
        intended_at: in our own clock where the attempt came with a next step.
        prediction_id: empty until the submission is recorded.
        round: of the request that is being worked on; where it came with none, of the last one.
    """

    id: str
    generation_id: str
    number: int
    state: AttemptState
    intended_at: datetime
    prediction_id: str = ""
    cancel_requested: bool = False
    round: int = 1


class NextStep(StrEnum):
    """What to do next for a generation."""

    SUBMIT = "submit"
    RECONCILE = "reconcile"
    FOLLOW = "follow"
    NOTHING = "nothing"


@dataclass(frozen=True)
class NextStepAnswer:
    """The next step, why, and what is needed for it: attempt and run are None with NOTHING."""

    next_step: NextStep
    reason: str = ""
    attempt: Attempt | None = None
    run: RunSpec | None = None
