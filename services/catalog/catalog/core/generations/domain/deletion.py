"""Deleting a generation or one of its outputs: when it may go, and what becomes of bytes that come late."""

from __future__ import annotations

from catalog.core.generations.domain import commands as cmd
from catalog.core.generations.domain import events as ev
from catalog.core.generations.domain.model import Generation, Output
from servicekit.errors import NotFound, Precondition

Events = tuple[ev.GenerationEvent, ...]


def delete(state: Generation, command: cmd.DeleteGeneration) -> Events:
    """Every output that is stored, or the one that is named, and the generation when nothing is left of it.

    Raises:
        NotFound: it, or that output, was deleted already or never was.
        Precondition: it is not over, or a job that is not over needs it.
    """
    if state.deleted_at is not None:
        raise NotFound(f"there is no generation {state.id}: it was deleted")
    going = [each for each in state.stored if command.index in (None, each.index)]
    if command.index is not None and not going:
        raise NotFound(f"generation {state.id} has no stored output {command.index}")
    check_free(state, command.needed_by)
    gone = tuple(ev.OutputDeleted(command.at, each.index, each.media_id, each.blob_key) for each in going)
    if len(gone) < len(state.stored) or (command.index is not None and state.lost):
        return gone
    return (*gone, ev.GenerationDeleted(command.at))


def check_free(state: Generation, needed_by: str) -> None:
    """Precondition unless nothing runs for it and nobody needs it."""
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


def refuse(known: Output | None, command: cmd.RecordStored) -> Events:
    """Bytes that came for what was deleted: they go too. No record is made of them."""
    media_id = (known.media_id if known is not None else "") or command.media_id
    return (ev.OutputRefused(command.at, command.index, media_id, command.blob_key),)
