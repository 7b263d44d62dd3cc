"""Computes what a finished run has cost, from the provider's metrics where they say, else as estimated."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from generator.core.models.domain.model_schema import OutputSchema, Parameter
from generator.core.models.domain.prices import COMPUTE_SECONDS_GUESSED, Price, expected_output, whole_micros
from generator.core.runs.domain.output_files import output_files
from generator.core.runs.domain.prediction import Prediction


def run_cost(
    price: Price,
    prediction: Prediction,
    *,
    parameters: Sequence[Parameter] | None = None,
    given: Mapping[str, Any] | None = None,
    output_schema: OutputSchema | None = None,
) -> int:
    """Micro-dollars. What never started is free; a failed run costs its computing, and what it delivered.

    `given`: the input as we sent it; else the provider's own record of it, which it deletes after a while.
    """
    if not prediction.has_started:
        return 0
    metrics = prediction.metrics
    seconds = _metric(metrics, "video_output_duration_seconds", "audio_output_duration_seconds")
    outputs = _metric(metrics, "image_output_count", "video_output_count", "audio_output_count")
    succeeded = prediction.status == "succeeded"
    if succeeded:
        expected_seconds, _ = expected_output(price, parameters, prediction.input if given is None else given)
        seconds = expected_seconds.typical if seconds is None else seconds
        outputs = float(len(output_files(prediction.output, output_schema))) if outputs is None else outputs
    run = price.per_run if succeeded else 0
    compute = price.per_compute_second * _compute_seconds(prediction)
    return whole_micros(
        run + compute + price.per_second * (seconds or 0.0) + price.per_output * (outputs or 0.0)
    )


def _compute_seconds(prediction: Prediction) -> float:
    """As measured, else from start to end, else a guess."""
    measured = _metric(prediction.metrics, "predict_time")
    if measured is not None:
        return measured
    if prediction.started_at is None or prediction.completed_at is None:
        return COMPUTE_SECONDS_GUESSED
    return max((prediction.completed_at - prediction.started_at).total_seconds(), 0.0)


def _metric(metrics: Mapping[str, Any], *names: str) -> float | None:
    for name in names:
        value = metrics.get(name)
        if (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and math.isfinite(value)
            and value >= 0
        ):
            return float(value)
    return None
