"""A whole world around the generator's core, and the ways to kill a process of it at any step."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from generator_stand_ins import FakeAttempts, FakeProvider, SimClock

from generator.core.runs.domain.events import Fact, fact_id
from generator.core.runs.domain.prediction import Prediction
from generator.core.runs.ports import Work
from generator.core.runs.rate_limiter import SharedLane
from generator.core.runs.run_generation import Request, generate
from generator.core.runs.track_prediction import Ports, Rules
from servicekit.errors import AppError, Invalid


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
    """A lane's cell."""

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


class Notebook:
    """A `Journal` to look into."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.alarms: list[str] = []

    def note(self, event: str, **facts: object) -> None:
        self.notes.append(event)

    def alarm(self, event: str, **facts: object) -> None:
        self.alarms.append(event)


class World:
    """Everything around the use cases. `ports(kill)` is one process of the generator."""

    def __init__(
        self,
        *,
        echo: bool = True,
        webhooks: bool = True,
        looks: int = 2,
        clock: Any = None,
        delay: float = 1.0,
    ) -> None:
        self.clock: Any = clock or SimClock()
        self.delay = delay
        self.provider = FakeProvider(self.clock, echo=echo, looks=looks)
        self.attempts = FakeAttempts(self.clock)
        self.cell = MemoryCell()
        self.journal = Notebook()
        self.lane = self.new_lane()
        self.costs = _Costs()
        self.facts: dict[str, Fact] = {}
        self.pokes: dict[str, asyncio.Event] = {}
        self.news: dict[str, Prediction] = {}
        """What a follower is given when it first waits, by prediction."""
        self.prepared: list[tuple[str, ...]] = []
        """The files that were handed to the provider before a turn, for each turn."""
        self.woken_after: list[float] = []
        """Seconds after which the next waits of followers end, should they wait longer."""
        self.files_trouble: AppError | None = None
        self.largest_fact = 10**9
        self.rules = Rules(20.0, 1800.0, "https://rushes.test" if webhooks else "")

    def new_lane(self) -> SharedLane:
        """The lane as one more replica has it."""
        return SharedLane(self.cell, self.clock, self.journal, delay=self.delay, probe_every=30.0)

    def ports(self, kill: Kill | None = None) -> Ports:
        stop = kill or Kill()
        return Ports(
            provider=_Steps(self.provider, stop),  # type: ignore[arg-type]
            attempts=_Steps(self.attempts, stop),  # type: ignore[arg-type]
            lane=self.lane,
            facts=_Steps(_Log(self), stop),  # type: ignore[arg-type]
            files=_Files(self),
            wakes=_Wakes(self),
            costs=self.costs,
            journal=self.journal,
            clock=self.clock,
            rules=self.rules,
        )

    def said(self, kind: type[Any]) -> list[Any]:
        return [fact for fact in self.facts.values() if isinstance(fact, kind)]

    async def deliver(self, generation_id: str, *, number: int = 1, kill_at: int = 10**9) -> bool:
        """One delivery to one process; whether it was acknowledged."""
        kill = Kill(kill_at)
        (result,) = await self.clock.run(_die(generate(self.ports(kill), Request(generation_id, number))))
        if isinstance(result, AppError):
            self.clock.elapsed += result.retry_after or 1.0
            return False
        if isinstance(result, Exception):
            raise result
        return result is not Killed

    async def settle(self, generation_id: str, *, kills: tuple[int, ...] = ()) -> None:
        """Deliver until the generation is final, as the event log and catalog do."""
        left = list(kills)
        number = 1
        generation = self.attempts.generations[generation_id]
        for _ in range(80):
            done = await self.deliver(generation_id, number=number, kill_at=left.pop(0) if left else 10**9)
            if done:
                if generation.state != "requested":
                    return
                if not generation.asked:
                    self.clock.elapsed += 60.0  # catalog asks again for what has been silent
                    generation.asked.append((self.clock.elapsed, generation.rounds))
                moment, number = generation.asked.pop(0)
                self.clock.elapsed = max(self.clock.elapsed, moment)
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


class _Log:
    def __init__(self, world: World) -> None:
        self._world = world

    async def say(self, fact: Fact) -> None:
        if len(repr(fact)) > self._world.largest_fact:
            raise Invalid("more than the server takes in a message")
        if self._world.facts.setdefault(fact_id(fact), fact) is fact:
            self._world.attempts.apply(fact)


class _Files:
    def __init__(self, world: World) -> None:
        self._world = world

    async def prepare(self, asset_ids: Sequence[str]) -> None:
        self._world.prepared.append(tuple(asset_ids))

    async def resolve(
        self, value: Mapping[str, Any], asset_ids: Sequence[str], *, since: datetime
    ) -> dict[str, Any]:
        if self._world.files_trouble is not None:
            raise self._world.files_trouble
        return dict(value)


class _Costs:
    def __init__(self) -> None:
        self.asked: list[Prediction | None] = []

    async def of(self, work: Work, prediction: Prediction | None) -> int:
        self.asked.append(prediction)
        return 1000


class _Wakes:
    def __init__(self, world: World) -> None:
        self._world = world

    @asynccontextmanager
    async def listening(self, attempt_id: str, prediction_id: str) -> AsyncIterator[_Ear]:
        yield _Ear(self._world, prediction_id)

    def hand_over(self, attempt_id: str, prediction: Prediction) -> bool:
        return False  # `LogWakes` is tested over a real log

    async def poke(self, attempt_id: str) -> None:
        self._world.pokes.setdefault(attempt_id, asyncio.Event()).set()


class _Ear:
    def __init__(self, world: World, prediction_id: str) -> None:
        self._world = world
        self._prediction_id = prediction_id

    async def wait(self, seconds: float) -> Prediction | None:
        if news := self._world.news.pop(self._prediction_id, None):
            return news
        early = self._world.woken_after.pop(0) if self._world.woken_after else seconds
        await self._world.clock.sleep(min(seconds, early))
        return None
