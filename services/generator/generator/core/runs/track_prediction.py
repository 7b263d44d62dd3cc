"""Following a prediction until it is final, and saying what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from generator.core.runs.domain.events import Failed, Progressed, Started, Whose
from generator.core.runs.domain.prediction import GRACE, Prediction, inline, last_line, percent
from generator.core.runs.domain.prediction_outcome import GONE, conclude
from generator.core.runs.domain.provider_errors import Failure
from generator.core.runs.polling import Looks
from generator.core.runs.ports import (
    Attempt,
    Attempts,
    Costs,
    Facts,
    Files,
    Journal,
    Lane,
    Provider,
    Wakes,
    Waking,
    Work,
)
from servicekit.clock import Clock
from servicekit.errors import Invalid, NotFound

POLL_FIRST, POLL_LONGEST, POLL_GROWTH = 0.5, 2.0, 1.5
"""Seconds between two looks (docs/flow.md, "A generation" 5)."""

STOP_FOR = 10.0
"""Seconds that a run which we stopped is given to say how it ended: it may have succeeded meanwhile."""

INLINE_WAITS = (0.0, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each new look at a run whose output stood in the answer itself: a later one has addresses
(docs/provider.md, Predictions)."""

_PROGRESS_EVERY = 1.0


@dataclass(frozen=True)
class Rules:
    """Times in seconds; `webhook_base` is empty where the provider cannot call us."""

    submit_window: float = 20.0
    deadline: float = 1800.0
    webhook_base: str = ""


@dataclass(frozen=True)
class Ports:
    """Everything that the use cases act on."""

    provider: Provider
    attempts: Attempts
    lane: Lane
    facts: Facts
    files: Files
    wakes: Wakes
    costs: Costs
    journal: Journal
    clock: Clock
    rules: Rules


def whose(work: Work, attempt: Attempt, prediction_id: str, number: int) -> Whose:
    """Whose prediction it is, in the round `number`."""
    return Whose(attempt.generation_id, attempt.id, prediction_id, work.job_id, work.campaign_id, number)


async def follow(ports: Ports, work: Work, attempt: Attempt, prediction_id: str, number: int) -> None:
    """Look until the prediction is final, and say so.

    Raises:
        Unavailable: the provider could not be asked for `looks.TROUBLE_FOR` seconds.
    """
    async with ports.wakes.listening(attempt.id, prediction_id) as waking:
        await follow_from(ports, work, replace(attempt, prediction_id=prediction_id), number, waking, None)


async def follow_from(
    ports: Ports, work: Work, attempt: Attempt, number: int, waking: Waking, seen: Prediction | None
) -> None:
    """As `follow`, of an attempt that has its prediction, by who listens already.

    Args:
        seen: what the provider has just said of it; None: nothing, so that the first look is now.
    """
    subject = whose(work, attempt, attempt.prediction_id, number)
    end = attempt.intended_at + timedelta(seconds=work.deadline or ports.rules.deadline) + GRACE
    if attempt.cancel_requested:
        await ports.provider.cancel(attempt.prediction_id)
    told = _Told(ports, subject)
    looks = Looks(ports.provider, ports.lane, ports.clock, attempt.prediction_id)
    pause, stopped = POLL_FIRST, None
    while True:
        prediction = seen or await looks.look()
        if looks.gone:
            cost = await ports.costs.of(work, None)
            await ports.facts.say(Failed(subject, GONE, cost))
            return
        if prediction is not None:
            if prediction.final:
                await finish(ports, work, attempt, prediction, number)
                return
            await told.tell(prediction)
            # Only what was read and is not final is given up: it may have ended well while nobody could ask.
            if ports.clock.now() > end:
                if stopped is None:
                    await ports.provider.cancel(attempt.prediction_id)
                    stopped, seen, pause = ports.clock.monotonic(), None, POLL_FIRST
                    continue
                if ports.clock.monotonic() - stopped > STOP_FOR:
                    await _give_up(ports, work, subject, replace(prediction, completed_at=end))
                    return
        seen = await waking.wait(max(pause, looks.rest))
        pause = min(pause * POLL_GROWTH, POLL_LONGEST)


async def finish(ports: Ports, work: Work, attempt: Attempt, prediction: Prediction, number: int) -> None:
    """Say how a final prediction ended."""
    try:
        await _say_end(ports, work, attempt, prediction, number)
    except Invalid as error:  # outputs inside the answer itself (`data:`) that no message can carry
        if prediction.status != "succeeded":
            raise
        await _say_large(ports, work, attempt, prediction, number, error)


async def _say_end(ports: Ports, work: Work, attempt: Attempt, prediction: Prediction, number: int) -> None:
    canceled = attempt.cancel_requested
    if not canceled and prediction.status not in ("succeeded", "failed"):
        canceled = (await ports.attempts.get(attempt.id)).cancel_requested  # asked while we followed
    fact = conclude(
        prediction,
        whose(work, attempt, prediction.id, number),
        kind=work.kind,
        cost=await ports.costs.of(work, prediction),
        cancel_requested=canceled,
        now=ports.clock.now(),
    )
    await ports.facts.say(fact)


async def _say_large(
    ports: Ports, work: Work, attempt: Attempt, prediction: Prediction, number: int, error: Invalid
) -> None:
    """Look again for addresses of what stood in the answer itself; without them it cannot be taken in."""
    for wait in INLINE_WAITS if inline(prediction.output) else ():
        await ports.clock.sleep(wait)
        try:
            later = await ports.provider.get(prediction.id)
        except NotFound:
            break
        if not inline(later.output):
            await _say_end(ports, work, attempt, later, number)
            return
    failure = Failure("output_too_large", f"the model answered more than can be taken in: {error.message}")
    subject = whose(work, attempt, prediction.id, number)
    await ports.facts.say(Failed(subject, failure, await ports.costs.of(work, prediction)))


async def _give_up(ports: Ports, work: Work, subject: Whose, last: Prediction) -> None:
    """Past its deadline, stopped, and still not ended: it has cost what it did up to there."""
    failure = Failure(
        "deadline",
        f"not done after {work.deadline or ports.rules.deadline:g} s; "
        f"the provider's last word was {last.status!r}",
    )
    await ports.facts.say(Failed(subject, failure, await ports.costs.of(work, last)))


class _Told:
    """What has been said about a running prediction, so that it is said once and not too often."""

    def __init__(self, ports: Ports, subject: Whose) -> None:
        self._ports = ports
        self._subject = subject
        self._started = False
        self._percent = -1
        self._next = 0.0

    async def tell(self, prediction: Prediction) -> None:
        if prediction.started and not self._started:
            await self._ports.facts.say(Started(self._subject))
            self._started = True
        done = percent(prediction.logs)
        now = self._ports.clock.monotonic()
        if done is not None and done > self._percent and now >= self._next:
            await self._ports.facts.say(
                Progressed(self._subject, done, last_line(prediction.logs) or "rendering")
            )
            self._percent, self._next = done, now + _PROGRESS_EVERY
