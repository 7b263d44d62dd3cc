"""Applies events to a generation: the fold that every column of its tables comes from. It decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from catalog.core.generations.domain import events as ev
from catalog.core.generations.domain.model import (
    Attempt,
    AttemptState,
    Generation,
    Output,
    OutputState,
    Stage,
)

_NO_NEWS = (ev.RequestPostponed, ev.OutputExpiryWarned, ev.OutputLossCounted)
"""Events of our own housekeeping: nobody else was active, and nothing changed for people."""


def fold(state: Generation | None, events: Iterable[ev.GenerationEvent]) -> Generation | None:
    for event in events:
        state = evolve(state, event)
    return state


def evolve(state: Generation | None, event: ev.GenerationEvent) -> Generation:
    """The state after one event."""
    if isinstance(event, ev.GenerationCreated):
        return _created(event)
    if state is None:
        raise ValueError(f"{type(event).__name__} happened to no generation")
    after = _attempts(state, event) or _outputs(state, event) or _stage(state, event)
    if isinstance(event, _NO_NEWS):
        return after
    after = replace(after, updated_at=event.at)
    if isinstance(event, ev.GenerationRequested):
        return after
    return replace(after, last_event_at=max(event.at, after.last_event_at), stalled_rounds=0)


def _created(event: ev.GenerationCreated) -> Generation:
    return Generation(
        id=event.id,
        run=event.run,
        campaign_id=event.campaign_id,
        job_id=event.job_id,
        scene_id=event.scene_id,
        created_at=event.at,
        updated_at=event.at,
        last_event_at=event.at,
        message="waiting for a free slot",
    )


def _attempts(  # noqa: PLR0911  # one case for each event
    state: Generation, event: ev.GenerationEvent
) -> Generation | None:
    """What happens to attempts; None for what does not."""
    match event:
        case ev.AttemptIntended():
            attempt = Attempt(
                event.attempt_id,
                event.number,
                AttemptState.INTENDED,
                event.reserved_micros,
                event.intended_at,
            )
            moved = replace(state, attempts=(*state.attempts, attempt), not_before=None)
            return _at(moved, Stage.SUBMITTING, "on its way to the provider")
        case ev.AttemptReconciliationStarted():
            return _with_attempt(state, event.attempt_id, state=AttemptState.UNKNOWN)
        case ev.AttemptSubmitted() | ev.AttemptAdopted():
            submitted = _with_attempt(
                state,
                event.attempt_id,
                state=AttemptState.SUBMITTED,
                prediction_id=event.prediction_id,
                submitted_at=event.at,
                error=None,
            )
            if state.stage in (Stage.REQUESTED, Stage.SUBMITTING):
                return _at(submitted, Stage.RUNNING, "running at the provider")
            return submitted
        case ev.AttemptReleased():
            return _with_attempt(state, event.attempt_id, state=AttemptState.RELEASED, error=event.error)
        case ev.AttemptEnded():
            return _with_attempt(
                state,
                event.attempt_id,
                state=event.state,
                cost_micros=event.cost_micros,
                error=event.error,
            )
        case _:
            return None


def _outputs(  # noqa: PLR0911  # one case for each event
    state: Generation, event: ev.GenerationEvent
) -> Generation | None:
    """What happens to outputs; None for what does not."""
    match event:
        case ev.OutputsAnnounced():
            announced = replace(
                state,
                winner=event.attempt_id,
                output_count=event.count,
                expires_at=event.expires_at,
                error=None,
                finished_at=None,
            )
            return _at(announced, Stage.FETCHING, "fetching from the provider")
        case ev.OutputStored():
            after = _with_output(
                state,
                event.index,
                state=OutputState.STORED,
                at=event.at,
                media_id=event.media_id,
                blob_key=event.blob_key,
                facts=event.facts,
                error=None,
                requeue_at=None,
            )
            completed = state.stage is Stage.COMPLETED
            return replace(after, message=_completed_message(after)) if completed else after
        case ev.OutputLost():
            return _lost(state, event)
        case ev.OutputExpiryWarned():
            return _with_output(state, event.index, warned_at=event.at)
        case ev.OutputLossCounted():
            return _with_output(state, event.index, counted_at=event.at)
        case ev.DownloadRequeued():
            return _requeued(state, event)
        case ev.OutputDeleted():
            return _with_output(state, event.index, state=OutputState.DELETED, deleted_at=event.at)
        case ev.OutputRefused():
            return state
        case ev.GenerationDeleted():
            return replace(state, outputs=_all_deleted(state, event.at), deleted_at=event.at)
        case _:
            return None


def _lost(state: Generation, event: ev.OutputLost) -> Generation:
    after = _with_output(
        state,
        event.index,
        state=OutputState.LOST,
        at=event.at,
        error=event.error,
        expires_at=event.expires_at,
        requeue_at=event.requeue_at,
    )
    if event.requeue_at is None:
        return after
    # Until then no event is to come: it has not stalled.
    after = replace(after, last_event_at=max(event.requeue_at, state.last_event_at))
    if state.stage is not Stage.FETCHING:
        return after
    return replace(after, message=f"output {event.index} is fetched again soon: {event.error.message}"[:300])


def _completed_message(state: Generation) -> str:
    lost = {each.index: each.error.message if each.error else "" for each in state.lost}
    return lost_message(state.output_count, lost) if lost else "stored"


def lost_message(output_count: int, lost: Mapping[int, str]) -> str:
    """Says which of the outputs of a completed generation are lost, and why."""
    reasons = "; ".join(f"output {index} is lost: {why}" for index, why in sorted(lost.items()))
    return f"{output_count - len(lost)} of {output_count} outputs are stored; {reasons}"[:300]


def _requeued(state: Generation, event: ev.DownloadRequeued) -> Generation:
    again = state
    for index in event.indexes:
        again = _with_output(
            again, index, state=OutputState.PENDING, at=event.at, error=None, requeue_at=None
        )
    again = replace(
        again,
        error=None,
        finished_at=None,
        requeues=state.requeues + 1,
        requeue_round=state.round + 1,
        cancel_requested=False,
    )
    return _at(again, Stage.FETCHING, "fetching once more")


def _all_deleted(state: Generation, at: datetime) -> tuple[Output, ...]:
    return tuple(
        replace(
            each,
            state=OutputState.DELETED,
            deleted_at=each.deleted_at or (at if each.media_id else None),
        )
        for each in state.outputs
    )


def _stage(  # noqa: PLR0911  # one case for each event
    state: Generation, event: ev.GenerationEvent
) -> Generation:
    match event:
        case ev.GenerationRequested():
            due = event.at + timedelta(seconds=event.delay)
            return replace(
                state,
                round=event.round,
                not_before=due if event.delay > 0 else state.not_before,
                last_event_at=max(due, event.at),
                stalled_rounds=state.stalled_rounds + 1 if event.stalled else 0,
            )
        case ev.RequestPostponed():
            return replace(state, last_event_at=event.at, stalled_rounds=state.stalled_rounds + 1)
        case ev.ReturnedToQueue():
            why = f": {event.error.message}" if event.error else ""
            return _at(state, Stage.REQUESTED, f"waiting to be tried again{why}"[:300])
        case ev.ProgressReported():
            return replace(state, percent=event.percent, message=event.message)
        case ev.CancelRequested():
            return replace(state, cancel_requested=True, message="being stopped")
        case ev.GenerationCompleted():
            done = replace(state, finished_at=event.at, error=None, percent=100.0)
            return replace(done, stage=Stage.COMPLETED, message=_completed_message(done))
        case ev.GenerationFailed():
            return replace(
                state,
                stage=Stage.FAILED,
                error=event.error,
                message=event.error.message[:300],
                finished_at=event.at,
            )
        case ev.GenerationCanceled():
            return replace(
                state,
                stage=Stage.CANCELED,
                error=None,
                message="stopped",
                finished_at=event.at,
            )
        case _:
            raise TypeError(f"evolve does not know {type(event).__name__}")


def _at(state: Generation, stage: Stage, message: str) -> Generation:
    return replace(state, stage=stage, message=message, percent=0.0)


def _with_attempt(generation: Generation, attempt_id: str, **changes: Any) -> Generation:
    attempts = tuple(
        replace(attempt, **changes) if attempt.id == attempt_id else attempt
        for attempt in generation.attempts
    )
    return replace(generation, attempts=attempts)


def _with_output(generation: Generation, index: int, **changes: Any) -> Generation:
    known = generation.output(index) or Output(index, OutputState.PENDING, generation.created_at)
    others = [each for each in generation.outputs if each.index != index]
    outputs = sorted([*others, replace(known, **changes)], key=lambda each: each.index)
    return replace(generation, outputs=tuple(outputs))
