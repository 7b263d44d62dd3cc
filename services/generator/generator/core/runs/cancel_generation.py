"""The use case "cancel": stops what runs at the provider, and keeps what it was too late to stop."""

from __future__ import annotations

from generator.core.runs.domain.attempt import AttemptState
from generator.core.runs.ports import RunPorts
from generator.core.runs.publish_outcome import publish_outcome
from servicekit.errors import NotFound, Unavailable


async def cancel_generation(ports: RunPorts, generation_id: str) -> None:
    """Stop a generation's newest attempt, and publish how it ended.

    Raises:
        Unavailable: it is not known yet whether the provider has it; come back.
    """
    attempt = await ports.attempts.find_newest(generation_id)
    if attempt is None or attempt.state in (
        AttemptState.SUCCEEDED,
        AttemptState.FAILED,
        AttemptState.CANCELED,
    ):
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
    if prediction is not None and prediction.is_final:
        run = await ports.attempts.run_of(attempt)
        await publish_outcome(ports, run, attempt, prediction)
    await ports.wakeups.send(attempt.id)
