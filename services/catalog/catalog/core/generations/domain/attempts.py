"""Decides what the generator does next, and what becomes of a generation when an attempt ends.

An attempt is paid for, so its intent is recorded, and its reserve booked, before it is submitted. A second
caller that finds an intent has to find out first whether it was submitted.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from catalog.core.budget.domain import Account
from catalog.core.generations.domain import events as ev
from catalog.core.generations.domain.events import Events
from catalog.core.generations.domain.model import OPEN, UNSENT, Attempt, AttemptState, Generation, Stage
from catalog.core.generations.domain.outputs import end_of_outputs, failed_as_gone, report_progress
from catalog.core.generations.domain.recovery import lose_all_missing
from catalog.core.shared.domain import GONE, Error
from servicekit.errors import Conflict

RETRY_WAIT = 2.0
"""Seconds before a second attempt when the provider names no wait; doubled with each."""


class NextStep(StrEnum):
    """What the generator does next."""

    SUBMIT = "submit"
    RECONCILE = "reconcile"
    FOLLOW = "follow"
    NOTHING = "nothing"


@dataclass(frozen=True)
class Instruction:
    """What the generator does next: with which attempt, or why there is nothing to do."""

    step: NextStep
    attempt_id: str = ""
    reason: str = ""


def next_step(  # noqa: PLR0911  # a list of cases, the first that holds
    state: Generation, at: datetime, blocked_by: str = ""
) -> Instruction:
    """What is to be done for a generation now. SUBMIT names no attempt: it has to be intended first.

    `blocked_by`: why its job wants no new attempt now ("paused", "canceled", "final"); empty when it does.
    """
    for attempt in state.open_attempts:
        if attempt.state is AttemptState.SUBMITTED:
            return Instruction(NextStep.FOLLOW, attempt.id)
    for attempt in state.open_attempts:
        return Instruction(NextStep.RECONCILE, attempt.id)
    if state.stage is Stage.FETCHING:
        return Instruction(NextStep.FOLLOW, state.winner)
    if state.stage is Stage.CANCELED or state.cancel_requested:
        return Instruction(NextStep.NOTHING, reason="canceled")
    if state.final:
        return Instruction(NextStep.NOTHING, reason="final")
    if blocked_by:
        return Instruction(NextStep.NOTHING, reason=blocked_by)
    if state.not_before is not None and state.not_before > at:
        return Instruction(NextStep.NOTHING, reason="waiting")
    return Instruction(NextStep.SUBMIT)


def begin_attempt(
    state: Generation,
    at: datetime,
    instruction: Instruction,
    *,
    attempt_id: str,
    accounts: Collection[Account],
    max_attempts: int,
) -> tuple[Events, Instruction]:
    """Carry out the instruction of `next_step`, and answer the one that the generator gets.

    SUBMIT intends an attempt under `attempt_id`, if all `accounts` have room for its reserve; RECONCILE is
    recorded. Because a second caller finds the intent, SUBMIT is answered once for each attempt.
    """
    if instruction.step is NextStep.SUBMIT:
        return _intend(state, at, attempt_id, accounts, max_attempts)
    if instruction.step is NextStep.RECONCILE:
        found = state.attempt(instruction.attempt_id)
        if found.state is AttemptState.INTENDED:
            return (ev.AttemptReconciliationStarted(at, found.id),), instruction
    return (), instruction


def _intend(
    state: Generation, at: datetime, attempt_id: str, accounts: Collection[Account], max_attempts: int
) -> tuple[Events, Instruction]:
    reserve = state.run.reserve_or_estimate_micros
    if state.submissions >= max_attempts:
        error = Error("attempts", f"given up after {state.submissions} attempts")
    elif not all(account.fits(reserve) for account in accounts):
        error = Error(
            "budget",
            f"up to {reserve / 1e6:.4f} dollars for {state.run.model} do not fit under the cap of the "
            "campaign or of the day: raise the cap, and retry",
        )
    else:
        number = len(state.attempts) + 1
        intended = ev.AttemptIntended(at, attempt_id, number, reserve, at)
        return (intended,), Instruction(NextStep.SUBMIT, attempt_id)
    return (ev.GenerationFailed(at, error),), Instruction(NextStep.NOTHING, reason=error.code)


def record_submitted(state: Generation, at: datetime, *, attempt_id: str, prediction_id: str) -> Events:
    """The provider has an attempt, whatever was thought of it before.

    Raises:
        NotFound: the attempt is none of this generation's.
        Conflict: the attempt has another prediction.
    """
    attempt = state.attempt(attempt_id)
    if attempt.prediction_id and attempt.prediction_id != prediction_id:
        raise Conflict(
            f"attempt {attempt_id} has another prediction already; {prediction_id} cannot be its own",
            code="other_prediction",
        )
    if attempt.state in UNSENT:
        return (ev.AttemptSubmitted(at, attempt_id, prediction_id),)
    if attempt.state is not AttemptState.RELEASED:
        return ()
    adopted = ev.AttemptAdopted(at, attempt_id, prediction_id, attempt.reserved_micros, attempt.intended_at)
    # Nobody waits for its outputs any more: it is to be stopped at the provider.
    return (adopted, ev.CancelRequested(at)) if state.final else (adopted,)


def record_started(state: Generation, at: datetime, *, attempt_id: str, prediction_id: str) -> Events:
    if state.attempt(attempt_id).state not in UNSENT:
        return ()
    return record_submitted(state, at, attempt_id=attempt_id, prediction_id=prediction_id)


def record_run_progress(state: Generation, at: datetime, *, percent: float, message: str) -> Events:
    if state.stage not in (Stage.SUBMITTING, Stage.RUNNING):
        return ()
    return report_progress(state, at, percent, message)


def release_attempt(
    state: Generation,
    at: datetime,
    *,
    attempt_id: str,
    error: Error,
    fail: bool = False,
    retry_after: float = 0.0,
) -> Events:
    """An attempt cost nothing. `fail` ends the generation too; else it is requested after `retry_after` s.

    With `retry_after` 0 it is not requested: whoever releases the attempt begins the next one.

    Raises:
        Conflict: the provider has it.
    """
    attempt = state.attempt(attempt_id)
    if attempt.state is AttemptState.RELEASED:
        return ()
    if attempt.state not in UNSENT:
        raise Conflict(
            f"attempt {attempt.id} is {attempt.state}: what the provider has cannot be released",
            code="already_recorded",
        )
    released = ev.AttemptReleased(at, attempt.id, error)
    if _leaves_the_generation_alone(state, attempt):
        return (released,)
    if state.cancel_requested:
        return (released, ev.GenerationCanceled(at))
    if fail:
        return (released, ev.GenerationFailed(at, error))
    returned = ev.ReturnedToQueue(at, error)
    if retry_after <= 0:
        return (released, returned)
    return (released, returned, ev.GenerationRequested(at, state.round + 1, delay=retry_after))


def record_succeeded(
    state: Generation,
    at: datetime,
    *,
    attempt_id: str,
    prediction_id: str,
    output_count: int,
    cost_micros: int,
    expires_at: datetime | None,
) -> Events:
    """The provider is done and has so many outputs, until `expires_at`."""
    attempt = state.attempt(attempt_id)
    announced = ev.OutputsAnnounced(at, attempt.id, output_count, expires_at)
    if _ended(attempt):
        return _announced_again(state, attempt, announced)
    events: Events = (
        *record_submitted(state, at, attempt_id=attempt.id, prediction_id=prediction_id),
        ev.AttemptEnded(at, attempt.id, AttemptState.SUCCEEDED, cost_micros),
    )
    if state.final or state.stage is Stage.FETCHING:
        return events
    if output_count == 0:
        error = Error("no_output", "the model ended well but made no file")
        return (*events, ev.GenerationFailed(at, error))
    return (*events, announced, *end_of_outputs(state, at, count=output_count))


def _announced_again(state: Generation, attempt: Attempt, announced: ev.OutputsAnnounced) -> Events:
    """The outputs of an attempt that had ended: requested once more, or reported late."""
    if announced.count == 0:
        return ()
    if failed_as_gone(state, attempt):
        return (announced, *end_of_outputs(state, announced.at, count=announced.count))
    if state.stage is not Stage.FETCHING or state.winner != attempt.id:
        return ()
    known = (state.output_count, state.expires_at) == (announced.count, announced.expires_at)
    end = end_of_outputs(state, announced.at, count=announced.count)
    return end if known else (announced, *end)


def record_failed(
    state: Generation,
    at: datetime,
    *,
    attempt_id: str,
    prediction_id: str,
    error: Error,
    max_attempts: int,
    cost_micros: int = 0,
    retry_after: float = 0.0,
    most_retries: int | None = None,
) -> Events:
    """The provider gave an attempt up, or has its outputs no longer. It may be followed by another.

    `most_retries`: how many may follow an error with this code; None: as many as there are attempts.
    """
    attempt = state.attempt(attempt_id)
    if _ended(attempt):
        awaited = state.stage is Stage.FETCHING and state.winner == attempt.id
        return lose_all_missing(state, at, error) if awaited and error.code == GONE else ()
    events: Events = (
        *record_submitted(state, at, attempt_id=attempt.id, prediction_id=prediction_id),
        ev.AttemptEnded(at, attempt.id, AttemptState.FAILED, cost_micros, error),
    )
    if _leaves_the_generation_alone(state, attempt):
        return events
    if state.cancel_requested:
        return (*events, ev.GenerationCanceled(at))
    if not error.retryable or _no_retry_left(state, error, max_attempts, most_retries):
        return (*events, ev.GenerationFailed(at, error))
    wait = retry_after or RETRY_WAIT * 2 ** (attempt.number - 1)
    requested = ev.GenerationRequested(at, state.round + 1, delay=wait)
    return (*events, ev.ReturnedToQueue(at, error), requested)


def _no_retry_left(state: Generation, error: Error, max_attempts: int, most_retries: int | None) -> bool:
    if state.submissions >= max_attempts:
        return True
    if most_retries is None:
        return False
    errors = (each.error for each in state.attempts if each.state is AttemptState.FAILED)
    before = sum(each is not None and each.code == error.code for each in errors)
    return before >= most_retries


def record_canceled(
    state: Generation,
    at: datetime,
    *,
    attempt_id: str,
    prediction_id: str,
    cost_micros: int = 0,
    by_deadline: bool = False,
) -> Events:
    """An attempt was stopped at the provider; `by_deadline`: because its time was over."""
    attempt = state.attempt(attempt_id)
    if _ended(attempt):
        return ()
    submitted = record_submitted(state, at, attempt_id=attempt.id, prediction_id=prediction_id)
    if by_deadline and not state.cancel_requested:  # whoever stopped it, no user wanted it
        limit = f", after {state.run.deadline_s:g} s" if state.run.deadline_s else ""
        error = Error("deadline", f"stopped at its deadline{limit}")
        ended = ev.AttemptEnded(at, attempt.id, AttemptState.FAILED, cost_micros, error)
        end: ev.GenerationEvent = ev.GenerationFailed(at, error)
    else:
        ended = ev.AttemptEnded(at, attempt.id, AttemptState.CANCELED, cost_micros)
        end = ev.GenerationCanceled(at)
    if _leaves_the_generation_alone(state, attempt):
        return (*submitted, ended)
    return (*submitted, ended, end)


def _ended(attempt: Attempt) -> bool:
    """Whether its end, and with it its cost, is recorded. A released one may still turn up and end."""
    return attempt.state not in OPEN and attempt.state is not AttemptState.RELEASED


def _leaves_the_generation_alone(state: Generation, attempt: Attempt) -> bool:
    """Whether the end of this attempt leaves the generation as it is: it is over, or goes on elsewhere."""
    others = any(other.id != attempt.id for other in state.open_attempts)
    return state.final or state.stage is Stage.FETCHING or others
