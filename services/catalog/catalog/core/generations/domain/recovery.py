"""Lost outputs: what becomes of their generation, and when they are asked for again by themselves."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from catalog.core.generations.domain import commands as cmd
from catalog.core.generations.domain import events as ev
from catalog.core.generations.domain.evolve import evolve
from catalog.core.generations.domain.model import Generation, OutputState, Stage
from catalog.core.shared.domain import Error
from servicekit.errors import Precondition

REQUEUE_WAIT, LONGEST_WAIT = 60.0, 300.0
"""Seconds before a lost output is asked for again by itself: doubled each time, up to the second number."""

SHARE = 0.25
"""The part of the time left that a wait may take, as the downloader has it: tries come closer at the end."""

TOO_LATE = 15.0
"""Seconds before the expiry: an output cannot be asked for and fetched in less."""

Events = tuple[ev.GenerationEvent, ...]

_LOST = Error("download", "an output could not be fetched")


def settled(state: Generation, events: Events, at: datetime) -> Events:
    """The events, and the end of the generation when they bring the last output, or lose one."""
    after = state
    for event in events:
        after = evolve(after, event)
    if after.output_count == 0:
        return events
    if after.lost:
        return (*events, ended(after, at))
    if len(after.fetched) >= after.output_count:
        return (*events, ev.GenerationCompleted(at))
    return events


def ended(state: Generation, at: datetime) -> ev.GenerationFailed:
    """The end of a generation that has lost outputs: with one that never comes, it has failed for good.

    What else it has lost is paid for all the same, and asked for again while it may come.
    """
    errors = [each.error or _LOST for each in state.lost]
    error = next((each for each in errors if not each.retryable), errors[0])
    due = (
        requeue_at(error, lost.expires_at, at, state.requeues)
        for lost, error in zip(state.lost, errors, strict=True)
    )
    return ev.GenerationFailed(at, error, min((each for each in due if each is not None), default=None))


def requeue_at(error: Error, expires_at: datetime | None, at: datetime, requeues: int) -> datetime | None:
    """When an output that was lost at `at` is asked for again by itself; None: it is not.

    The provider may be back at any time while it has the output: only the expiry ends the tries.
    """
    left = (expires_at - at).total_seconds() if expires_at is not None else 0.0
    if not error.retryable or left <= TOO_LATE:
        return None
    wait = min(REQUEUE_WAIT * 2 ** min(requeues, 10), LONGEST_WAIT, left * SHARE)
    return at + timedelta(seconds=wait)


def lose(state: Generation, command: cmd.RecordLost) -> Events:
    """The downloader has given one up, in the round that counts."""
    attempt = state.attempt(command.attempt_id)
    known = state.output(command.index)
    if command.round < state.requeue_round or state.winner not in ("", attempt.id):
        return ()
    if known is not None and known.state is not OutputState.PENDING:
        return ()
    lost = ev.OutputLost(command.at, command.index, command.error, command.expires_at or state.expires_at)
    if state.stage is Stage.FAILED and state.lost and command.index < state.output_count:
        again = ended(evolve(state, lost), command.at)
        # One more of them: the end stays as it is, unless this is the first that may be asked for again.
        return (lost, again) if state.requeue_at is None and again.requeue_at is not None else (lost,)
    return () if state.final else settled(state, (lost,), command.at)


def lose_all(state: Generation, at: datetime, error: Error) -> Events:
    """The provider has them no longer: what is not here by now never comes."""
    never = replace(error, retryable=False)
    ended = min(at, state.expires_at or at)
    missing = (
        index
        for index in range(state.output_count)
        if (known := state.output(index)) is None or known.state is OutputState.PENDING
    )
    lost = tuple(ev.OutputLost(at, index, never, ended) for index in missing)
    return (*lost, ev.GenerationFailed(at, error))


def requeue(state: Generation, command: cmd.RequeueDownload) -> Events:
    """Fetch what was lost once more. Precondition: nothing was (by itself: then nothing happens)."""
    if state.stage is not Stage.FAILED or not state.winner or state.deleted_at is not None:
        if command.automatic:
            return ()
        raise Precondition(
            f"generation {state.id} is {state.stage} and has no lost output to fetch once more",
            code="not_lost",
        )
    requeued = ev.DownloadRequeued(command.at, command.automatic)
    if len(state.fetched) >= state.output_count:  # it came after all, when nobody waited for it
        return (requeued, ev.GenerationCompleted(command.at))
    return (requeued, ev.GenerationRequested(command.at, state.round + 1))
