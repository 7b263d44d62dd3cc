"""Finds out whether an attempt without a recorded submission has bought a run, and adopts that run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from generator.core.inputs.domain.run_spec import RunSpec
from generator.core.runs.domain.attempt import Attempt
from generator.core.runs.domain.match_predictions import matching_predictions
from generator.core.runs.domain.prediction import Prediction
from generator.core.runs.domain.provider_errors import Error
from generator.core.runs.ports import RunPorts
from servicekit.errors import Conflict

SURE_AFTER = 2.0
"""Submit windows after an intent before "not in the provider's list" means "never bought"."""

UNSENT_WAIT, UNSENT_LONGEST = 10.0, 600.0
"""Seconds before a third attempt when two came to nothing, doubled with each; and the longest."""

_LOOKBACK = timedelta(minutes=5)
"""How long before the intent the provider's list is read from: its clock may be behind ours, and what is not
in the list is bought again."""


def submit_window_left(ports: RunPorts, attempt: Attempt) -> float:
    """Seconds in which somebody may still be sending it.

    Never more than one window: an intent from the future was written before a clock was set back.
    """
    age = (ports.clock.now() - attempt.intended_at).total_seconds()
    return max(ports.settings.submit_window - max(age, 0.0), 0.0)


async def reconcile_attempt(ports: RunPorts, run: RunSpec, attempt: Attempt) -> Prediction | None:
    """Adopt what the attempt has bought; None when it bought nothing, and its money is free again.

    That nothing is found is believed a window later only: a provider in trouble may take up, or list, what it
    was sent long after it gave us no answer.
    """
    found = await _find(ports, run, attempt)
    age = (ports.clock.now() - attempt.intended_at).total_seconds()
    left = min(SURE_AFTER * ports.settings.submit_window - age, ports.settings.submit_window)
    if found is None and left > 0:
        await ports.clock.sleep(left)
        found = await _find(ports, run, attempt)
    if found is not None:
        ports.operators.note("adopted", attempt_id=attempt.id, prediction_id=found.id)
        return found
    wait = unsent_wait(attempt)
    never = Error(
        "never_sent", "it never reached the provider, and cost nothing", retryable=True, retry_after=wait
    )
    try:
        await ports.attempts.release(attempt.id, never, retry_after=wait)
    except Conflict:
        ports.operators.note("recorded_meanwhile", attempt_id=attempt.id)
    return None


def unsent_wait(attempt: Attempt) -> float:
    """Seconds before an attempt that came to nothing is followed by another.

    The first is followed at once. After that others get the slot meanwhile: a model that the provider
    answers with 500 for a day, or a file that cannot be uploaded, must not hold it.
    """
    if attempt.number < 2:
        return 0.0
    return min(UNSENT_WAIT * 2.0 ** min(attempt.number - 2, 10), UNSENT_LONGEST)


async def _find(ports: RunPorts, run: RunSpec, attempt: Attempt) -> Prediction | None:
    """Search the provider's list, and record what is found."""

    def matching(listed: Sequence[Prediction]) -> list[Prediction]:
        return matching_predictions(listed, attempt, run, window=ports.settings.submit_window)

    start = attempt.intended_at - _LOOKBACK
    listed = await ports.provider.created_since(start, lambda each: bool(matching([each])))
    for prediction in matching(listed):
        owner = await ports.attempts.find_by_prediction(prediction.id)
        if owner is not None and owner.id != attempt.id:
            continue
        try:
            await ports.attempts.record_submitted(attempt.id, prediction.id)
        except Conflict:
            continue  # another attempt was faster to adopt it
        return prediction
    return None
