"""The use case "cancel": stop what runs at the provider; what was too late to stop is kept."""

from __future__ import annotations

from generator.core.runs.ports import State
from generator.core.runs.track_prediction import Ports, finish
from servicekit.errors import NotFound, Unavailable


async def cancel(ports: Ports, generation_id: str) -> None:
    """Stop a generation's newest attempt, and say how it ended.

    Raises:
        Unavailable: whether the provider has it is not known yet; come back.
    """
    attempt = await ports.attempts.newest(generation_id)
    if attempt is None or attempt.state in (State.SUCCEEDED, State.FAILED, State.CANCELED):
        return
    if not attempt.prediction_id:
        raise Unavailable(
            f"attempt {attempt.id} is not known to the provider yet; canceling as soon as it is"
        )
    await ports.provider.cancel(attempt.prediction_id)
    try:
        prediction = await ports.provider.get(attempt.prediction_id)
    except NotFound:
        prediction = None
    if prediction is not None and prediction.final:
        await finish(ports, await ports.attempts.work_of(attempt), attempt, prediction, attempt.round)
    await ports.wakes.poke(attempt.id)
