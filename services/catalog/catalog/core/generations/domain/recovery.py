"""Decides what becomes of lost outputs, and when work that has come to a halt is requested again.

The whole rule stands here, and every function answers a time; who stores it or waits for it decides nothing.

- An output that could not be fetched, but may still come, is requested again after 1, 2, 4, 5, 5, … minutes
  (`requeue_at`). No wait takes more than a quarter of the time that the provider still keeps it, so requests
  come closer together towards its expiry, which alone ends them.
- Ten minutes before it expires operators are warned, once; when it has expired it is counted, once.
- A record without any event for too long is requested again with the next round (`stalled_at`), each time
  after twice the wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from catalog.core.generations.domain import events as ev
from catalog.core.generations.domain.events import Events
from catalog.core.generations.domain.model import Generation, Output, OutputState, Stage
from catalog.core.shared.domain import Error
from servicekit.errors import Precondition

FIRST_WAIT, LONGEST_WAIT = 60.0, 300.0
"""Seconds before a lost output is requested again: doubled each time, up to the second number."""

SHARE = 0.25
"""The part of the time left that a wait may take at most; the downloader waits by the same share."""

TOO_LATE = 15.0
"""Seconds before the expiry: an output cannot be requested and fetched in less."""

AT_RISK = timedelta(minutes=10)
"""Time before the expiry at which operators are warned; the downloader warns of those it fetches as early."""

PUT_OFF = timedelta(seconds=10)
"""How long an output is left alone that could not even be requested: short, because it expires."""

MOST_DOUBLINGS = 6
"""How often the wait for a stalled record is doubled: 60 s become an hour."""

_LOST = Error("download", "an output could not be fetched")

# Times -------------------------------------------------------------------------------------------


def requeue_at(error: Error, expires_at: datetime | None, at: datetime, requeues: int) -> datetime | None:
    """When an output that was lost at `at`, after so many requeues, is requested again; None: never."""
    left = (expires_at - at).total_seconds() if expires_at is not None else 0.0
    if not error.retryable or left <= TOO_LATE:
        return None
    wait = min(FIRST_WAIT * 2 ** min(requeues, 10), LONGEST_WAIT, left * SHARE)
    return at + timedelta(seconds=wait)


def at_risk_until(at: datetime) -> datetime:
    """Outputs that expire by then are at risk now."""
    return at + AT_RISK


def stalled_at(last_event_at: datetime, rounds: int, stalled_after: timedelta) -> datetime:
    """When a record is requested again unless an event comes; `rounds`: how often it was, since the last one.

    Later each time, because what is requested again stands in a queue once more.
    """
    doublings = min(rounds, MOST_DOUBLINGS)
    return last_event_at + stalled_after * (1 << doublings)


# Decisions ---------------------------------------------------------------------------------------


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


def warn_of_expiry(state: Generation, at: datetime, *, index: int) -> Events:
    """Operators are warned that an output expires which is not stored: once, however often it is lost."""
    output = state.output(index)
    if output is None or not output.missing or output.warned_at or output.counted_at:
        return ()
    return (ev.OutputExpiryWarned(at, index),)


def count_loss(state: Generation, at: datetime, *, index: int) -> Events:
    """An output that has expired is counted as lost, once; not one that is being fetched once more."""
    output = state.output(index)
    if output is None or output.state is not OutputState.LOST or output.counted_at:
        return ()
    return (ev.OutputLossCounted(at, index),)
