"""The use case "generate": from a request to a prediction's last word, never paying twice.

The order of things is docs/flow.md, "A generation": the intent is written before the money is spent, the
answer SUBMIT is the only permission to spend it, and it grows old fast.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

from generator.core.inputs.domain.input_validation import whole_numbers
from generator.core.runs.domain.match_predictions import candidates
from generator.core.runs.domain.prediction import Prediction
from generator.core.runs.domain.provider_errors import Accepted, Failure, Refusal, Refused, Unknown
from generator.core.runs.ports import Attempt, Order, Start, Step, Work
from generator.core.runs.track_prediction import Ports, follow, follow_from
from servicekit.errors import AppError, Conflict, ErrorKind, Invalid, NotFound, Unauthenticated, Unavailable

UNREACHED_WAIT = 5.0
"""Seconds before another try when the provider could not be reached at all."""

UNSENT_WAIT, UNSENT_LONGEST = 10.0, 600.0
"""Seconds before a third attempt when two came to nothing, doubled with each; and the longest."""

RECORD_FOR = 600.0
"""Seconds that `RecordSubmitted` is repeated while catalog is away; then the next delivery reconciles."""

SURE_AFTER = 2.0
"""Submit windows after an intent before "not in the provider's list" means "never bought"."""

_LOOK_BACK = timedelta(minutes=5)
"""How long before the intent the provider's list is read from: its clock may be behind ours, and what is not
seen is bought again."""

_NO_TURN = Failure("no_turn", "it was not sent: its turn has yet to come", retryable=True)

_TRANSIENT = (ErrorKind.UNAVAILABLE, ErrorKind.TIMEOUT, ErrorKind.INTERNAL)


@dataclass(frozen=True)
class Request:
    """Somebody asks for a generation.

    Args:
        generation_id: which.
        number: the round, from 1.
        fresh: whether the delivery is surely still ours alone.
        assets: that its input names.
    """

    generation_id: str
    number: int = 1
    fresh: Callable[[], bool] = lambda: True
    assets: tuple[str, ...] = ()


async def generate(ports: Ports, request: Request) -> None:
    """Bring a generation as far as it goes. Returning means: nothing more to do for this request.

    Raises:
        Limited: the lane is closed or blocked; come back.
        Unavailable: a part is away, or an outcome is unknown; the next delivery goes on from there.
    """
    while True:
        ahead = await ports.attempts.ahead(request.generation_id)
        if ahead.step is Step.NOTHING:
            ports.journal.note("nothing_to_do", generation=request.generation_id, reason=ahead.reason)
            return
        # Only what is to be submitted takes a turn: a closed lane must not keep what is paid for.
        turn = await _turn(ports, request) if ahead.step is Step.SUBMIT else None
        asked = ports.clock.monotonic()
        work = await ports.attempts.begin(request.generation_id)
        attempt = work.attempt
        if work.step is Step.NOTHING or attempt is None:
            ports.journal.note("nothing_to_do", generation=request.generation_id, reason=work.reason)
            return
        if work.step is Step.FOLLOW:
            await follow(ports, work, attempt, attempt.prediction_id, request.number)
            return
        if work.step is Step.SUBMIT:
            if turn is not None:
                await _submit_and_follow(ports, request, work, attempt, asked, turn)
                return
            await ports.attempts.release(attempt.id, _NO_TURN)  # it became so since we asked: once more
        elif await _window_passed(ports, attempt) and (found := await _reconcile(ports, work, attempt)):
            await follow(ports, work, attempt, found.id, request.number)
            return
        # It never reached the provider: the next answer is a fresh intent. A turn of before is stale by now.


async def _turn(ports: Ports, request: Request) -> Start:
    """Wait for it, with the files of the input at the provider."""
    # Before the turn: an upload after it would blur the spacing of the starts at the provider.
    await ports.files.prepare(request.assets)
    turn = await ports.lane.turn()
    if turn.probe:  # the door is open when the list can be read too: what is lost is found there
        await ports.provider.since(ports.clock.now())
    return turn


async def _submit_and_follow(
    ports: Ports, request: Request, work: Work, attempt: Attempt, asked: float, turn: Start
) -> None:
    prediction = await _submit(ports, request, work, attempt, asked, turn)
    if prediction is None:
        return
    # Listening first: the call that it is done may come while catalog is being told that it has begun.
    async with ports.wakes.listening(attempt.id, prediction.id) as waking:
        await _record(ports, attempt, prediction)
        submitted = replace(attempt, prediction_id=prediction.id)
        await follow_from(ports, work, submitted, request.number, waking, prediction)


async def _submit(
    ports: Ports, request: Request, work: Work, attempt: Attempt, asked: float, turn: Start
) -> Prediction | None:
    """Buy the run, at once or never; None when the provider refused it unpaid."""
    order = await _order(ports, request, work, attempt)
    if order is None:
        return None
    window = ports.rules.submit_window
    if ports.clock.monotonic() - asked > window / 4 or not request.fresh():
        raise Unavailable(
            f"attempt {attempt.id} was not sent: its permission is too old; looking for it next"
        )
    # Sent within a quarter of the window, over within another half: who waits out the window cannot overlap.
    outcome = await ports.provider.create(order, timeout=window / 2)
    match outcome:
        case Accepted(prediction):
            if turn.probe:
                await _mended(ports)
            return prediction
        case Refused():
            await _refused(ports, attempt, outcome)
            return None
        case Unknown(reason):
            ports.journal.note("outcome_unknown", attempt=attempt.id, reason=reason)
            raise Unavailable(
                f"whether attempt {attempt.id} was accepted is unknown ({reason}): looking for it next"
            )


async def _order(ports: Ports, request: Request, work: Work, attempt: Attempt) -> Order | None:
    """What to send; None when a file it needs cannot be handed over: nothing was sent, the intent is free.

    A file that does not exist ends the generation. Any other trouble with it is tried again in a while,
    and not in our slot: four such generations would hold the lane.
    """
    rules = ports.rules
    try:
        resolved = await ports.files.resolve(_sent(work), request.assets, since=attempt.intended_at)
    except (NotFound, Invalid) as error:
        failure = Failure("asset", error.message)
        await ports.attempts.release(attempt.id, failure, fail_generation=True)
        return None
    except AppError as error:
        wait = max(UNREACHED_WAIT, _unsent_wait(attempt))
        if isinstance(error, Unauthenticated):
            wait = ports.lane.probe_every
            await ports.lane.close(error.message)
        failure = Failure("asset", error.message, retryable=True, wait=wait)
        await ports.attempts.release(attempt.id, failure, retry_after=wait)
        return None
    base = rules.webhook_base.rstrip("/")
    webhook = f"{base}/api/webhooks/replicate/{attempt.id}" if base else ""
    # Never longer than what was set aside pays for, whatever the settings have become since.
    deadline = min(work.deadline or rules.deadline, rules.deadline)
    return Order(work.model, work.version, resolved, webhook, deadline)


def _sent(work: Work) -> dict[str, object]:
    """The input as it leaves: a Struct has made every number a double."""
    return {key: whole_numbers(value) for key, value in work.input.items()}


async def _mended(ports: Ports) -> None:
    try:
        await ports.lane.reopen()
    except AppError as error:  # the run is bought: recording it matters more than the door
        ports.journal.note("lane_not_reopened", reason=error.message)


async def _refused(ports: Ports, attempt: Attempt, refused: Refused) -> None:
    """Nothing was paid: free the money, and say when or whether to ask again."""
    ports.journal.note("refused", attempt=attempt.id, status=refused.status, why=refused.kind.value)
    wait, final = 0.0, False
    match refused.kind:
        case Refusal.LIMITED:
            wait = refused.retry_after or 1.0
            await ports.lane.block(wait, refused.slow)
        case Refusal.NO_CREDIT | Refusal.NO_TOKEN:
            wait = ports.lane.probe_every
            await ports.lane.close(f"{refused.status} {refused.text}")
        case Refusal.UNREACHED:
            wait = UNREACHED_WAIT
        case _:
            final = True
    code = f"http_{refused.status}" if refused.status else refused.kind.value
    failure = Failure(code, refused.text, retryable=not final, wait=wait)
    await ports.attempts.release(attempt.id, failure, fail_generation=final, retry_after=wait)


async def _record(ports: Ports, attempt: Attempt, prediction: Prediction) -> None:
    """Tell catalog until it knows. A prediction that cannot be the attempt's is stopped."""
    began, pause = ports.clock.monotonic(), 0.2
    while True:
        try:
            await ports.attempts.record(attempt.id, prediction.id)
        except (Conflict, NotFound, Invalid) as error:
            owner = await ports.attempts.of_prediction(prediction.id)
            if owner is not None and owner.id != attempt.id:  # it runs for somebody with the same input
                ports.journal.note("adopted_by_another", attempt=attempt.id, owner=owner.id)
                raise Unavailable(f"prediction {prediction.id} is attempt {owner.id}'s by now") from error
            ports.journal.alarm("orphan", attempt=attempt.id, prediction=prediction.id, reason=error.message)
            await ports.provider.cancel(prediction.id)
            raise Unavailable(f"prediction {prediction.id} belongs to no attempt and was stopped") from error
        except AppError as error:
            if error.kind not in _TRANSIENT or ports.clock.monotonic() - began > RECORD_FOR:
                raise
            await ports.clock.sleep(pause)
            pause = min(pause * 2, 5.0)
        else:
            return


def _unsent_wait(attempt: Attempt) -> float:
    """Seconds before an attempt that came to nothing is followed by another.

    The first is followed at once. After that others get the slot meanwhile: a model that the provider
    answers with 500 for a day, or a file that cannot be handed over, must not hold the lane.
    """
    if attempt.number < 2:
        return 0.0
    return min(UNSENT_WAIT * 2.0 ** min(attempt.number - 2, 10), UNSENT_LONGEST)


async def _window_passed(ports: Ports, attempt: Attempt) -> bool:
    """Whether nobody can be sending it any more. If not: wait until so, and answer False: ask again."""
    age = (ports.clock.now() - attempt.intended_at).total_seconds()
    if age >= ports.rules.submit_window:
        return True
    await ports.clock.sleep(ports.rules.submit_window - age)
    return False


async def _reconcile(ports: Ports, work: Work, attempt: Attempt) -> Prediction | None:
    """Find and adopt what the attempt bought; None when it bought nothing, and its money is free again.

    Nothing found is believed a window later only: a provider in trouble may take up, or list, what it was
    sent long after it gave us no answer.
    """
    found = await _find(ports, work, attempt)
    left = (attempt.intended_at - ports.clock.now()).total_seconds() + SURE_AFTER * ports.rules.submit_window
    if found is None and left > 0:
        await ports.clock.sleep(left)
        found = await _find(ports, work, attempt)
    if found is not None:
        ports.journal.note("adopted", attempt=attempt.id, prediction=found.id)
        return found
    wait = _unsent_wait(attempt)
    never = Failure(
        "never_sent", "it never reached the provider, and cost nothing", retryable=True, wait=wait
    )
    try:
        await ports.attempts.release(attempt.id, never, retry_after=wait)
    except Conflict:
        ports.journal.note("recorded_meanwhile", attempt=attempt.id)
    return None


async def _find(ports: Ports, work: Work, attempt: Attempt) -> Prediction | None:
    """Look through the provider's list, and record what is found."""
    pick = partial(
        candidates,
        attempt_id=attempt.id,
        model=work.model,
        version=work.version,
        sent={name: value for name, value in _sent(work).items() if name not in work.secrets},
        intended_at=attempt.intended_at,
        window=ports.rules.submit_window,
    )
    listed = await ports.provider.since(attempt.intended_at - _LOOK_BACK, lambda each: bool(pick([each])))
    for prediction in pick(listed):
        owner = await ports.attempts.of_prediction(prediction.id)
        if owner is not None and owner.id != attempt.id:
            continue
        try:
            await ports.attempts.record(attempt.id, prediction.id)
        except Conflict:
            continue  # another attempt was faster to adopt it
        return prediction
    return None
