"""From a finished prediction to the one fact that says how it ended."""

from __future__ import annotations

from datetime import datetime, timedelta

from generator.core.models.domain.media_kinds import Kind
from generator.core.runs.domain import events
from generator.core.runs.domain.events import Canceled, Failed, Succeeded, Whose
from generator.core.runs.domain.prediction import Prediction, addresses
from generator.core.runs.domain.provider_errors import Failure, classify

OUTPUT_LIFE = timedelta(hours=1)
"""How long the provider keeps outputs (docs/provider.md, Files)."""

GONE = Failure(
    events.GONE, "the provider has deleted this run and its outputs: it can only be paid for and run again"
)


def conclude(
    prediction: Prediction, whose: Whose, *, kind: Kind, cost: int, cancel_requested: bool, now: datetime
) -> Succeeded | Failed | Canceled:
    """The fact. Judged by the status alone: an `error` may stand on a success (docs/provider.md)."""
    if prediction.status == "succeeded":
        return _success(prediction, whose, kind=kind, cost=cost, now=now)
    if prediction.status == "failed":
        return Failed(whose, classify(prediction.error), cost)
    # `aborted` ended before it began: only its deadline does that.
    return Canceled(whose, cost, by_deadline=not cancel_requested)


def _success(
    prediction: Prediction, whose: Whose, *, kind: Kind, cost: int, now: datetime
) -> Succeeded | Failed:
    completed = prediction.completed_at or now
    found = tuple(addresses(prediction.output))
    if prediction.data_removed and not found:
        return Failed(whose, GONE, cost)
    if not found:
        return Failed(whose, Failure("no_output", "the model ended well but made no file"), cost)
    return Succeeded(whose, found, kind, completed + OUTPUT_LIFE, completed, cost, prediction.metrics)
