"""The use case "receive": a verified call from the provider changes nothing that a look would not."""

from __future__ import annotations

import json

from generator.core.runs.domain.match_predictions import correlation
from generator.core.runs.domain.prediction import Prediction, read
from generator.core.runs.ports import Attempt, State
from generator.core.runs.track_prediction import Ports, finish
from servicekit.errors import Conflict, Invalid, NotFound

_OPEN = (State.INTENDED, State.UNKNOWN, State.SUBMITTED)


async def receive(ports: Ports, attempt_id: str, body: bytes) -> bool:
    """Take in the prediction that a webhook carries (its signature is verified already).

    Answers whether it said something new. A call for an attempt whose fate was unknown adopts the prediction.

    Raises:
        Invalid: the body is no prediction.
        NotFound: no attempt of ours has it.
    """
    prediction = _parse(body)
    bought_by = correlation(prediction.webhook)
    if bought_by in ("", attempt_id) and ports.wakes.hand_over(attempt_id, prediction):
        return True  # who follows it says it; should it die before, the next delivery looks again
    attempt = await _attempt(ports, attempt_id, prediction)
    if attempt.prediction_id and attempt.prediction_id != prediction.id:
        raise Invalid(f"attempt {attempt.id} has another prediction than {prediction.id}")
    if bought_by not in ("", attempt.id):
        raise Invalid(f"prediction {prediction.id} was bought by another attempt than {attempt.id}")
    # An attempt that ended has a prediction. One that was given up has none, and was bought all the same:
    # its money and its outputs belong to the generation (docs/adr/0002-intent-before-payment.md).
    if attempt.state not in _OPEN and attempt.prediction_id:
        return False
    if not attempt.prediction_id:
        try:
            await ports.attempts.record(attempt.id, prediction.id)
        except Conflict as error:
            raise Invalid(
                f"prediction {prediction.id} is not of attempt {attempt.id}: {error.message}"
            ) from error
    if prediction.final:
        await finish(ports, await ports.attempts.work_of(attempt), attempt, prediction, attempt.round)
    await ports.wakes.poke(attempt.id)
    return True


def _parse(body: bytes) -> Prediction:
    try:
        prediction = read(json.loads(body))
    except (ValueError, RecursionError) as error:
        raise Invalid(f"the webhook's body is no JSON: {error}") from error
    if prediction is None:
        raise Invalid("the webhook's body is no prediction: it has no id")
    return prediction


async def _attempt(ports: Ports, attempt_id: str, prediction: Prediction) -> Attempt:
    if attempt_id:
        return await ports.attempts.get(attempt_id)
    owner = await ports.attempts.of_prediction(prediction.id)
    if owner is None:
        raise NotFound(f"no attempt of ours has prediction {prediction.id}")
    return owner
