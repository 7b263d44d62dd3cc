"""Generations, attempts and outputs between state and rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row

from catalog.adapters.db.json_columns import dump, load_optional
from catalog.adapters.generations.legacy_run_json import make_run
from catalog.core.generations.domain.model import (
    STATUS,
    Attempt,
    AttemptState,
    Generation,
    Output,
    OutputState,
    Stage,
)
from catalog.core.shared.records import LostOutput
from catalog.core.shared.values import Failure, FileFacts

LONGEST_SILENCE = 6
"""How often the silence that is borne may double: 60 s become an hour."""


def generation_columns(state: Generation, silent_after: timedelta) -> dict[str, Any]:
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
        "failure": dump(state.failure),
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
        "heard_at": state.heard_at,
        "deleted_at": state.deleted_at,
        "silent_rounds": state.silent_rounds,
        "silent_at": silent_at(
            state.heard_at, state.silent_rounds, silent_after, done=state.final and not state.open_attempts
        ),
    }


def silent_at(heard_at: datetime, rounds: int, silent_after: timedelta, *, done: bool) -> datetime | None:
    """When somebody asks again unless something is heard: later each time, for asking fills the queue."""
    return None if done else heard_at + silent_after * 2 ** min(rounds, LONGEST_SILENCE)


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
        "failure": dump(attempt.failure),
    }


def output_columns(generation_id: str, output: Output) -> dict[str, Any]:
    """The row of an output. What is stored of it is a row of its own, see `media_columns`."""
    return {
        "generation_id": generation_id,
        "index": output.index,
        "state": output.state.value,
        "at": output.at,
        "media_id": output.media_id,
        "failure": dump(output.failure),
        "expires_at": output.expires_at,
    }


def media_columns(generation_id: str, output: Output) -> dict[str, Any]:
    """The row of a stored output."""
    facts = output.facts or FileFacts()
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
        failure=load_optional(Failure, row.failure),
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
        facts=load_optional(FileFacts, row.facts),
        failure=load_optional(Failure, row.failure),
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
        failure=load_optional(Failure, row.failure),
        round=row.round,
        silent_rounds=row.silent_rounds,
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
        heard_at=row.heard_at,
        deleted_at=row.deleted_at,
    )


def make_lost(row: Row[Any]) -> LostOutput:
    """A lost output of its row, joined with its generation's."""
    failure = load_optional(Failure, row.failure) or Failure("download", "could not be fetched")
    return LostOutput(
        generation_id=row.generation_id,
        job_id=row.job_id,
        index=row._mapping["index"],  # noqa: SLF001  # public in spite of its name
        model=row.model,
        failure=failure,
        failed_at=row.at,
        expires_at=row.expires_at,
    )
