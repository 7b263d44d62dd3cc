"""Decides what becomes of a generation when an output is stored, and when its outputs are all decided."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from catalog.core.generations.domain import events as ev
from catalog.core.generations.domain.deletion import refuse_bytes
from catalog.core.generations.domain.events import Events
from catalog.core.generations.domain.model import Attempt, Generation, Output, OutputState, Stage
from catalog.core.generations.domain.recovery import end_with_lost_outputs
from catalog.core.shared.domain import GONE, Facts


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
        return refuse_bytes(known, at, index=index, media_id=media_id, blob_key=blob_key)
    if state.winner and state.winner != attempt.id:
        return ()
    stored = ev.OutputStored(at, index, media_id, blob_key, facts)
    if state.stage is Stage.FAILED and (state.lost or failed_as_gone(state, attempt)):
        return (stored,)  # a requeue finds it; what has failed stays failed until then
    if state.final:
        return ()
    lost = [each for each in state.lost if each.index != index]
    return (stored, *end_of_outputs(state, at, count=state.output_count, fetched=1, lost=lost))


def record_fetch_progress(state: Generation, at: datetime, *, percent: float, message: str) -> Events:
    return report_progress(state, at, percent, message) if state.stage is Stage.FETCHING else ()


def report_progress(state: Generation, at: datetime, percent: float, message: str) -> Events:
    """Progress that goes back (of another output, or delivered late) shows only that something goes on."""
    if percent < state.percent:
        percent, message = state.percent, state.message
    return (ev.ProgressReported(at, percent, message[:300]),)


def end_of_outputs(
    state: Generation,
    at: datetime,
    *,
    count: int,
    fetched: int = 0,
    lost: Sequence[Output] | None = None,
) -> Events:
    """The end of a generation with `count` outputs, if they bring it: all are here, or one is lost.

    `fetched`: how many more are here than the state knows; `lost`: those that are lost by now.
    """
    lost = state.lost if lost is None else lost
    if count == 0:
        return ()
    if lost:
        return (end_with_lost_outputs(lost, at, state.requeues),)
    if len(state.fetched) + fetched >= count:
        return (ev.GenerationCompleted(at),)
    return ()


def failed_as_gone(state: Generation, attempt: Attempt) -> bool:
    """Whether all that is known of an attempt is that the provider has it no longer.

    A `succeeded` event may arrive after the `gone` event that it preceded, and so may those of its outputs:
    events that could not be applied for a while are delivered after younger ones.
    """
    gone = attempt.error is not None and attempt.error.code == GONE
    return gone and state.stage is Stage.FAILED and not state.winner and state.deleted_at is None
