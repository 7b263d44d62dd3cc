"""Decides what becomes of lost outputs, and when work that has come to a halt is requested again.

The whole rule stands here, and every function answers a time; who stores it or waits for it decides nothing.

- An output that could not be fetched, but may still come, is requested again after 1, 2, 4, 5, 5, … minutes
  (`requeue_at`). No wait takes more than a quarter of the time that the provider still keeps it, so requests
  come closer together towards its expiry, which alone ends them. Until then its generation is not over.
- When the output that the run is for is stored, the others are requested again only twice: they are often no
  files at all (a page with a licence), and nobody should wait an hour for them.
- What is given up stands in the retry queue, from which an operator may request it at any time.
- Ten minutes before it expires operators are warned, once; when it has expired it is counted, once.
- A record without any event for too long is requested again with the next round (`stalled_at`), each time
  after twice the wait.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from catalog.core.generations.domain import events as ev
from catalog.core.generations.domain.events import Events
from catalog.core.generations.domain.model import Generation, Output, OutputState, Stage
from catalog.core.generations.domain.outputs import end_of_outputs
from catalog.core.shared.domain import Error
from servicekit.errors import Precondition

FIRST_WAIT, LONGEST_WAIT = 60.0, 300.0
"""Seconds before a lost output is requested again: doubled each time, up to the second number."""

SHARE = 0.25
"""The part of the time left that a wait may take at most; the downloader waits by the same share."""

TOO_LATE = 15.0
"""Seconds before the expiry: an output cannot be requested and fetched in less."""

MOST_REQUEUES_OF_THE_REST = 2
"""How often outputs are requested again by themselves when the one that the run is for is stored."""

AT_RISK = timedelta(minutes=10)
"""Time before the expiry at which operators are warned; the downloader warns of those it fetches as early."""

PUT_OFF = timedelta(seconds=10)
"""How long an output is left alone that could not even be requested: short, because it expires."""

MOST_DOUBLINGS = 6
"""How often the wait for a stalled record is doubled: 60 s become an hour."""

# Times -------------------------------------------------------------------------------------------


def requeue_at(state: Generation, error: Error, expires_at: datetime | None, at: datetime) -> datetime | None:
    """When an output that is lost at `at` is requested again by itself; None: never."""
    left = (expires_at - at).total_seconds() if expires_at is not None else 0.0
    if not error.retryable or left <= TOO_LATE:
        return None
    if state.requeues >= MOST_REQUEUES_OF_THE_REST and state.run_for_is_among(state.fetched):
        return None
    wait = min(FIRST_WAIT * 2 ** min(state.requeues, 10), LONGEST_WAIT, left * SHARE)
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
    if state.final or in_round < state.requeue_round or state.winner not in ("", attempt.id):
        return ()
    if known is not None and known.state is not OutputState.PENDING:
        return ()
    return _lose(state, at, (index,), error, expires_at or state.expires_at)


def lose_all_missing(state: Generation, at: datetime, error: Error) -> Events:
    """The provider has them no longer: what is not here by now never comes."""
    missing = tuple(
        index
        for index in range(state.output_count)
        if (known := state.output(index)) is None or known.undecided
    )
    never = replace(error, retryable=False)
    return _lose(state, at, missing, never, min(at, state.expires_at or at))


def _lose(
    state: Generation, at: datetime, indexes: tuple[int, ...], error: Error, expires_at: datetime | None
) -> Events:
    due = requeue_at(state, error, expires_at, at)
    lost = tuple(
        Output(index, OutputState.LOST, at, error=error, expires_at=expires_at, requeue_at=due)
        for index in indexes
    )
    events = tuple(ev.OutputLost(at, index, error, expires_at, due) for index in indexes)
    return (*events, *end_of_outputs(state, at, count=state.output_count, changed=lost))


def requeue_download(state: Generation, at: datetime, *, automatic: bool = False) -> Events:
    """Fetch lost outputs once more: all of them, or, if `automatic`, those whose time it is.

    An operator may have a completed generation fetched again too, while the provider keeps its outputs: for
    a blob that the store has lost. The downloader fetches what is not there.

    Raises:
        Precondition: nothing can be fetched; if `automatic`, nothing happens instead.
    """
    going = tuple(each.index for each in state.lost if each.requeue_at is not None or not automatic)
    if automatic and (not going or state.requeue_at is None):
        return ()
    came_after_all = state.stage is Stage.FAILED and len(state.fetched) >= state.output_count
    available = state.stage is Stage.COMPLETED and state.expires_at is not None and state.expires_at > at
    if not state.winner or not (going or came_after_all or available):
        raise Precondition(
            f"generation {state.id} is {state.stage} and has no lost output to fetch once more",
            code="not_lost",
        )
    requeued = ev.DownloadRequeued(at, automatic, going)
    if came_after_all:
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
