"""A clock for tests: it stands still, jumps, or runs with the machine, as the test needs."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import selectors
import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from servicekit.testing.eventually import eventually

T = TypeVar("T")

START = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)

_TURNS = 25
"""Turns of the loop after which everybody who could go on has gone to sleep again."""


class SimulatedClock:
    """A `Clock`, in one of three ways:

    - `SimulatedClock()` stands still. `advance` moves it and wakes those whose time has come; `run` moves it
      to the next sleeper whenever all are asleep, so that hours pass in a moment.
    - `SimulatedClock.running()` goes with the machine's, from now; `advance` moves it ahead of that. A sleep
      takes real time, and `advance` does not shorten it.
    - `SimulatedClock.of_loop()` inside `run_in_virtual_time` goes with that loop.

    Args:
        start: the time of day that it begins at.
        follow: the seconds that have passed by themselves; None: it stands still.
        skip: called at each sleep; where it is true, the sleep takes no time.

    Attributes:
        slept: the seconds of every sleep that was begun, in order, also of skipped ones.
    """

    def __init__(
        self,
        start: datetime = START,
        *,
        follow: Callable[[], float] | None = None,
        skip: Callable[[], bool] = lambda: False,
    ) -> None:
        self._start = start
        self._follow = follow
        self._skip = skip
        self._advanced = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._number = itertools.count()
        self.slept: list[float] = []

    @classmethod
    def running(cls, *, skip: Callable[[], bool] = lambda: False) -> SimulatedClock:
        """One that goes with the machine's clock, until it is moved ahead."""
        began = time.monotonic()
        return cls(datetime.now(UTC), follow=lambda: time.monotonic() - began, skip=skip)

    @classmethod
    def of_loop(cls, start: datetime = START) -> SimulatedClock:
        """One that goes with the running loop's own time, wherever it was made."""
        return cls(start, follow=lambda: asyncio.get_running_loop().time())

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        """Seconds since it was made."""
        return self._advanced + (self._follow() if self._follow else 0.0)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if seconds <= 0 or self._skip():
            await asyncio.sleep(0)
        elif self._follow:
            await asyncio.sleep(seconds)
        else:
            await self._sleep_until(self._advanced + seconds)

    async def _sleep_until(self, due: float) -> None:
        sleeper = (due, next(self._number), asyncio.get_running_loop().create_future())
        heapq.heappush(self._sleepers, sleeper)
        try:
            await sleeper[2]
        finally:
            if sleeper in self._sleepers:  # cancelled
                self._sleepers.remove(sleeper)
                heapq.heapify(self._sleepers)

    def advance(self, seconds: float) -> None:
        """Move the time; sleepers that are due go on (in order) when the caller next awaits."""
        self._advanced += seconds
        while self._sleepers and self._sleepers[0][0] <= self._advanced:
            self._wake_next()

    def _wake_next(self) -> None:
        due, _, future = heapq.heappop(self._sleepers)
        self._advanced = max(self._advanced, due)
        if not future.done():
            future.set_result(None)

    async def run(self, *work: Awaitable[Any]) -> list[Any]:
        """Do the work to its end, moving on to the next sleeper whenever all are asleep.

        Only for work that waits for nothing but this clock and its own kind. Answers the results in order; an
        exception stands for the result of what raised it.
        """
        tasks = [asyncio.ensure_future(each) for each in work]
        while not all(task.done() for task in tasks):
            for _ in range(_TURNS):
                await asyncio.sleep(0)
            if self._sleepers and not all(task.done() for task in tasks):
                self._wake_next()
        return await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def sleeping(self) -> int:
        """How many are asleep; of a clock that stands still."""
        return len(self._sleepers)

    async def wait_for_sleepers(self, count: int = 1, *, within: float = 10.0) -> None:
        """Wait (real time) until at least `count` coroutines sleep here: then `advance` reaches them."""
        await eventually(lambda: self.sleeping >= count, within=within)


class _VirtualLoop(asyncio.SelectorEventLoop):
    """Jumps to its next timer whenever there is nothing else to do; threads are plain calls."""

    def __init__(self) -> None:
        self._virtual = 0.0
        loop = self

        class Jumping(selectors.SelectSelector):
            def select(self, timeout: float | None = None) -> list[Any]:
                if timeout is None:
                    raise RuntimeError("everybody waits, and nothing is due any more")
                loop._virtual += max(timeout, 0.0)
                return []

        super().__init__(Jumping())

    def time(self) -> float:
        return self._virtual

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]  # noqa: ARG002  # asyncio calls it so
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001  # as an executor does
            done.set_exception(error)
        return done


def run_in_virtual_time(main: Coroutine[Any, Any, T]) -> T:
    """Run it on a loop whose own time jumps: also `asyncio.sleep` and `asyncio.timeout` pass at once.

    For whole systems that use no network and no threads. Sockets never become ready on this loop.
    """
    with asyncio.Runner(loop_factory=_VirtualLoop) as runner:
        return runner.run(main)
