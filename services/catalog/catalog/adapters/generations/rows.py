"""Maps generations, attempts and outputs to their rows and back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Row

from catalog.adapters.db import tables as t
from catalog.adapters.db.rows import from_row, make_run, to_row
from catalog.core.generations.domain.media import LostOutput
from catalog.core.generations.domain.model import Attempt, Generation, Output
from catalog.core.generations.domain.recovery import stalled_at
from catalog.core.shared.domain import Error, Facts


def generation_row(state: Generation, stalled_after: timedelta) -> dict[str, Any]:
    over = state.final and not state.open_attempts
    return to_row(
        t.generations,
        state,
        provider=state.run.provider,
        model=state.run.model,
        kind=state.run.kind.value,
        status=state.status.value,
        requeue_at=state.requeue_at,
        stalled_at=None if over else stalled_at(state.last_event_at, state.stalled_rounds, stalled_after),
    )


def attempt_row(generation_id: str, attempt: Attempt) -> dict[str, Any]:
    # Null, because the unique index would take the empty text for a prediction.
    return to_row(
        t.attempts, attempt, generation_id=generation_id, prediction_id=attempt.prediction_id or None
    )


def output_row(generation_id: str, output: Output) -> dict[str, Any]:
    """The row of an output. What is stored of it is a row of its own, see `media_row`."""
    return to_row(t.outputs, output, generation_id=generation_id)


def media_row(generation_id: str, output: Output) -> dict[str, Any]:
    facts = output.facts or Facts()
    return to_row(
        t.media,
        output,
        id=output.media_id,
        generation_id=generation_id,
        kind=facts.kind.value,
        size_bytes=facts.size_bytes,
        created_at=output.at,
    )


def make_generation(row: Row[Any], attempts: Sequence[Attempt], outputs: Sequence[Output]) -> Generation:
    return from_row(Generation, row, run=make_run(row.run), attempts=tuple(attempts), outputs=tuple(outputs))


def make_attempt(row: Row[Any]) -> Attempt:
    return from_row(Attempt, row, prediction_id=row.prediction_id or "")


def make_output(row: Row[Any]) -> Output:
    """An output of its row, joined with the media's."""
    return from_row(Output, row, blob_key=row.blob_key or "")


def make_lost(row: Row[Any]) -> LostOutput:
    """A lost output of its row, joined with its generation's."""
    error = row.error or Error("download", "could not be fetched")
    return from_row(LostOutput, row, error=error, failed_at=row.at)
