"""Lost outputs: what becomes of their generation, and when they are requested again by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from catalog.core.generations.domain import events as ev
from catalog.core.generations.domain.events import Events
from catalog.core.generations.domain.model import Generation, Output, OutputState, Stage
from catalog.core.shared.domain import Error
from servicekit.errors import Precondition

REQUEUE_WAIT, LONGEST_WAIT = 60.0, 300.0
"""Seconds before a lost output is requested again by itself: doubled each time, up to the second number."""

SHARE = 0.25
"""The part of the time left that a wait may take, as the downloader has it: tries come closer at the end."""

TOO_LATE = 15.0
"""Seconds before the expiry: an output cannot be requested and fetched in less."""

_LOST = Error("download", "an output could not be fetched")


def record_lost(
    state: Generation,
    at: datetime,
    *,
    attempt_id: str,
    index: int,
    error: Error,
    in_round: int,
    expires_at: datetime | None = None,
) -> Events:
    """The downloader gave one output up, in the round of that request."""
    attempt = state.attempt(attempt_id)
    known = state.output(index)
    if in_round < state.requeue_round or state.winner not in ("", attempt.id):
        return ()
    if known is not None and known.state is not OutputState.PENDING:
        return ()
    event = ev.OutputLost(at, index, error, expires_at or state.expires_at)
    output = Output(index, OutputState.LOST, at, error=error, expires_at=event.expires_at)
    lost = sorted((*state.lost, output), key=lambda each: each.index)
    if state.stage is Stage.FAILED and state.lost and index < state.output_count:
        again = end_with_lost_outputs(lost, at, state.requeues)
        # One more of them: the end stays as it is, unless this is the first that may be requested again.
        return (event, again) if state.requeue_at is None and again.requeue_at is not None else (event,)
    if state.final:
        return ()
    if state.output_count == 0:
        return (event,)
    return (event, end_with_lost_outputs(lost, at, state.requeues))


def lose_all_missing(state: Generation, at: datetime, error: Error) -> Events:
    """The provider has them no longer: what is not here by now never comes."""
    never = replace(error, retryable=False)
    expired_at = min(at, state.expires_at or at)
    missing = (
        index
        for index in range(state.output_count)
        if (known := state.output(index)) is None or known.state is OutputState.PENDING
    )
    lost = tuple(ev.OutputLost(at, index, never, expired_at) for index in missing)
    return (*lost, ev.GenerationFailed(at, error))


def end_with_lost_outputs(lost: Sequence[Output], at: datetime, requeues: int) -> ev.GenerationFailed:
    """The end of a generation that has lost these outputs: with one that never comes, it has failed for good.

    What else it has lost is paid for all the same, and requested again while it may come.
    """
    errors = [each.error or _LOST for each in lost]
    error = next((each for each in errors if not each.retryable), errors[0])
    times = (
        requeue_at(error, output.expires_at, at, requeues) for output, error in zip(lost, errors, strict=True)
    )
    return ev.GenerationFailed(at, error, min((each for each in times if each is not None), default=None))


def requeue_at(error: Error, expires_at: datetime | None, at: datetime, requeues: int) -> datetime | None:
    """When an output that was lost at `at` is requested again by itself; None: it is not.

    The provider may be back at any time while it has the output: only the expiry ends the tries.
    """
    left = (expires_at - at).total_seconds() if expires_at is not None else 0.0
    if not error.retryable or left <= TOO_LATE:
        return None
    wait = min(REQUEUE_WAIT * 2 ** min(requeues, 10), LONGEST_WAIT, left * SHARE)
    return at + timedelta(seconds=wait)


def requeue_download(state: Generation, at: datetime, *, automatic: bool = False) -> Events:
    """Fetch what was lost once more. Precondition: nothing was (`automatic`: then nothing happens)."""
    if state.stage is not Stage.FAILED or not state.winner or state.deleted_at is not None:
        if automatic:
            return ()
        raise Precondition(
            f"generation {state.id} is {state.stage} and has no lost output to fetch once more",
            code="not_lost",
        )
    requeued = ev.DownloadRequeued(at, automatic)
    if len(state.fetched) >= state.output_count:  # it came after all, when nobody waited for it
        return (requeued, ev.GenerationCompleted(at))
    return (requeued, ev.GenerationRequested(at, state.round + 1))
