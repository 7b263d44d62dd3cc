"""Generations, attempts and outputs between state and rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row

from catalog.adapters.db.json_columns import dump, load_optional
from catalog.adapters.generations.legacy_run_json import make_run
from catalog.core.generations.domain.media import LostOutput
from catalog.core.generations.domain.model import (
    STATUS,
    Attempt,
    AttemptState,
    Generation,
    Output,
    OutputState,
    Stage,
)
from catalog.core.shared.domain import Error, Facts

LONGEST_SILENCE = 6
"""How often the silence that is borne may double: 60 s become an hour."""


def generation_columns(state: Generation, stalled_after: timedelta) -> dict[str, Any]:
    """The row of a generation."""
    return {
        "id": state.id,
        "campaign_id": state.campaign_id,
        "job_id": state.job_id,
        "scene_id": state.scene_id,
        "provider": state.run.provider,
        "model": state.run.model,
        "kind": state.run.kind.value,
        "run": dump(state.run),
        "stage": state.stage.value,
        "status": STATUS[state.stage].value,
        "percent": state.percent,
        "message": state.message,
        "error": dump(state.error),
        "round": state.round,
        "cancel_requested": state.cancel_requested,
        "not_before": state.not_before,
        "winner": state.winner,
        "output_count": state.output_count,
        "expires_at": state.expires_at,
        "requeues": state.requeues,
        "requeue_round": state.requeue_round,
        "requeue_at": state.requeue_at,
        "created_at": state.created_at,
        "updated_at": state.updated_at,
        "finished_at": state.finished_at,
        "last_event_at": state.last_event_at,
        "deleted_at": state.deleted_at,
        "stalled_rounds": state.stalled_rounds,
        "stalled_at": stalled_at(
            state.last_event_at,
            state.stalled_rounds,
            stalled_after,
            done=state.final and not state.open_attempts,
        ),
    }


def stalled_at(
    last_event_at: datetime, rounds: int, stalled_after: timedelta, *, done: bool
) -> datetime | None:
    """When somebody asks again unless something is heard: later each time, for asking fills the queue."""
    return None if done else last_event_at + stalled_after * 2 ** min(rounds, LONGEST_SILENCE)


def attempt_columns(generation_id: str, attempt: Attempt) -> dict[str, Any]:
    """The row of an attempt."""
    return {
        "id": attempt.id,
        "generation_id": generation_id,
        "number": attempt.number,
        "state": attempt.state.value,
        "prediction_id": attempt.prediction_id or None,
        "reserved_micros": attempt.reserved_micros,
        "cost_micros": attempt.cost_micros,
        "intended_at": attempt.intended_at,
        "submitted_at": attempt.submitted_at,
        "error": dump(attempt.error),
    }


def output_columns(generation_id: str, output: Output) -> dict[str, Any]:
    """The row of an output. What is stored of it is a row of its own, see `media_columns`."""
    return {
        "generation_id": generation_id,
        "index": output.index,
        "state": output.state.value,
        "at": output.at,
        "media_id": output.media_id,
        "error": dump(output.error),
        "expires_at": output.expires_at,
    }


def media_columns(generation_id: str, output: Output) -> dict[str, Any]:
    """The row of a stored output."""
    facts = output.facts or Facts()
    return {
        "id": output.media_id,
        "generation_id": generation_id,
        "index": output.index,
        "blob_key": output.blob_key,
        "facts": dump(output.facts),
        "kind": facts.kind.value,
        "size_bytes": facts.size_bytes,
        "created_at": output.at,
    }


def make_attempt(row: Row[Any]) -> Attempt:
    """An attempt of its row."""
    return Attempt(
        id=row.id,
        number=row.number,
        state=AttemptState(row.state),
        reserved_micros=row.reserved_micros,
        intended_at=row.intended_at,
        prediction_id=row.prediction_id or "",
        cost_micros=row.cost_micros,
        submitted_at=row.submitted_at,
        error=load_optional(Error, row.error),
    )


def make_output(row: Row[Any]) -> Output:
    """An output of its row, joined with the media's."""
    columns = row._mapping  # noqa: SLF001  # rows have a method called index
    return Output(
        index=columns["index"],
        state=OutputState(row.state),
        at=row.at,
        media_id=row.media_id,
        blob_key=row.blob_key or "",
        facts=load_optional(Facts, row.facts),
        error=load_optional(Error, row.error),
        expires_at=row.expires_at,
    )


def make_generation(row: Row[Any], attempts: Sequence[Attempt], outputs: Sequence[Output]) -> Generation:
    """A generation of its row and its parts."""
    return Generation(
        id=row.id,
        run=make_run(row.run),
        campaign_id=row.campaign_id,
        job_id=row.job_id,
        scene_id=row.scene_id,
        stage=Stage(row.stage),
        percent=row.percent,
        message=row.message,
        error=load_optional(Error, row.error),
        round=row.round,
        stalled_rounds=row.stalled_rounds,
        not_before=row.not_before,
        cancel_requested=row.cancel_requested,
        attempts=tuple(attempts),
        winner=row.winner,
        outputs=tuple(outputs),
        output_count=row.output_count,
        expires_at=row.expires_at,
        requeues=row.requeues,
        requeue_round=row.requeue_round,
        requeue_at=row.requeue_at,
        created_at=row.created_at,
        updated_at=row.updated_at,
        finished_at=row.finished_at,
        last_event_at=row.last_event_at,
        deleted_at=row.deleted_at,
    )


def make_lost(row: Row[Any]) -> LostOutput:
    """A lost output of its row, joined with its generation's."""
    error = load_optional(Error, row.error) or Error("download", "could not be fetched")
    return LostOutput(
        generation_id=row.generation_id,
        job_id=row.job_id,
        index=row._mapping["index"],  # noqa: SLF001  # public in spite of its name
        model=row.model,
        error=error,
        failed_at=row.at,
        expires_at=row.expires_at,
    )
