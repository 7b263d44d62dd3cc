"""Describes a case of outages, and gives the clock and event loop that it runs on."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

T = TypeVar("T")

START = datetime(2026, 1, 1, 12, tzinfo=UTC)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Jumps to the next timer whenever nothing else is to be done; threads are plain calls."""

    def __init__(self) -> None:
        self._virtual = 0.0
        loop = self

        class Jumping(selectors.SelectSelector):
            def select(self, timeout=None):
                if timeout is None:
                    raise RuntimeError("everybody waits for ever")
                loop._virtual += max(timeout, 0.0)
                return []

        super().__init__(Jumping())

    def time(self) -> float:
        return self._virtual

    def run_in_executor(self, executor, func, *args):
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001  # as an executor does
            done.set_exception(error)
        return done


class VirtualClock:
    def now(self) -> datetime:
        return START + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@dataclass(frozen=True)
class Outage:
    """`part`: a host of the origin, "store" or "log"; `how` an origin fails: refused, silent or 503."""

    part: str
    start: float
    end: float
    how: str = "refused"


@dataclass
class SimOutput:
    """One output: when the provider is done, when it deletes it, where it lies."""

    number: int
    arrival: float
    expiry: float
    host: str = "a.example"


@dataclass
class OutageCase:
    outputs: list[SimOutput]
    outages: list[Outage]
    replicas: int = 1
    slots: int = 16

    def until(self, part: str, now: float) -> Outage | None:
        """The outage of that part now."""
        return next((o for o in self.outages if o.part == part and o.start <= now < o.end), None)

    def hides(self, output: SimOutput) -> bool:
        """Whether the log was away in the time before its expiry, so that nobody could know of it."""
        return any(
            o.part == "log" and o.start < output.expiry and o.end > output.expiry - 600 for o in self.outages
        )


def in_no_time(main: Coroutine[Any, Any, T]) -> T:
    """Run it on virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
