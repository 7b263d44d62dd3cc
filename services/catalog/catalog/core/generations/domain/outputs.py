"""Decides what becomes of a generation when its outputs are announced, fetched and stored.

Every file is stored as what it is, and one that is lost costs nothing of the rest: a generation ends when
each of its outputs is stored or lost for good, and it has succeeded if the one that it was run for is stored.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from catalog.core.generations.domain import events as ev
from catalog.core.generations.domain.events import Events
from catalog.core.generations.domain.model import Attempt, Generation, Output, OutputState, Stage
from catalog.core.shared.domain import GONE, Error, Facts

_LOST = Error("download", "an output could not be fetched")


def record_stored(
    state: Generation,
    at: datetime,
    *,
    attempt_id: str,
    index: int,
    media_id: str,
    blob_key: str,
    facts: Facts,
) -> Events:
    """One output is in the blob store; `media_id` is for its record if it is new."""
    attempt = state.attempt(attempt_id)
    known = state.output(index)
    if known is not None and known.state is OutputState.STORED:
        return ()
    if state.deleted_at is not None or (known is not None and known.state is OutputState.DELETED):
        deleted = (known.media_id if known is not None else "") or media_id
        return (ev.OutputRefused(at, index, deleted, blob_key),)
    if state.winner and state.winner != attempt.id:
        return ()
    stored = ev.OutputStored(at, index, media_id, blob_key, facts)
    if not state.final:
        output = Output(index, OutputState.STORED, at, facts=facts)
        return (stored, *end_of_outputs(state, at, count=state.output_count, changed=(output,)))
    given_up = known is not None and known.state is OutputState.LOST and state.stage is not Stage.CANCELED
    # It came after all. The generation stays as it ended until somebody requeues it.
    return (stored,) if given_up or failed_as_gone(state, attempt) else ()


def record_fetch_progress(state: Generation, at: datetime, *, percent: float, message: str) -> Events:
    return report_progress(state, at, percent, message) if state.stage is Stage.FETCHING else ()


def report_progress(state: Generation, at: datetime, percent: float, message: str) -> Events:
    """Progress that goes back (of another output, or delivered late) shows only that something goes on."""
    if percent < state.percent:
        percent, message = state.percent, state.message
    return (ev.ProgressReported(at, percent, message[:300]),)


def end_of_outputs(state: Generation, at: datetime, *, count: int, changed: Iterable[Output] = ()) -> Events:
    """The end of a generation with `count` outputs, if `changed` ones have brought it."""
    outputs = {each.index: each for each in (*state.outputs, *changed)}
    decided = [outputs[index] for index in range(count) if index in outputs and not outputs[index].undecided]
    if count == 0 or len(decided) < count:
        return ()
    lost = [output for output in decided if output.state is OutputState.LOST]
    if not lost or state.run_for_is_among(decided):
        return (ev.GenerationCompleted(at),)
    # The error of one that never comes explains more than that of one that has not come in time.
    first = next((each for each in lost if each.error is not None and not each.error.retryable), lost[0])
    error = first.error or _LOST
    if count > 1:
        error = replace(error, message=f"output {first.index} is lost: {error.message}")
    return (ev.GenerationFailed(at, error),)


def failed_as_gone(state: Generation, attempt: Attempt) -> bool:
    """Whether all that is known of an attempt is that the provider has it no longer.

    A `succeeded` event may arrive after the `gone` event that it preceded, and so may those of its outputs:
    events that could not be applied for a while are delivered after younger ones.
    """
    gone = attempt.error is not None and attempt.error.code == GONE
    return gone and state.stage is Stage.FAILED and not state.winner and state.deleted_at is None
