"""Defines the events about a prediction, and decides which of them says how a final one ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from generator.core.models.domain.media_kinds import MediaKind
from generator.core.runs.domain.prediction import Prediction
from generator.core.runs.domain.provider_errors import Error, classify_error


@dataclass(frozen=True)
class PredictionRef:
    """Identifies the prediction that an event is about; `round` is that of the request that led to it."""

    generation_id: str
    attempt_id: str
    prediction_id: str
    job_id: str = ""
    campaign_id: str = ""
    round: int = 1


@dataclass(frozen=True)
class PredictionStarted:
    """The provider runs it."""

    prediction: PredictionRef


@dataclass(frozen=True)
class PredictionProgressed:
    """How far it is: whole percent, and what is happening now."""

    prediction: PredictionRef
    percent: int
    message: str


@dataclass(frozen=True)
class PredictionSucceeded:
    """Its outputs lie at these addresses until `expires_at`."""

    prediction: PredictionRef
    addresses: tuple[str, ...]
    kind: MediaKind
    expires_at: datetime
    completed_at: datetime
    cost_micros: int
    metrics: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PredictionFailed:
    """It failed, or its outputs are gone."""

    prediction: PredictionRef
    error: Error
    cost_micros: int = 0


@dataclass(frozen=True)
class PredictionCanceled:
    """It was stopped at the provider, by us or by its deadline."""

    prediction: PredictionRef
    cost_micros: int = 0
    by_deadline: bool = False


PredictionEvent = (
    PredictionStarted | PredictionProgressed | PredictionSucceeded | PredictionFailed | PredictionCanceled
)

GONE = "gone"
"""The code of an error: the provider has the run and its outputs no longer."""

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
    if prediction.status == "failed":
        return PredictionFailed(ref, classify_error(prediction.error), cost)
    if prediction.status != "succeeded":
        # `aborted` ended before it began: only its deadline does that.
        return PredictionCanceled(ref, cost, by_deadline=not cancel_requested)
    if not files:
        no_output = Error("no_output", "the model ended well but made no file")
        return PredictionFailed(ref, OUTPUTS_GONE if prediction.data_removed else no_output, cost)
    completed = prediction.completed_at or now
    return PredictionSucceeded(ref, files, kind, completed + OUTPUT_LIFE, completed, cost, prediction.metrics)
