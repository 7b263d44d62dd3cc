"""Decides which event says how a final prediction ended."""

from __future__ import annotations

from datetime import datetime, timedelta

from generator.core.models.domain.media_kinds import MediaKind
from generator.core.runs.domain.events import (
    GONE,
    PredictionCanceled,
    PredictionFailed,
    PredictionRef,
    PredictionSucceeded,
)
from generator.core.runs.domain.prediction import Prediction
from generator.core.runs.domain.provider_errors import Error, classify_error

OUTPUT_LIFE = timedelta(hours=1)
"""How long the provider keeps outputs (docs/provider.md, Files)."""

OUTPUTS_GONE = Error(
    GONE, "the provider has deleted this run and its outputs: it can only be paid for and run again"
)


def prediction_outcome(
    prediction: Prediction,
    ref: PredictionRef,
    *,
    files: tuple[str, ...],
    kind: MediaKind,
    cost: int,
    cancel_requested: bool,
    now: datetime,
) -> PredictionSucceeded | PredictionFailed | PredictionCanceled:
    """Judged by the status alone: an `error` may stand on a success (docs/provider.md)."""
    if prediction.status == "succeeded":
        return _success(prediction, ref, files=files, kind=kind, cost=cost, now=now)
    if prediction.status == "failed":
        return PredictionFailed(ref, classify_error(prediction.error), cost)
    # `aborted` ended before it began: only its deadline does that.
    return PredictionCanceled(ref, cost, by_deadline=not cancel_requested)


def _success(
    prediction: Prediction,
    ref: PredictionRef,
    *,
    files: tuple[str, ...],
    kind: MediaKind,
    cost: int,
    now: datetime,
) -> PredictionSucceeded | PredictionFailed:
    completed = prediction.completed_at or now
    if prediction.data_removed and not files:
        return PredictionFailed(ref, OUTPUTS_GONE, cost)
    if not files:
        return PredictionFailed(ref, Error("no_output", "the model ended well but made no file"), cost)
    return PredictionSucceeded(ref, files, kind, completed + OUTPUT_LIFE, completed, cost, prediction.metrics)
