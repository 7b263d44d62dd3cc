"""Tracks a prediction until it is final, patient with trouble on the way, and publishes how far it is."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from generator.core.inputs.domain.run_spec import RunSpec
from generator.core.models.domain.prices import DEADLINE_GRACE
from generator.core.runs.domain import events
from generator.core.runs.domain.attempt import Attempt
from generator.core.runs.domain.prediction import Prediction, last_log_line, progress_percent
from generator.core.runs.domain.provider_errors import Error
from generator.core.runs.ports import RunPorts, WakeUpSubscription
from generator.core.runs.publish_outcome import prediction_ref, publish_outcome
from servicekit.errors import AppError, ErrorKind, NotFound, Unauthenticated, Unavailable

POLL_FIRST, POLL_LONGEST, POLL_GROWTH = 0.5, 2.0, 1.5
"""Seconds between two reads (docs/flow.md, "A generation" 5)."""

STOP_FOR = 10.0
"""Seconds that a run which we stopped is given to end: it may have succeeded meanwhile."""

_PROGRESS_EVERY = 1.0

TROUBLE_FOR = 60.0
"""Seconds of nothing but trouble after which the delivery is handed back."""

MISSES, MISSING_FOR = 3, 15.0
"""Reads in a row that find nothing, and seconds between the first and the last of them, before a prediction
counts as deleted: a fresh one may not be everywhere yet, and what is given up wrongly was paid for."""

_TRANSIENT = (ErrorKind.UNAVAILABLE, ErrorKind.TIMEOUT, ErrorKind.LIMITED, ErrorKind.INTERNAL)


async def track_prediction(ports: RunPorts, run: RunSpec, attempt: Attempt) -> None:
    """Read the attempt's prediction until it is final, and publish its outcome.

    Raises:
        Unavailable: the provider could not be read for `TROUBLE_FOR` seconds.
    """
    async with ports.wakeups.subscribe(attempt.id, attempt.prediction_id) as wakeups:
        await track_with(ports, run, attempt, wakeups, None)


async def track_with(
    ports: RunPorts, run: RunSpec, attempt: Attempt, wakeups: WakeUpSubscription, latest: Prediction | None
) -> None:
    """As `track_prediction`, for a caller that has subscribed to wake-ups already.

    Args:
        latest: what the provider has just answered about it; None: read it now.
    """
    ref = prediction_ref(run, attempt, attempt.prediction_id)
    longest = timedelta(seconds=run.deadline_s or ports.settings.deadline) + DEADLINE_GRACE
    # By the clock that nobody sets: a run must not end sooner, nor later, when the other one is set.
    age = max((ports.clock.now() - attempt.intended_at).total_seconds(), 0.0)
    stop_at = ports.clock.monotonic() + longest.total_seconds() - age
    if attempt.cancel_requested:
        await ports.provider.cancel(attempt.prediction_id)
    progress = _ProgressReports(ports, ref)
    poller = _Poller(ports, attempt.prediction_id)
    pause, stopped = POLL_FIRST, None
    while True:
        prediction = latest or await poller.poll()
        if poller.gone:
            cost = await ports.results.cost(run, None)
            await ports.events.publish(events.PredictionFailed(ref, events.OUTPUTS_GONE, cost))
            return
        if prediction is not None:
            if prediction.is_final:
                await publish_outcome(ports, run, attempt, prediction)
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


async def _give_up(ports: RunPorts, run: RunSpec, ref: events.PredictionRef, last: Prediction) -> None:
    """Past its deadline, stopped, and still not final: it has cost what it did up to there."""
    error = Error(
        "deadline",
        f"not done after {run.deadline_s or ports.settings.deadline:g} s; "
        f"the provider's last word was {last.status!r}",
    )
    await ports.events.publish(events.PredictionFailed(ref, error, await ports.results.cost(run, last)))


class _ProgressReports:
    """Publishes that a prediction has started, once, and how far it is, not too often."""

    def __init__(self, ports: RunPorts, ref: events.PredictionRef) -> None:
        self._ports = ports
        self._ref = ref
        self._started = False
        self._percent = -1
        self._next_at = 0.0

    async def report(self, prediction: Prediction) -> None:
        if prediction.has_started and not self._started:
            await self._ports.events.publish(events.PredictionStarted(self._ref))
            self._started = True
        done = progress_percent(prediction.logs)
        now = self._ports.clock.monotonic()
        if done is not None and done > self._percent and now >= self._next_at:
            await self._ports.events.publish(
                events.PredictionProgressed(self._ref, done, last_log_line(prediction.logs) or "rendering")
            )
            self._percent, self._next_at = done, now + _PROGRESS_EVERY


class _Poller:
    """Reads one prediction, with patience for trouble on the way."""

    def __init__(self, ports: RunPorts, prediction_id: str) -> None:
        self._ports = ports
        self._clock = ports.clock
        self._id = prediction_id
        self._misses = 0
        self._missing_since = 0.0
        self._last_success = self._clock.monotonic()
        self._paused_until = 0.0

    @property
    def gone(self) -> bool:
        """Whether the provider has deleted it."""
        return self._misses >= MISSES and self._clock.monotonic() - self._missing_since >= MISSING_FOR

    @property
    def pause_left(self) -> float:
        """Seconds for which the provider wants no request (429)."""
        return max(self._paused_until - self._clock.monotonic(), 0.0)

    async def poll(self) -> Prediction | None:
        """The prediction; None when it could not be read this time, or is not to be read yet.

        Raises:
            Unavailable: nothing but trouble for `TROUBLE_FOR` seconds, or our token is refused.
        """
        if self.pause_left > 0:  # woken early
            return None
        try:
            prediction = await self._ports.provider.get(self._id)
        except NotFound:
            if self._misses == 0:
                self._missing_since = self._clock.monotonic()
            self._misses += 1
            return None
        except Unauthenticated as error:
            await self._ports.limiter.trip(error.message)
            raise self._cannot_follow(error, retry_after=15.0) from error
        except AppError as error:
            now = self._clock.monotonic()
            if error.kind not in _TRANSIENT or now - self._last_success > TROUBLE_FOR:
                raise self._cannot_follow(error, retry_after=error.retry_after) from error
            self._paused_until = now + (error.retry_after or 0.0)
            return None
        self._misses, self._last_success = 0, self._clock.monotonic()
        return prediction

    def _cannot_follow(self, error: AppError, retry_after: float | None) -> Unavailable:
        message = f"prediction {self._id} cannot be followed: {error.message}"
        return Unavailable(message, retry_after=retry_after)
