"""A whole world around the generator's core, and the ways to kill a process of it at any step."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from generator_fakes import FakeAttempts, FakeProvider, SettableClock

from events.envelope import envelope
from generator.adapters.runs.event_publisher import event_message
from generator.core.inputs.domain.run_spec import RunSpec
from generator.core.runs.domain.events import PredictionEvent
from generator.core.runs.domain.output_files import output_files
from generator.core.runs.domain.prediction import Prediction
from generator.core.runs.ports import RunPorts, RunSettings
from generator.core.runs.rate_limiter import RateLimiter
from generator.core.runs.run_generation import GenerationRequest, run_generation
from servicekit.errors import AppError, Invalid


def event_id(event: PredictionEvent) -> str:
    """The id under which the log would have the event."""
    return envelope(event_message(event)).id


class Killed(BaseException):
    """The process is gone: nothing after this point happens."""


@dataclass
class Kill:
    """Ends the process at its `at`-th step (an effect has a step before and one after it)."""

    at: int = 10**9
    steps: int = 0

    async def step(self) -> None:
        self.steps += 1
        if self.steps >= self.at:
            raise Killed
        await asyncio.sleep(0)


class MemoryCell:
    """A `SharedCell`."""

    def __init__(self) -> None:
        self.value: Any = None
        self.revision = 0

    async def read(self) -> tuple[Any, int]:
        await asyncio.sleep(0)
        return self.value, self.revision

    async def write(self, value: Any, revision: int) -> bool:
        await asyncio.sleep(0)
        if revision != self.revision:
            return False
        self.value, self.revision = value, revision + 1
        return True


class RecordingOperatorLog:
    """An `OperatorLog` that tests read."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.alarms: list[str] = []
        self.limits = 0.0, 0.0
        self.waiting: list[int] = []

    def note(self, event: str, **details: object) -> None:
        self.notes.append(event)

    def alarm(self, event: str, **details: object) -> None:
        self.alarms.append(event)

    def show_limits(self, *, spacing: float, blocked: float) -> None:
        self.limits = spacing, blocked

    def show_waiting(self, count: int) -> None:
        self.waiting.append(count)


class World:
    """Everything around the use cases. `ports(kill)` is one process of the generator."""

    def __init__(
        self,
        *,
        echo: bool = True,
        webhooks: bool = True,
        reads: int = 2,
        clock: Any = None,
        delay: float = 1.0,
    ) -> None:
        self.clock: Any = clock or SettableClock()
        self.delay = delay
        self.provider = FakeProvider(self.clock, echo=echo, reads=reads)
        self.attempts = FakeAttempts(self.clock)
        self.cell = MemoryCell()
        self.operators = RecordingOperatorLog()
        self.limiter = self.new_limiter()
        self.results = _Results()
        self.events: dict[str, PredictionEvent] = {}
        self.woken: dict[str, asyncio.Event] = {}
        """Set once a wake-up was sent, by attempt."""
        self.handed_over: dict[str, Prediction] = {}
        """What a poller is given when it first waits, by prediction."""
        self.uploaded_ahead: list[tuple[str, ...]] = []
        """The files that were uploaded before a start, for each start."""
        self.woken_after: list[float] = []
        """Seconds after which the next waits of pollers end, should they wait longer."""
        self.upload_error: AppError | None = None
        self.largest_event = 10**9
        self.settings = RunSettings(20.0, 1800.0, "https://rushes.test" if webhooks else "")

    def new_limiter(self) -> RateLimiter:
        """The rate limiter as one more replica has it."""
        return RateLimiter(self.cell, self.clock, self.operators, delay=self.delay, probe_every=30.0)

    def ports(self, kill: Kill | None = None) -> RunPorts:
        stop = kill or Kill()
        return RunPorts(
            provider=_Steps(self.provider, stop),  # type: ignore[arg-type]
            attempts=_Steps(self.attempts, stop),  # type: ignore[arg-type]
            limiter=self.limiter,
            events=_Steps(_Publisher(self), stop),  # type: ignore[arg-type]
            uploads=_Uploads(self),
            wakeups=_WakeUps(self),
            results=self.results,
            operators=self.operators,
            clock=self.clock,
            settings=self.settings,
        )

    def published(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events.values() if isinstance(event, kind)]

    async def deliver(self, generation_id: str, *, round_: int = 1, kill_at: int = 10**9) -> bool:
        """One delivery to one process; whether it was acknowledged."""
        kill = Kill(kill_at)
        request = GenerationRequest(generation_id, round_)
        (result,) = await self.clock.run(_die(run_generation(self.ports(kill), request)))
        if isinstance(result, AppError):
            self.clock.advance(result.retry_after or 1.0)
            return False
        if isinstance(result, Exception):
            raise result
        return result is not Killed

    async def settle(self, generation_id: str, *, kills: tuple[int, ...] = ()) -> None:
        """Deliver until the generation is final, as the event log and catalog do."""
        left = list(kills)
        round_ = 1
        generation = self.attempts.generations[generation_id]
        for _ in range(80):
            done = await self.deliver(generation_id, round_=round_, kill_at=left.pop(0) if left else 10**9)
            if done:
                if generation.state != "requested":
                    return
                if not generation.requests:
                    self.clock.advance(60.0)  # catalog requests again what is stalled
                    generation.requests.append((self.clock.monotonic(), generation.rounds))
                moment, round_ = generation.requests.pop(0)
                self.clock.advance(max(moment - self.clock.monotonic(), 0.0))
        raise AssertionError(f"stuck: {generation}")


async def _die(work: Awaitable[None]) -> Any:
    try:
        return await work
    except Killed:
        return Killed


class _Steps:
    """Puts a step before and after each call of a port."""

    def __init__(self, port: Any, kill: Kill) -> None:
        self._port = port
        self._kill = kill

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            await self._kill.step()
            answer = await method(*args, **kwargs)
            await self._kill.step()
            return answer

        return call


class _Publisher:
    def __init__(self, world: World) -> None:
        self._world = world

    async def publish(self, event: PredictionEvent) -> None:
        if len(repr(event)) > self._world.largest_event:
            raise Invalid("more than the server takes in a message")
        if self._world.events.setdefault(event_id(event), event) is event:
            self._world.attempts.apply(event)


class _Uploads:
    def __init__(self, world: World) -> None:
        self._world = world

    async def upload_ahead(self, asset_ids: Sequence[str]) -> None:
        self._world.uploaded_ahead.append(tuple(asset_ids))

    async def resolve(
        self, value: Mapping[str, Any], asset_ids: Sequence[str], *, since: datetime
    ) -> dict[str, Any]:
        if self._world.upload_error is not None:
            raise self._world.upload_error
        return dict(value)


class _Results:
    def __init__(self) -> None:
        self.priced: list[Prediction | None] = []

    async def files(self, run: RunSpec, prediction: Prediction) -> tuple[str, ...]:
        return output_files(prediction.output, None)

    async def cost(self, run: RunSpec, prediction: Prediction | None) -> int:
        self.priced.append(prediction)
        return 1000


class _WakeUps:
    def __init__(self, world: World) -> None:
        self._world = world

    @asynccontextmanager
    async def subscribe(self, attempt_id: str, prediction_id: str) -> AsyncIterator[_Subscription]:
        yield _Subscription(self._world, prediction_id)

    def hand_over(self, attempt_id: str, prediction: Prediction) -> bool:
        return False  # `LogWakeUps` is tested over a real log

    async def send(self, attempt_id: str) -> None:
        self._world.woken.setdefault(attempt_id, asyncio.Event()).set()


class _Subscription:
    def __init__(self, world: World, prediction_id: str) -> None:
        self._world = world
        self._prediction_id = prediction_id

    async def wait(self, seconds: float) -> Prediction | None:
        if prediction := self._world.handed_over.pop(self._prediction_id, None):
            return prediction
        early = self._world.woken_after.pop(0) if self._world.woken_after else seconds
        await self._world.clock.sleep(min(seconds, early))
        return None
