"""Tracks a prediction until it is final, and publishes how far it is."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from generator.core.inputs.domain.run_spec import RunSpec
from generator.core.models.domain.prices import DEADLINE_GRACE
from generator.core.runs.domain.attempt import Attempt
from generator.core.runs.domain.events import (
    PredictionFailed,
    PredictionProgressed,
    PredictionRef,
    PredictionStarted,
)
from generator.core.runs.domain.prediction import Prediction, last_log_line, progress_percent
from generator.core.runs.domain.prediction_outcome import OUTPUTS_GONE
from generator.core.runs.domain.provider_errors import Error
from generator.core.runs.polling import PredictionPoller
from generator.core.runs.ports import RunPorts, WakeUpSubscription
from generator.core.runs.publish_outcome import prediction_ref, publish_outcome

POLL_FIRST, POLL_LONGEST, POLL_GROWTH = 0.5, 2.0, 1.5
"""Seconds between two reads (docs/flow.md, "A generation" 5)."""

STOP_FOR = 10.0
"""Seconds that a run which we stopped is given to end: it may have succeeded meanwhile."""

_PROGRESS_EVERY = 1.0


async def track_prediction(ports: RunPorts, run: RunSpec, attempt: Attempt, round_: int) -> None:
    """Read the attempt's prediction until it is final, and publish its outcome.

    Raises:
        Unavailable: the provider could not be read for `polling.TROUBLE_FOR` seconds.
    """
    async with ports.wakeups.subscribe(attempt.id, attempt.prediction_id) as wakeups:
        await track_with(ports, run, attempt, round_, wakeups, None)


async def track_with(
    ports: RunPorts,
    run: RunSpec,
    attempt: Attempt,
    round_: int,
    wakeups: WakeUpSubscription,
    latest: Prediction | None,
) -> None:
    """As `track_prediction`, for a caller that has subscribed to wake-ups already.

    Args:
        latest: what the provider has just answered about it; None: read it now.
    """
    ref = prediction_ref(run, attempt, attempt.prediction_id, round_)
    longest = timedelta(seconds=run.deadline_s or ports.settings.deadline) + DEADLINE_GRACE
    # By the clock that nobody sets: a run must not end sooner, nor later, when the other one is set.
    age = max((ports.clock.now() - attempt.intended_at).total_seconds(), 0.0)
    stop_at = ports.clock.monotonic() + longest.total_seconds() - age
    if attempt.cancel_requested:
        await ports.provider.cancel(attempt.prediction_id)
    progress = _ProgressReports(ports, ref)
    poller = PredictionPoller(ports.provider, ports.limiter, ports.clock, attempt.prediction_id)
    pause, stopped = POLL_FIRST, None
    while True:
        prediction = latest or await poller.poll()
        if poller.gone:
            cost = await ports.results.cost(run, None)
            await ports.events.publish(PredictionFailed(ref, OUTPUTS_GONE, cost))
            return
        if prediction is not None:
            if prediction.is_final:
                await publish_outcome(ports, run, attempt, prediction, round_)
                return
            await progress.report(prediction)
            # Only what was read and is not final is given up: it may have ended well while it was unreadable.
            if ports.clock.monotonic() > stop_at:
                if stopped is None:
                    await ports.provider.cancel(attempt.prediction_id)
                    stopped, latest, pause = ports.clock.monotonic(), None, POLL_FIRST
                    continue
                if ports.clock.monotonic() - stopped > STOP_FOR:
                    ended = replace(prediction, completed_at=attempt.intended_at + longest)
                    await _give_up(ports, run, ref, ended)
                    return
        latest = await wakeups.wait(max(pause, poller.pause_left))
        pause = min(pause * POLL_GROWTH, POLL_LONGEST)


async def _give_up(ports: RunPorts, run: RunSpec, ref: PredictionRef, last: Prediction) -> None:
    """Past its deadline, stopped, and still not final: it has cost what it did up to there."""
    error = Error(
        "deadline",
        f"not done after {run.deadline_s or ports.settings.deadline:g} s; "
        f"the provider's last word was {last.status!r}",
    )
    await ports.events.publish(PredictionFailed(ref, error, await ports.results.cost(run, last)))


class _ProgressReports:
    """Publishes that a prediction has started, once, and how far it is, not too often."""

    def __init__(self, ports: RunPorts, ref: PredictionRef) -> None:
        self._ports = ports
        self._ref = ref
        self._started = False
        self._percent = -1
        self._next_at = 0.0

    async def report(self, prediction: Prediction) -> None:
        if prediction.has_started and not self._started:
            await self._ports.events.publish(PredictionStarted(self._ref))
            self._started = True
        done = progress_percent(prediction.logs)
        now = self._ports.clock.monotonic()
        if done is not None and done > self._percent and now >= self._next_at:
            await self._ports.events.publish(
                PredictionProgressed(self._ref, done, last_log_line(prediction.logs) or "rendering")
            )
            self._percent, self._next_at = done, now + _PROGRESS_EVERY
