"""The use case "handle a webhook": a verified call of the provider changes only what a poll would."""

from __future__ import annotations

import json

from generator.core.runs.domain.attempt import Attempt, AttemptState
from generator.core.runs.domain.match_predictions import attempt_of_webhook
from generator.core.runs.domain.prediction import Prediction, read_prediction
from generator.core.runs.ports import RunPorts
from generator.core.runs.publish_outcome import publish_outcome
from servicekit.errors import Conflict, Invalid, NotFound

_OPEN = (AttemptState.INTENDED, AttemptState.UNKNOWN, AttemptState.SUBMITTED)


async def handle_webhook(ports: RunPorts, attempt_id: str, body: bytes) -> bool:
    """Take in the prediction that a webhook carries (its signature is verified already).

    Answers whether it was new. A call for an attempt without a recorded submission adopts the prediction.

    Raises:
        Invalid: the body is no prediction.
        NotFound: no attempt of ours has it.
    """
    prediction = _parse(body)
    submitted_by = attempt_of_webhook(prediction.webhook)
    if submitted_by in ("", attempt_id) and ports.wakeups.hand_over(attempt_id, prediction):
        return True  # its poller publishes it; should that one die before, the next delivery reads it again
    attempt = await _attempt(ports, attempt_id, prediction)
    if attempt.prediction_id and attempt.prediction_id != prediction.id:
        raise Invalid(f"attempt {attempt.id} has another prediction than {prediction.id}")
    if submitted_by not in ("", attempt.id):
        raise Invalid(f"prediction {prediction.id} was bought by another attempt than {attempt.id}")
    # An attempt that ended has a prediction. One that was given up has none, and was bought all the same:
    # its money and its outputs belong to the generation (docs/adr/0002-intent-before-payment.md).
    if attempt.state not in _OPEN and attempt.prediction_id:
        return False
    if not attempt.prediction_id:
        try:
            await ports.attempts.record_submitted(attempt.id, prediction.id)
        except Conflict as error:
            raise Invalid(
                f"prediction {prediction.id} is not of attempt {attempt.id}: {error.message}"
            ) from error
    if prediction.is_final:
        run = await ports.attempts.run_of(attempt)
        await publish_outcome(ports, run, attempt, prediction)
    await ports.wakeups.send(attempt.id)
    return True


def _parse(body: bytes) -> Prediction:
    try:
        prediction = read_prediction(json.loads(body))
    except (ValueError, RecursionError) as error:
        raise Invalid(f"the webhook's body is no JSON: {error}") from error
    if prediction is None:
        raise Invalid("the webhook's body is no prediction: it has no id")
    return prediction


async def _attempt(ports: RunPorts, attempt_id: str, prediction: Prediction) -> Attempt:
    if attempt_id:
        return await ports.attempts.get(attempt_id)
    owner = await ports.attempts.find_by_prediction(prediction.id)
    if owner is None:
        raise NotFound(f"no attempt of ours has prediction {prediction.id}")
    return owner
