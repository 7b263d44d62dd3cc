"""Decides when a generation or an output may be deleted."""

from __future__ import annotations

from datetime import datetime

from catalog.core.generations.domain import events as ev
from catalog.core.generations.domain.events import Events
from catalog.core.generations.domain.model import Generation, Stage
from servicekit.errors import NotFound, Precondition


def delete_generation(
    state: Generation, at: datetime, *, index: int | None = None, needed_by: str = ""
) -> Events:
    """Delete every stored output, or the one at `index`, and the generation when nothing is left of it.

    `needed_by`: the job that is not final and needs it.

    Raises:
        NotFound: it, or that output, was deleted already or never was.
        Precondition: it is not final, or a job that is not final needs it.
    """
    if state.deleted_at is not None:
        raise NotFound(f"there is no generation {state.id}: it was deleted")
    going = [each for each in state.stored if index in (None, each.index)]
    if index is not None and not going:
        raise NotFound(f"generation {state.id} has no stored output {index}")
    _check_deletable(state, needed_by)
    deleted = tuple(ev.OutputDeleted(at, each.index, each.media_id, each.blob_key) for each in going)
    if len(deleted) < len(state.stored) or (index is not None and state.lost):
        return deleted
    return (*deleted, ev.GenerationDeleted(at))


def _check_deletable(state: Generation, needed_by: str) -> None:
    """Precondition unless nothing runs for it and nobody needs it."""
    if state.stage is Stage.FETCHING:  # which `cancel_generation` leaves as it is
        raise Precondition(
            f"generation {state.id} is {state.stage}, and what is paid for is not canceled: "
            "wait until its outputs are stored or have expired",
            code="in_use",
        )
    if not state.final:
        raise Precondition(
            f"generation {state.id} is {state.stage}: cancel it first "
            f"(POST /api/v3/generations/{state.id}/cancel), or wait until it is over",
            code="in_use",
        )
    if state.open_attempts:
        raise Precondition(
            f"generation {state.id} is {state.stage}, and the provider still runs an attempt of it, "
            "which is being stopped: try again in a minute",
            code="in_use",
        )
    if needed_by:
        raise Precondition(
            f"generation {state.id} is a part of job {needed_by}, which is not over: cancel the job first "
            f"(POST /api/v3/jobs/{needed_by}/cancel), or wait for it",
            code="in_use",
        )
