"""What running models needs of the world, as protocols; adapters implement them, tests stand in for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from generator.core.inputs.domain.run_spec import RunSpec
from generator.core.runs.domain.attempt import Attempt, NextStepAnswer
from generator.core.runs.domain.events import PredictionEvent
from generator.core.runs.domain.prediction import Prediction
from generator.core.runs.domain.provider_errors import Error, SubmissionOutcome
from generator.core.runs.rate_limiter import OperatorLog, RateLimiter
from servicekit.clock import Clock


class AttemptRecords(Protocol):
    """Catalog's records of attempts. Every call may raise Unavailable or TimedOut."""

    async def next_step(self, generation_id: str) -> NextStepAnswer:
        """The step that `begin` would answer, and its reason; SUBMIT is no permission here."""
        ...

    async def begin(self, generation_id: str) -> NextStepAnswer:
        """What to do next; SUBMIT is the only permission to submit."""
        ...

    async def record_submitted(self, attempt_id: str, prediction_id: str) -> None:
        """The provider has it. Again is fine; Conflict when the attempt or the prediction is another's."""
        ...

    async def release(
        self, attempt_id: str, error: Error, *, fail_generation: bool = False, retry_after: float = 0.0
    ) -> None:
        """It cost nothing. Conflict when the provider has it after all."""
        ...

    async def get(self, attempt_id: str) -> Attempt:
        """One attempt; NotFound."""
        ...

    async def find_by_prediction(self, prediction_id: str) -> Attempt | None: ...

    async def find_newest(self, generation_id: str) -> Attempt | None: ...

    async def run_of(self, attempt: Attempt) -> RunSpec:
        """What the attempt's generation runs."""
        ...


class Provider(Protocol):
    """Where models run."""

    async def create(
        self,
        run: RunSpec,
        *,
        webhook: str,
        timeout: float,  # noqa: ASYNC109  # part of the meaning
    ) -> SubmissionOutcome:
        """Buy a run; every failure is one of the outcomes. Nothing is in the air after `timeout` seconds.

        Args:
            run: its files written as addresses; its deadline in seconds from its creation.
            webhook: the address to call when it is final; empty for none.
        """
        ...

    async def get(self, prediction_id: str) -> Prediction:
        """One run. NotFound; Unauthenticated; Unavailable, TimedOut or Limited: read it again later."""
        ...

    async def created_since(
        self, moment: datetime, keep: Callable[[Prediction], bool] = lambda _: True
    ) -> list[Prediction]:
        """All runs created since then for which `keep` is true. Every run is considered, or Unavailable.

        Unauthenticated: the list may not be read. There may be very many: only those to keep are held.
        """
        ...

    async def cancel(self, prediction_id: str) -> None:
        """Stop a run; one that is over or unknown is fine."""
        ...


class AssetUploads(Protocol):
    """Assets as addresses that the provider can read."""

    async def upload_ahead(self, asset_ids: Sequence[str]) -> None:
        """Upload these assets now, so that `resolve` takes no time; what fails, fails there."""
        ...

    async def resolve(
        self, value: Mapping[str, Any], asset_ids: Sequence[str], *, since: datetime
    ) -> dict[str, Any]:
        """The input with `asset:<id>` of each as an address; the same for the same `since`. NotFound."""
        ...


class EventPublisher(Protocol):
    """The event log, to write to."""

    async def publish(self, event: PredictionEvent) -> None:
        """Publish, and wait until it is stored."""
        ...


class WakeUpSubscription(Protocol):
    """Where a poller waits between two reads."""

    async def wait(self, seconds: float) -> Prediction | None:
        """Until a wake-up, at most so long; the prediction handed over since the last wait, if any."""
        ...


class WakeUps(Protocol):
    """Signals between replicas, "read this attempt's prediction now"; and predictions within one process."""

    def subscribe(
        self, attempt_id: str, prediction_id: str
    ) -> AbstractAsyncContextManager[WakeUpSubscription]:
        """Receive the wake-ups of an attempt, and its prediction when somebody hands it over."""
        ...

    def hand_over(self, attempt_id: str, prediction: Prediction) -> bool:
        """Give it to the poller in this process; False: nobody here polls that very prediction."""
        ...

    async def send(self, attempt_id: str) -> None:
        """Wake whoever polls for the attempt; a lost signal does no harm."""
        ...


class RunResults(Protocol):
    """What finished runs made and cost."""

    async def files(self, run: RunSpec, prediction: Prediction) -> tuple[str, ...]:
        """The addresses of the files in its output, in order."""
        ...

    async def cost(self, run: RunSpec, prediction: Prediction | None) -> int:
        """Micro-dollars of a finished run; the estimate where the provider has no record of it any more."""
        ...


@dataclass(frozen=True)
class RunSettings:
    """Times in seconds; `webhook_base` is empty where the provider cannot call us."""

    submit_window: float = 20.0
    deadline: float = 1800.0
    webhook_base: str = ""


@dataclass(frozen=True)
class RunPorts:
    """Everything that the use cases of runs act on."""

    provider: Provider
    attempts: AttemptRecords
    limiter: RateLimiter
    events: EventPublisher
    uploads: AssetUploads
    wakeups: WakeUps
    results: RunResults
    operators: OperatorLog
    clock: Clock
    settings: RunSettings
