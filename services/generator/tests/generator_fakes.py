"""Fakes for the generator's core, in memory: time, a provider, and catalog's records of attempts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from generator.core.inputs.domain.run_spec import RunSpec
from generator.core.models.domain.media_kinds import MediaKind
from generator.core.runs.domain.attempt import Attempt, AttemptState, NextStep, NextStepAnswer
from generator.core.runs.domain.events import (
    PredictionCanceled,
    PredictionEvent,
    PredictionFailed,
    PredictionSucceeded,
)
from generator.core.runs.domain.prediction import FINAL_STATUSES, Prediction
from generator.core.runs.domain.provider_errors import (
    Accepted,
    Error,
    RefusalReason,
    Refused,
    SubmissionOutcome,
    Unknown,
    read_refusal,
)
from servicekit.errors import Conflict, NotFound, Unauthenticated, Unavailable
from servicekit.ids import new_id
from servicekit.testing import SimulatedClock


class SettableClock(SimulatedClock):
    """A clock that stands still, and whose time of day somebody sets.

    `wall_offset`: seconds by which the wall clock was set forward, or back.
    """

    wall_offset = 0.0

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.wall_offset)


FAULTS: dict[str, Callable[[], SubmissionOutcome]] = {
    "429_header": lambda: read_refusal(429, {"retry-after": "3"}, '{"detail":"Request was throttled."}'),
    "429_body": lambda: read_refusal(
        429, {}, '{"detail":"Request was throttled.","status":429,"retry_after":8}'
    ),
    "429_text": lambda: read_refusal(
        429, {}, '{"detail":"Request was throttled. Your rate limit resets in ~30s."}'
    ),
    "401": lambda: read_refusal(401, {}, '{"detail":"You did not pass a valid authentication token"}'),
    "402": lambda: read_refusal(
        402, {}, '{"title":"Insufficient credit","detail":"You have insufficient credit"}'
    ),
    "422": lambda: read_refusal(422, {}, '{"detail":"- input: prompt is required"}'),
    "unreached": lambda: Refused(0, "connection refused", RefusalReason.UNREACHED),
    "lost": lambda: Unknown("ReadError after sending"),
    "reset": lambda: Unknown("ReadError after sending"),
    "500_html": lambda: Unknown("status 500"),
}
CHARGED = ("reset", "500_html")
"""Faults after which the run was bought all the same."""


@dataclass(frozen=True)
class Submission:
    """What a create was called with."""

    run: RunSpec
    webhook: str


class FakeProvider:
    """A provider in memory.

    `script`: how the next creates go; `ends`: how the next runs end, after `reads` reads of a running one.
    """

    def __init__(self, clock: Any, *, reads: int = 2, echo: bool = True) -> None:
        self.clock = clock
        self.runs: dict[str, Prediction] = {}
        self.script: list[str] = []
        self.ends: list[Prediction] = []
        self.submissions: list[Submission] = []
        self.starts: list[float] = []
        self.away = False
        self.unlisted = False
        self.latency = 0.0
        self._reads = reads
        self._echo = echo
        self._seen: dict[str, int] = {}

    @property
    def charges(self) -> int:
        return len(self.runs)

    async def create(
        self,
        run: RunSpec,
        *,
        webhook: str,
        timeout: float,  # noqa: ASYNC109
    ) -> SubmissionOutcome:
        fault = self.script.pop(0) if self.script else ""
        if self.latency:
            await self.clock.sleep(min(self.latency, timeout))
            fault = fault or ("reset" if self.latency > timeout else "")
        self.starts.append(self.clock.monotonic())
        if fault and fault not in CHARGED:
            return FAULTS[fault]()
        if not run.model.startswith("rushes/") and not run.version:
            return read_refusal(404, {}, '{"detail":"Not found."}')
        self.submissions.append(Submission(run, webhook))
        prediction = Prediction(
            id=f"p{len(self.runs)}",
            status="starting",
            input=dict(run.input),
            model=run.model,
            version=run.version or "hidden",
            webhook=webhook if self._echo else "",
            created_at=self.clock.now(),
        )
        self.runs[prediction.id] = prediction
        return FAULTS[fault]() if fault else Accepted(prediction)

    async def get(self, prediction_id: str) -> Prediction:
        if self.away:
            raise Unavailable("away")
        if prediction_id not in self.runs:
            raise NotFound(f"prediction {prediction_id}")
        run = self.runs[prediction_id]
        seen = self._seen[prediction_id] = self._seen.get(prediction_id, 0) + 1
        if run.status in FINAL_STATUSES:
            return run
        run = replace(run, status="processing", started_at=self.clock.now(), logs=f"{seen * 10}%|##")
        if seen > self._reads:
            end = self.ends.pop(0) if self.ends else Prediction("", "succeeded", "https://x.test/a.mp4")
            run = replace(
                run, status=end.status, output=end.output, error=end.error, completed_at=self.clock.now()
            )
        self.runs[prediction_id] = run
        return run

    async def created_since(
        self, moment: datetime, keep: Callable[[Prediction], bool] = lambda _: True
    ) -> list[Prediction]:
        if self.away:
            raise Unavailable("away")
        if self.unlisted:
            raise Unauthenticated("GET /v1/predictions: 403")
        recent = [run for run in self.runs.values() if run.created_at and run.created_at >= moment]
        return [run for run in recent if keep(run)]

    async def cancel(self, prediction_id: str) -> None:
        run = self.runs.get(prediction_id)
        if run and run.status not in FINAL_STATUSES:
            self.runs[prediction_id] = replace(run, status="canceled", completed_at=self.clock.now())


@dataclass
class _Generation:
    state: str = "requested"
    attempts: list[Attempt] = field(default_factory=list)
    rounds: int = 1
    requests: list[tuple[float, int]] = field(default_factory=list)
    input: Mapping[str, Any] = field(default_factory=lambda: {"prompt": "a house"})
    errors: list[Error] = field(default_factory=list)


class FakeAttempts:
    """Catalog's records of attempts, as docs/flow.md has them."""

    def __init__(self, clock: Any, *, model: str = "rushes/camera-move") -> None:
        self.clock = clock
        self.model = model
        self.generations: dict[str, _Generation] = {}
        self.away = 0
        self.deadline = 0.0
        self.secrets: tuple[str, ...] = ()

    def add(self, **values: Any) -> str:
        generation_id = new_id("generation")
        self.generations[generation_id] = _Generation(**values)
        return generation_id

    @property
    def intents(self) -> int:
        return sum(len(each.attempts) for each in self.generations.values())

    async def next_step(self, generation_id: str) -> NextStepAnswer:
        answer = self._next(generation_id)
        return NextStepAnswer(answer.next_step, answer.reason)

    def _next(self, generation_id: str) -> NextStepAnswer:
        generation = self.generations[generation_id]
        newest = generation.attempts[-1] if generation.attempts else None
        if generation.state == "fetching" and newest:
            return self._answer(NextStep.FOLLOW, newest)
        if generation.state != "requested":
            return NextStepAnswer(NextStep.NOTHING, "final")
        if newest and newest.state in (AttemptState.INTENDED, AttemptState.UNKNOWN):
            return self._answer(NextStep.RECONCILE, newest)
        if newest and newest.state is AttemptState.SUBMITTED:
            return self._answer(NextStep.FOLLOW, newest)
        if any(moment > self.clock.monotonic() for moment, _ in generation.requests):
            return NextStepAnswer(NextStep.NOTHING, "waiting")
        return NextStepAnswer(NextStep.SUBMIT)

    async def begin(self, generation_id: str) -> NextStepAnswer:
        answer = self._next(generation_id)
        if answer.next_step is not NextStep.SUBMIT:
            return answer
        generation = self.generations[generation_id]
        attempt = Attempt(
            new_id("attempt"),
            generation_id,
            len(generation.attempts) + 1,
            AttemptState.INTENDED,
            self.clock.now(),
        )
        generation.attempts.append(attempt)
        return self._answer(NextStep.SUBMIT, attempt)

    async def record_submitted(self, attempt_id: str, prediction_id: str) -> None:
        if self.away:
            self.away -= 1
            raise Unavailable("catalog is away")
        owner = await self.find_by_prediction(prediction_id)
        attempt = await self.get(attempt_id)
        if owner and owner.id != attempt_id:
            raise Conflict("owned by another attempt")
        if attempt.prediction_id not in ("", prediction_id):
            raise Conflict("the attempt has another prediction")
        if not attempt.prediction_id:  # also one that was given up: it was bought all the same
            self._set(replace(attempt, state=AttemptState.SUBMITTED, prediction_id=prediction_id))

    async def release(
        self, attempt_id: str, error: Error, *, fail_generation: bool = False, retry_after: float = 0.0
    ) -> None:
        attempt = await self.get(attempt_id)
        if attempt.state is AttemptState.SUBMITTED:
            raise Conflict("the provider has it")
        if attempt.state is AttemptState.FAILED:
            return
        self._set(replace(attempt, state=AttemptState.FAILED))
        generation = self.generations[attempt.generation_id]
        generation.errors.append(error)
        if fail_generation:
            generation.state = "failed"
        elif retry_after > 0:
            self._request_again(generation, retry_after)

    async def get(self, attempt_id: str) -> Attempt:
        for generation in self.generations.values():
            for attempt in generation.attempts:
                if attempt.id == attempt_id:
                    return replace(attempt, round=generation.rounds)
        raise NotFound(attempt_id)

    async def find_by_prediction(self, prediction_id: str) -> Attempt | None:
        every = [a for g in self.generations.values() for a in g.attempts]
        return next((a for a in every if a.prediction_id == prediction_id), None)

    async def find_newest(self, generation_id: str) -> Attempt | None:
        generation = self.generations[generation_id]
        return replace(generation.attempts[-1], round=generation.rounds) if generation.attempts else None

    async def run_of(self, attempt: Attempt) -> RunSpec:
        return self._run(attempt)

    def _run(self, attempt: Attempt) -> RunSpec:
        return RunSpec(
            model=self.model,
            input=self.generations[attempt.generation_id].input,
            kind=MediaKind.VIDEO,
            deadline_s=self.deadline,
            secret_fields=self.secrets,
            job_id="job_1",
            campaign_id="cmp_1",
        )

    def apply(self, event: PredictionEvent) -> None:
        """What catalog does with an event."""
        generation = self.generations[event.prediction.generation_id]
        attempt = next(a for a in generation.attempts if a.id == event.prediction.attempt_id)
        if isinstance(event, PredictionSucceeded):
            generation.state = "succeeded"
            self._set(replace(attempt, state=AttemptState.SUCCEEDED))
        elif isinstance(event, PredictionCanceled):
            generation.state = "failed" if event.by_deadline else "canceled"
            self._set(replace(attempt, state=AttemptState.CANCELED))
        elif isinstance(event, PredictionFailed):
            generation.errors.append(event.error)
            self._set(replace(attempt, state=AttemptState.FAILED))
            if event.error.retryable and len(generation.attempts) < 3:
                self._request_again(generation, event.error.retry_after)
            else:
                generation.state = "failed"

    def _request_again(self, generation: _Generation, wait: float) -> None:
        generation.rounds += 1
        generation.requests.append((self.clock.monotonic() + wait, generation.rounds))

    def _set(self, attempt: Attempt) -> None:
        attempts = self.generations[attempt.generation_id].attempts
        attempts[attempt.number - 1] = attempt

    def _answer(self, next_step: NextStep, attempt: Attempt) -> NextStepAnswer:
        return NextStepAnswer(next_step, "", attempt, self._run(attempt))
