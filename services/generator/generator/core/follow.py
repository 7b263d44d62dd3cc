"""Following a prediction until it is final, and saying what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from servicekit.clock import Clock
from servicekit.errors import AppError, ErrorKind, Invalid, NotFound, Unauthenticated, Unavailable

from .conclude import GONE, conclude
from .facts import Failed, Progressed, Started, Succeeded, Whose
from .outcomes import Failure
from .ports import Attempt, Attempts, Costs, Facts, Files, Journal, Lane, Provider, Wakes, Waking, Work
from .prediction import GRACE, Prediction, last_line, percent

POLL_FIRST, POLL_LONGEST, POLL_GROWTH = 0.5, 2.0, 1.5
"""Seconds between two looks (docs/flow.md, "A generation" 5)."""

TROUBLE_FOR = 60.0
"""Seconds of nothing but trouble after which the delivery is handed back."""

MISSES = 3
"""Looks that find nothing before a prediction counts as deleted: a fresh one may not be everywhere yet."""

_PROGRESS_EVERY = 1.0
_AGAIN = (ErrorKind.UNAVAILABLE, ErrorKind.TIMEOUT, ErrorKind.LIMITED, ErrorKind.INTERNAL)


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
        Unavailable: the provider could not be asked for `TROUBLE_FOR` seconds.
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
    deadline = work.deadline or ports.rules.deadline
    if attempt.cancel_requested:
        await ports.provider.cancel(attempt.prediction_id)
    told = _Told(ports, subject)
    looks = _Looks(ports, attempt.prediction_id)
    pause = POLL_FIRST
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
        if ports.clock.now() > (end := attempt.intended_at + timedelta(seconds=deadline) + GRACE):
            # Not ended by the provider: it has cost what it did up to here.
            last = replace(prediction, completed_at=end) if prediction else None
            await _give_up(ports, work, subject, last)
            return
        seen = await waking.wait(pause)
        pause = min(pause * POLL_GROWTH, POLL_LONGEST)


async def finish(ports: Ports, work: Work, attempt: Attempt, prediction: Prediction, number: int) -> None:
    """Say how a final prediction ended."""
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
    try:
        await ports.facts.say(fact)
    except Invalid as error:  # outputs inside the answer itself (`data:`) that no message can carry
        if not isinstance(fact, Succeeded):
            raise
        failure = Failure(
            "output_too_large", f"the model answered more than can be taken in: {error.message}"
        )
        await ports.facts.say(Failed(fact.whose, failure, fact.cost_micros))


async def _give_up(ports: Ports, work: Work, subject: Whose, prediction: Prediction | None) -> None:
    """Past the deadline, and the provider has not ended it by itself: stop it, and say so."""
    await ports.provider.cancel(subject.prediction_id)
    status = prediction.status if prediction else "no answer"
    failure = Failure(
        "deadline",
        f"not done after {work.deadline or ports.rules.deadline:g} s; "
        f"the provider's last word was {status!r}",
    )
    await ports.facts.say(Failed(subject, failure, await ports.costs.of(work, prediction)))


class _Looks:
    """Asking the provider, with patience for trouble on the way."""

    def __init__(self, ports: Ports, prediction_id: str) -> None:
        self._ports = ports
        self._id = prediction_id
        self._misses = 0
        self._good = ports.clock.monotonic()

    @property
    def gone(self) -> bool:
        return self._misses >= MISSES

    async def look(self) -> Prediction | None:
        """The prediction; None when it could not be read this time."""
        try:
            prediction = await self._ports.provider.get(self._id)
        except NotFound:
            self._misses += 1
            return None
        except Unauthenticated as error:
            await self._ports.lane.close(error.message)
            raise Unavailable(
                f"prediction {self._id} cannot be followed: {error.message}", retry_after=15.0
            ) from error
        except AppError as error:
            if error.kind not in _AGAIN or self._ports.clock.monotonic() - self._good > TROUBLE_FOR:
                raise Unavailable(f"prediction {self._id} cannot be followed: {error.message}") from error
            return None
        self._misses, self._good = 0, self._ports.clock.monotonic()
        return prediction


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
