"""What a command makes happen to a generation: `decide`, and what the generator does next: `next_step`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from catalog.core.generations.domain import commands as cmd
from catalog.core.generations.domain import events as ev
from catalog.core.generations.domain.deletion import delete, refuse
from catalog.core.generations.domain.model import (
    OPEN,
    UNSENT,
    Attempt,
    AttemptState,
    Generation,
    OutputState,
    Stage,
)
from catalog.core.generations.domain.recovery import lose, lose_all, requeue, settled
from catalog.core.shared.domain import GONE, Error
from servicekit.errors import Conflict, NotFound

RETRY_WAIT = 2.0
"""Seconds before a second attempt when the provider names no wait; doubled with each."""

Events = tuple[ev.GenerationEvent, ...]


class NextStep(StrEnum):
    """What the generator does next."""

    SUBMIT = "submit"
    RECONCILE = "reconcile"
    FOLLOW = "follow"
    NOTHING = "nothing"


@dataclass(frozen=True)
class Next:
    """The step, the attempt it is about, or the reason why there is nothing to do."""

    step: NextStep
    attempt: Attempt | None = None
    reason: str = ""


def next_step(  # noqa: PLR0911  # a list of cases, the first that holds
    state: Generation, at: datetime, held: str = ""
) -> Next:
    """What is to be done for a generation now. SUBMIT names no attempt: it has to be intended first."""
    for attempt in state.open_attempts:
        if attempt.state is AttemptState.SUBMITTED:
            return Next(NextStep.FOLLOW, attempt)
    for attempt in state.open_attempts:
        return Next(NextStep.RECONCILE, attempt)
    if state.stage is Stage.FETCHING:
        return Next(NextStep.FOLLOW, state.attempt(state.winner))
    if state.stage is Stage.CANCELED or state.cancel_requested:
        return Next(NextStep.NOTHING, reason="canceled")
    if state.final:
        return Next(NextStep.NOTHING, reason="final")
    if held:
        return Next(NextStep.NOTHING, reason=held)
    if state.not_before is not None and state.not_before > at:
        return Next(NextStep.NOTHING, reason="waiting")
    return Next(NextStep.SUBMIT)


def decide(  # noqa: PLR0911  # one case each
    state: Generation | None, command: cmd.GenerationCommand
) -> Events:
    """The events that a command makes happen; none when there is nothing to change.

    Raises:
        NotFound: the attempt is none of this generation's.
        Conflict: the attempt has another prediction, or was submitted and cannot be released.
        Precondition: nothing to fetch once more, or nothing that may be deleted now.
    """
    if isinstance(command, cmd.CreateGeneration):
        if state is not None:
            return ()
        created = ev.GenerationCreated(
            command.at, command.id, command.run, command.campaign_id, command.job_id, command.scene_id
        )
        return (created, ev.GenerationRequested(command.at, round=1))
    if state is None:
        raise NotFound("there is no such generation")
    match command:
        case cmd.BeginAttempt():
            return _begin(state, command)
        case cmd.RecordSubmitted():
            return _taken(state, command.attempt_id, command.prediction_id, command.at)
        case cmd.ReleaseAttempt():
            return _release(state, command)
        case cmd.CancelGeneration():
            return _cancel(state, command.at)
        case cmd.RequestAgain():
            return _again(state, command)
        case cmd.RequeueDownload():
            return requeue(state, command)
        case cmd.DeleteGeneration():
            return delete(state, command)
        case _:
            return _heard(state, command)


def _heard(state: Generation, command: cmd.GenerationCommand) -> Events:  # noqa: PLR0911  # one case each
    """What the facts of others make happen."""
    match command:
        case cmd.RecordStarted():
            if state.attempt(command.attempt_id).state not in UNSENT:
                return ()
            return _taken(state, command.attempt_id, command.prediction_id, command.at)
        case cmd.RecordSucceeded():
            return _succeeded(state, command)
        case cmd.RecordFailed():
            return _failed(state, command)
        case cmd.RecordCanceled():
            return _canceled(state, command)
        case cmd.RecordStored():
            return _stored(state, command)
        case cmd.RecordLost():
            return lose(state, command)
        case _:
            raise TypeError(f"decide does not know {type(command).__name__}")


def _begin(state: Generation, command: cmd.BeginAttempt) -> Events:
    following = next_step(state, command.at, command.held)
    if following.step is NextStep.RECONCILE and following.attempt is not None:
        if following.attempt.state is AttemptState.INTENDED:
            return (ev.AttemptDoubted(command.at, following.attempt.id),)
        return ()
    if following.step is not NextStep.SUBMIT:
        return ()
    if state.submissions >= command.max_attempts:
        error = Error("attempts", f"given up after {state.submissions} attempts")
        return (ev.GenerationFailed(command.at, error),)
    most = state.run.reserve_or_estimate_micros
    if not all(account.fits(most) for account in command.accounts):
        error = Error(
            "budget",
            f"up to {most / 1e6:.4f} dollars for {state.run.model} do not fit under the cap of the campaign "
            "or of the day: raise the cap, and retry",
        )
        return (ev.GenerationFailed(command.at, error),)
    number = len(state.attempts) + 1
    return (ev.AttemptIntended(command.at, command.attempt_id, number, most, command.at),)


def _taken(state: Generation, attempt_id: str, prediction_id: str, at: datetime) -> Events:
    """The provider has an attempt: whatever we thought of it before."""
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
    # Nobody waits for its outputs any more: the provider shall stop it.
    return (adopted, ev.CancelRequested(at)) if state.final else (adopted,)


def _release(state: Generation, command: cmd.ReleaseAttempt) -> Events:
    attempt = state.attempt(command.attempt_id)
    if attempt.state is AttemptState.RELEASED:
        return ()
    if attempt.state not in UNSENT:
        raise Conflict(
            f"attempt {attempt.id} is {attempt.state}: what the provider has cannot be released",
            code="already_recorded",
        )
    released = ev.AttemptReleased(command.at, attempt.id, command.error)
    if state.final or len(state.open_attempts) > 1 or state.stage is Stage.FETCHING:
        return (released,)
    if state.cancel_requested:
        return (released, ev.GenerationCanceled(command.at))
    if command.fail:
        return (released, ev.GenerationFailed(command.at, command.error))
    returned = ev.RunReturned(command.at, command.error)
    if command.retry_after <= 0:
        return (released, returned)
    asked = ev.GenerationRequested(command.at, state.round + 1, delay=command.retry_after)
    return (released, returned, asked)


def _succeeded(state: Generation, command: cmd.RecordSucceeded) -> Events:
    attempt = state.attempt(command.attempt_id)
    announced = ev.OutputsAnnounced(command.at, attempt.id, command.count, command.expires_at)
    if attempt.state not in OPEN and attempt.state is not AttemptState.RELEASED:
        known = (state.output_count, state.expires_at) == (command.count, command.expires_at)
        waits = state.stage is Stage.FETCHING and state.winner == attempt.id
        if _told_gone(state, attempt) and command.count:  # before this, which is older, was heard
            return settled(state, (announced,), command.at)
        return (announced,) if waits and command.count and not known else ()
    events: Events = (
        *_taken(state, attempt.id, command.prediction_id, command.at),
        ev.AttemptEnded(command.at, attempt.id, AttemptState.SUCCEEDED, command.cost_micros),
    )
    if state.final or state.stage is Stage.FETCHING:
        return events
    if command.count == 0:
        error = Error("no_output", "the model ended well but made no file")
        return (*events, ev.GenerationFailed(command.at, error))
    return settled(state, (*events, announced), command.at)


def _failed(state: Generation, command: cmd.RecordFailed) -> Events:
    attempt = state.attempt(command.attempt_id)
    if attempt.state not in OPEN and attempt.state is not AttemptState.RELEASED:
        waits = state.stage is Stage.FETCHING and state.winner == attempt.id
        gone = waits and command.error.code == GONE  # it was asked for once more
        return lose_all(state, command.at, command.error) if gone else ()
    events: Events = (
        *_taken(state, attempt.id, command.prediction_id, command.at),
        ev.AttemptEnded(command.at, attempt.id, AttemptState.FAILED, command.cost_micros, command.error),
    )
    if _others_decide(state, attempt):
        return events
    if state.cancel_requested:
        return (*events, ev.GenerationCanceled(command.at))
    if not command.error.retryable or _tried_enough(state, command):
        return (*events, ev.GenerationFailed(command.at, command.error))
    wait = command.retry_after or RETRY_WAIT * 2 ** (attempt.number - 1)
    asked = ev.GenerationRequested(command.at, state.round + 1, delay=wait)
    return (*events, ev.RunReturned(command.at, command.error), asked)


def _tried_enough(state: Generation, command: cmd.RecordFailed) -> bool:
    """Whether no attempt is left, or none after this code."""
    if state.submissions >= command.max_attempts:
        return True
    if command.most_retries is None:
        return False
    failed = (each.error for each in state.attempts if each.state is AttemptState.FAILED)
    before = sum(error is not None and error.code == command.error.code for error in failed)
    return before >= command.most_retries


def _canceled(state: Generation, command: cmd.RecordCanceled) -> Events:
    attempt = state.attempt(command.attempt_id)
    if attempt.state not in OPEN and attempt.state is not AttemptState.RELEASED:
        return ()
    taken = _taken(state, attempt.id, command.prediction_id, command.at)
    if command.by_deadline and not state.cancel_requested:  # whoever stopped it, nobody wanted it stopped
        error = Error("deadline", f"stopped at its deadline{_after(state.run.deadline_s)}")
        over = ev.AttemptEnded(command.at, attempt.id, AttemptState.FAILED, command.cost_micros, error)
        end: ev.GenerationEvent = ev.GenerationFailed(command.at, error)
    else:
        over = ev.AttemptEnded(command.at, attempt.id, AttemptState.CANCELED, command.cost_micros)
        end = ev.GenerationCanceled(command.at)
    return (*taken, over) if _others_decide(state, attempt) else (*taken, over, end)


def _after(seconds: float) -> str:
    return f", after {seconds:g} s" if seconds else ""


def _others_decide(state: Generation, attempt: Attempt) -> bool:
    """Whether the end of this attempt says nothing about the generation."""
    others = any(other.id != attempt.id for other in state.open_attempts)
    return state.final or state.stage is Stage.FETCHING or others


def _stored(state: Generation, command: cmd.RecordStored) -> Events:
    attempt = state.attempt(command.attempt_id)
    known = state.output(command.index)
    if known is not None and known.state is OutputState.STORED:
        return ()
    if state.deleted_at is not None or (known is not None and known.state is OutputState.DELETED):
        return refuse(known, command)
    if state.winner and state.winner != attempt.id:
        return ()
    stored = ev.OutputStored(command.at, command.index, command.media_id, command.blob_key, command.facts)
    if state.stage is Stage.FAILED and (state.lost or _told_gone(state, attempt)):
        return (stored,)  # kept, so that a requeue finds it; what has failed stays failed until then
    return () if state.final else settled(state, (stored,), command.at)


def _told_gone(state: Generation, attempt: Attempt) -> bool:
    """Whether all that is known is that the provider has the run no longer.

    That it had succeeded, and that its outputs are stored, may have been said long before: facts that could
    not be applied for a while are delivered after younger ones.
    """
    gone = attempt.error is not None and attempt.error.code == GONE
    return gone and state.stage is Stage.FAILED and not state.winner and state.deleted_at is None


def _cancel(state: Generation, at: datetime) -> Events:
    if state.final or state.cancel_requested or state.stage is Stage.FETCHING:
        return ()  # what has been paid for is kept
    if state.open_attempts:
        return (ev.CancelRequested(at),)
    return (ev.GenerationCanceled(at),)


def _again(state: Generation, command: cmd.RequestAgain) -> Events:
    if state.final and not state.open_attempts:
        return ()
    if not command.stalled and (state.stage is not Stage.REQUESTED or state.open_attempts):
        return ()
    left = (state.not_before - command.at).total_seconds() if state.not_before else 0.0
    asked = ev.GenerationRequested(command.at, state.round + 1, delay=max(left, 0.0), stalled=command.stalled)
    return (asked,)
