"""The use case "run a generation": from a request to a prediction's outcome, never paying twice.

The order of things is docs/flow.md, "A generation": the intent is written before the money is spent, the
answer SUBMIT is the only permission to spend it, and that permission expires fast.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from generator.core.inputs.domain.run_spec import RunSpec
from generator.core.runs.domain.attempt import Attempt, NextStep
from generator.core.runs.domain.match_predictions import sent_input
from generator.core.runs.domain.prediction import Prediction
from generator.core.runs.domain.provider_errors import Accepted, Error, RefusalReason, Refused, Unknown
from generator.core.runs.domain.rate_limit_state import StartGranted
from generator.core.runs.ports import RunPorts
from generator.core.runs.reconcile_attempt import reconcile_attempt, submit_window_left, unsent_wait
from generator.core.runs.track_prediction import track_prediction, track_with
from servicekit.errors import AppError, Conflict, ErrorKind, Invalid, NotFound, Unauthenticated, Unavailable

UNREACHED_WAIT = 5.0
"""Seconds before another try when the provider could not be reached at all."""

RECORD_FOR = 600.0
"""Seconds that `RecordSubmitted` is repeated while catalog is away; then the next delivery reconciles."""

_NO_START = Error("no_turn", "it was not sent: it waits for its start", retryable=True)

_TRANSIENT = (ErrorKind.UNAVAILABLE, ErrorKind.TIMEOUT, ErrorKind.INTERNAL)


@dataclass(frozen=True)
class GenerationRequest:
    """A request to run a generation.

    Args:
        round: from 1.
        lease_is_fresh: True while the delivery's lease cannot have expired.
        asset_ids: that its input refers to.
    """

    generation_id: str
    round: int = 1
    lease_is_fresh: Callable[[], bool] = lambda: True
    asset_ids: tuple[str, ...] = ()


async def run_generation(ports: RunPorts, request: GenerationRequest) -> None:
    """Bring a generation as far as it goes. Returning means: nothing more to do for this request.

    Raises:
        Limited: nothing can be submitted soon; come back.
        Unavailable: a part is away, or an outcome is unknown; the next delivery goes on from there.
    """
    waited_for = ""  # the attempt whose submit window has passed while we waited
    while True:
        expected = await ports.attempts.next_step(request.generation_id)
        if expected.next_step is NextStep.NOTHING:
            _note_nothing_to_do(ports, request, expected.reason)
            return
        # Only what is to be submitted waits for a start: a tripped breaker must not keep what is paid for.
        start = await _acquire_start(ports, request) if expected.next_step is NextStep.SUBMIT else None
        began = ports.clock.monotonic()
        answer = await ports.attempts.begin(request.generation_id)
        if answer.next_step is NextStep.NOTHING or answer.attempt is None or answer.run is None:
            _note_nothing_to_do(ports, request, answer.reason)
            return
        attempt, run = replace(answer.attempt, round=request.round), answer.run
        if answer.next_step is NextStep.FOLLOW:
            await track_prediction(ports, run, attempt)
            return
        if answer.next_step is NextStep.SUBMIT:
            if start is not None:
                await _submit_and_track(ports, request, run, attempt, began, start)
                return
            # It became SUBMIT since `next_step` answered: give the attempt back, and wait for a start.
            await ports.attempts.release(attempt.id, _NO_START)
        elif attempt.id != waited_for and (left := submit_window_left(ports, attempt)) > 0:
            await ports.clock.sleep(left)
            waited_for = attempt.id
        elif found := await reconcile_attempt(ports, run, attempt):
            await track_prediction(ports, run, replace(attempt, prediction_id=found.id))
            return
        # Begin anew: somebody may have recorded it; or it was never sent, and a fresh intent follows.


def _note_nothing_to_do(ports: RunPorts, request: GenerationRequest, reason: str) -> None:
    ports.operators.note("nothing_to_do", generation_id=request.generation_id, reason=reason)


async def _acquire_start(ports: RunPorts, request: GenerationRequest) -> StartGranted:
    """Wait for a start, with the files of the input at the provider."""
    # Before the start: an upload after it would blur the spacing of the starts at the provider.
    await ports.uploads.upload_ahead(request.asset_ids)
    start = await ports.limiter.acquire()
    if start.probe:  # a probe needs the list too: lost submissions are found there
        await ports.provider.created_since(ports.clock.now())
    return start


async def _submit_and_track(
    ports: RunPorts,
    request: GenerationRequest,
    run: RunSpec,
    attempt: Attempt,
    began: float,
    start: StartGranted,
) -> None:
    prediction = await _submit(ports, request, run, attempt, began, start)
    if prediction is None:
        return
    # Subscribed first: the webhook may come while catalog is being called to record the submission.
    async with ports.wakeups.subscribe(attempt.id, prediction.id) as wakeups:
        await _record_submitted(ports, attempt, prediction)
        submitted = replace(attempt, prediction_id=prediction.id)
        await track_with(ports, run, submitted, wakeups, prediction)


async def _submit(
    ports: RunPorts,
    request: GenerationRequest,
    run: RunSpec,
    attempt: Attempt,
    began: float,
    start: StartGranted,
) -> Prediction | None:
    """Buy the run, at once or never; None when the provider refused it unpaid."""
    submission = await _resolve_files(ports, request, run, attempt)
    if submission is None:
        return None
    window = ports.settings.submit_window
    if ports.clock.monotonic() - began > window / 4 or not request.lease_is_fresh():
        raise Unavailable(
            f"attempt {attempt.id} was not sent: its permission is too old; reconciling it next"
        )
    # Sent within a quarter of the window, over within another half: who waits out the window cannot overlap.
    outcome = await ports.provider.create(submission, webhook=_webhook(ports, attempt), timeout=window / 2)
    match outcome:
        case Accepted(prediction):
            if start.probe:
                await _reset_breaker(ports)
            return prediction
        case Refused():
            await _release_refused(ports, attempt, outcome)
            return None
        case Unknown(reason):
            ports.operators.note("outcome_unknown", attempt_id=attempt.id, reason=reason)
            raise Unavailable(
                f"whether attempt {attempt.id} was accepted is unknown ({reason}): reconciling it next"
            )


async def _resolve_files(
    ports: RunPorts, request: GenerationRequest, run: RunSpec, attempt: Attempt
) -> RunSpec | None:
    """The run as it is sent; None when one of its files cannot be had: nothing was sent, the intent is free.

    A file that does not exist ends the generation. Any other trouble with it is tried again in a while,
    and not in our slot: four such generations would hold all of them.
    """
    try:
        resolved = await ports.uploads.resolve(sent_input(run), request.asset_ids, since=attempt.intended_at)
    except (NotFound, Invalid) as error:
        await ports.attempts.release(attempt.id, Error("asset", error.message), fail_generation=True)
        return None
    except AppError as error:
        wait = max(UNREACHED_WAIT, unsent_wait(attempt))
        if isinstance(error, Unauthenticated):
            wait = ports.limiter.probe_every
            await ports.limiter.trip(error.message)
        failed = Error("asset", error.message, retryable=True, retry_after=wait)
        await ports.attempts.release(attempt.id, failed, retry_after=wait)
        return None
    # Never longer than what was reserved pays for, whatever the settings have become since.
    deadline = min(run.deadline_s or ports.settings.deadline, ports.settings.deadline)
    return replace(run, input=resolved, deadline_s=deadline)


def _webhook(ports: RunPorts, attempt: Attempt) -> str:
    base = ports.settings.webhook_base.rstrip("/")
    return f"{base}/api/webhooks/replicate/{attempt.id}" if base else ""


async def _reset_breaker(ports: RunPorts) -> None:
    try:
        await ports.limiter.reset()
    except AppError as error:  # the run is bought: recording it matters more than the breaker
        ports.operators.note("breaker_not_closed", reason=error.message)


async def _release_refused(ports: RunPorts, attempt: Attempt, refused: Refused) -> None:
    """Nothing was paid: free the money, and decide when, if ever, to try again."""
    ports.operators.note("refused", attempt_id=attempt.id, status=refused.status, why=refused.reason.value)
    wait, final = 0.0, False
    match refused.reason:
        case RefusalReason.LIMITED:
            wait = refused.retry_after or 1.0
            await ports.limiter.block(wait, refused.spacing)
        case RefusalReason.NO_CREDIT | RefusalReason.NO_TOKEN:
            wait = ports.limiter.probe_every
            await ports.limiter.trip(f"{refused.status} {refused.text}")
        case RefusalReason.UNREACHED:
            wait = UNREACHED_WAIT
        case _:
            final = True
    code = f"http_{refused.status}" if refused.status else refused.reason.value
    error = Error(code, refused.text, retryable=not final, retry_after=wait)
    await ports.attempts.release(attempt.id, error, fail_generation=final, retry_after=wait)


async def _record_submitted(ports: RunPorts, attempt: Attempt, prediction: Prediction) -> None:
    """Call catalog until it has recorded it. A prediction that cannot be the attempt's is stopped."""
    began, pause = ports.clock.monotonic(), 0.2
    while True:
        try:
            await ports.attempts.record_submitted(attempt.id, prediction.id)
        except (Conflict, NotFound, Invalid) as error:
            owner = await ports.attempts.find_by_prediction(prediction.id)
            if owner is not None and owner.id != attempt.id:  # an equal input: another attempt adopted it
                ports.operators.note("adopted_by_another", attempt_id=attempt.id, owner=owner.id)
                raise Unavailable(f"prediction {prediction.id} is attempt {owner.id}'s by now") from error
            ports.operators.alarm(
                "orphan", attempt_id=attempt.id, prediction_id=prediction.id, reason=error.message
            )
            await ports.provider.cancel(prediction.id)
            raise Unavailable(f"prediction {prediction.id} belongs to no attempt and was stopped") from error
        except AppError as error:
            if error.kind not in _TRANSIENT or ports.clock.monotonic() - began > RECORD_FOR:
                raise
            await ports.clock.sleep(pause)
            pause = min(pause * 2, 5.0)
        else:
            return
