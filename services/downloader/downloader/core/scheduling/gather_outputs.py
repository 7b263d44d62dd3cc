"""Tries the outputs of one event together. The event is redelivered as a whole, but no output waits for
the slowest of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from servicekit.clock import Clock
from servicekit.concurrency import first_of

OutputTry = Callable[[], Awaitable[float | None]]
"""Tries one output: None when it is settled, else seconds until the next try."""


async def gather_outputs(tries: Sequence[OutputTry], clock: Clock) -> float | None:
    """Try all at once; None when all are settled, else seconds until the next try of the first of the rest.

    While any of them is being worked on, the others wait for their next try here, and not for a redelivery:
    a large output may take half an hour, and the small one beside it may not have that long.
    """
    gathering = _Gathering(len(tries), clock)
    results = await asyncio.gather(*map(gathering.settle, tries), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return min((result for result in results if isinstance(result, float)), default=None)


class _Gathering:
    def __init__(self, size: int, clock: Clock) -> None:
        self._clock = clock
        self._at_work = size
        self._all_wait = asyncio.Event()

    async def settle(self, try_output: OutputTry) -> float | None:
        while True:
            try:
                delay = await try_output()
            finally:
                self._at_work -= 1
                if self._at_work == 0:
                    self._all_wait.set()
            if delay is None or self._all_wait.is_set():
                return delay
            due = self._clock.monotonic() + delay
            await first_of(self._clock.sleep(delay), self._all_wait.wait())
            if self._all_wait.is_set():
                return max(due - self._clock.monotonic(), 0.0)
            self._at_work += 1
