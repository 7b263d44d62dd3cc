"""The outputs of one event: it comes back as a whole, but none of them sleeps until the slowest is done."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from servicekit.clock import Clock

Work = Callable[[], Awaitable[float | None]]
"""One try at one output: None when it is settled, else seconds until the next."""


async def settle_together(work: Sequence[Work], clock: Clock) -> float | None:
    """Do all at once; None when all are settled, else seconds until the next try of the first of the rest.

    While any is being worked on, the others' waits are sat out here: a large output may take half an hour,
    and its small sibling may not have that long.
    """
    family = _Family(len(work), clock)
    results = await asyncio.gather(*map(family.settle, work), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return min((result for result in results if isinstance(result, float)), default=None)


class _Family:
    def __init__(self, size: int, clock: Clock) -> None:
        self._clock = clock
        self._at_work = size
        self._idle = asyncio.Event()

    async def settle(self, work: Work) -> float | None:
        while True:
            try:
                delay = await work()
            finally:
                self._at_work -= 1
                if self._at_work == 0:
                    self._idle.set()
            if delay is None or self._idle.is_set():
                return delay
            due = self._clock.monotonic() + delay
            await self._wait(delay)
            if self._idle.is_set():
                return max(due - self._clock.monotonic(), 0.0)
            self._at_work += 1

    async def _wait(self, seconds: float) -> None:
        """That long, or until nobody is at work any more."""
        waits = [asyncio.ensure_future(self._clock.sleep(seconds)), asyncio.ensure_future(self._idle.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.wait(waits)
