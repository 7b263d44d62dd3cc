"""Decides how a generation begins, how it is requested again, and how it is canceled.

Every decision in this folder is a function `(state, at, …) -> events`: the events that follow, or none when
there is nothing to change. It changes nothing itself; `evolve` does.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from catalog.core.generations.domain import events as ev
from catalog.core.generations.domain.events import Events
from catalog.core.generations.domain.model import Generation, Stage
from catalog.core.shared.domain import RunSpec

Decision = Callable[[Generation, datetime], Events]
"""A decision whose own arguments are filled in."""


def create_generation(
    at: datetime,
    generation_id: str,
    run: RunSpec,
    *,
    campaign_id: str = "",
    job_id: str = "",
    scene_id: str = "",
) -> Events:
    created = ev.GenerationCreated(at, generation_id, run, campaign_id, job_id, scene_id)
    return (created, ev.GenerationRequested(at, round=1))


def request_again(state: Generation, at: datetime, *, stalled: bool = False) -> Events:
    """Request the run with the next round: it has `stalled`, or its job goes on."""
    if state.final and not state.open_attempts:
        return ()
    if not stalled and (state.stage is not Stage.REQUESTED or state.open_attempts):
        return ()
    left = (state.not_before - at).total_seconds() if state.not_before else 0.0
    return (ev.GenerationRequested(at, state.round + 1, delay=max(left, 0.0), stalled=stalled),)


def postpone_request(state: Generation, at: datetime) -> Events:  # noqa: ARG001  # a decision like the others
    """Leave a stalled one alone for a while: it waits for its job."""
    return (ev.RequestPostponed(at),)


def cancel_generation(state: Generation, at: datetime) -> Events:
    """Stop it: at once, or as soon as the provider has. What is final, or paid for, stays as it is."""
    if state.final or state.cancel_requested or state.stage is Stage.FETCHING:
        return ()
    if state.open_attempts:
        return (ev.CancelRequested(at),)
    return (ev.GenerationCanceled(at),)
