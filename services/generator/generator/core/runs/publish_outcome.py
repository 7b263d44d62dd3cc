"""Publishes the one event that says how a final prediction ended, with what it has cost."""

from __future__ import annotations

from generator.core.inputs.domain.run_spec import RunSpec
from generator.core.runs.domain.attempt import Attempt
from generator.core.runs.domain.events import PredictionFailed, PredictionRef, prediction_outcome
from generator.core.runs.domain.output_files import has_inline_files
from generator.core.runs.domain.prediction import Prediction
from generator.core.runs.domain.provider_errors import Error
from generator.core.runs.ports import RunPorts
from servicekit.errors import Invalid, NotFound

INLINE_WAITS = (0.0, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each new read of a run whose output stood in the answer itself: a later one has addresses
(docs/provider.md, Predictions)."""


def prediction_ref(run: RunSpec, attempt: Attempt, prediction_id: str) -> PredictionRef:
    return PredictionRef(
        attempt.generation_id, attempt.id, prediction_id, run.job_id, run.campaign_id, attempt.round
    )


async def publish_outcome(ports: RunPorts, run: RunSpec, attempt: Attempt, prediction: Prediction) -> None:
    try:
        await _publish(ports, run, attempt, prediction)
    except Invalid as error:  # outputs inside the answer itself (`data:`) that no event can carry
        if prediction.status != "succeeded":
            raise
        await _publish_addresses(ports, run, attempt, prediction, error)


async def _publish(ports: RunPorts, run: RunSpec, attempt: Attempt, prediction: Prediction) -> None:
    canceled = attempt.cancel_requested
    if not canceled and prediction.status not in ("succeeded", "failed"):
        canceled = (await ports.attempts.get(attempt.id)).cancel_requested  # perhaps requested meanwhile
    event = prediction_outcome(
        prediction,
        prediction_ref(run, attempt, prediction.id),
        files=await ports.results.files(run, prediction),
        kind=run.kind,
        cost=await ports.results.cost(run, prediction),
        cancel_requested=canceled,
        now=ports.clock.now(),
    )
    await ports.events.publish(event)


async def _publish_addresses(
    ports: RunPorts, run: RunSpec, attempt: Attempt, prediction: Prediction, error: Invalid
) -> None:
    """Read it again for addresses of what stood in the answer itself; without them it has failed."""
    for wait in INLINE_WAITS if has_inline_files(prediction.output) else ():
        await ports.clock.sleep(wait)
        try:
            later = await ports.provider.get(prediction.id)
        except NotFound:
            break
        if not has_inline_files(later.output):
            await _publish(ports, run, attempt, later)
            return
    too_large = Error("output_too_large", f"the model answered more than can be taken in: {error.message}")
    ref = prediction_ref(run, attempt, prediction.id)
    await ports.events.publish(PredictionFailed(ref, too_large, await ports.results.cost(run, prediction)))
