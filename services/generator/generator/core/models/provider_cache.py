"""Values of the provider's, remembered: fresh for a while, stale while it is away, fetched once at a time."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from servicekit.clock import Clock
from servicekit.errors import AppError, ErrorKind, TimedOut

T = TypeVar("T")

PATIENCE = 1.0
"""Seconds that a caller waits for a fresh value when there is an old one: a provider may hang for longer."""

LONGEST = 8.0
"""Seconds that a caller waits when there is nothing yet: its own callers give up at ten."""

BACK_OFF = 10.0
"""Seconds after a failed or slow refresh in which the old value is answered at once."""

_AWAY = (
    ErrorKind.UNAVAILABLE,
    ErrorKind.TIMEOUT,
    ErrorKind.LIMITED,
    ErrorKind.UNAUTHENTICATED,
    ErrorKind.FORBIDDEN,
)


@dataclass(frozen=True)
class Known(Generic[T]):
    """A value; `stale` when the provider was away and this is what was known before."""

    value: T
    stale: bool = False


@dataclass
class _Kept:
    """`until`: the moment it is no longer fresh; `again`: the moment before which nobody asks again."""

    value: Any
    until: float
    again: float = 0.0


class Memory:
    """Values by key, each fetched by one task that all callers share, and kept for `ttl` seconds.

    At most `most` values are kept: those used last. A fetch outlives the callers who have lost patience,
    so the next one finds what it brought; `stop` ends those that are under way.
    """

    def __init__(self, clock: Clock, *, ttl: float, most: int) -> None:
        self._clock = clock
        self._ttl = ttl
        self._most = most
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()
        self._fetching: dict[Hashable, asyncio.Task[Any]] = {}

    async def stop(self) -> None:
        """End the fetches that are under way."""
        tasks = list(self._fetching.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def get(self, key: Hashable, fetch: Callable[[], Awaitable[T]]) -> Known[T]:
        """The value; what was known before while the provider is away or slow.

        Raises:
            AppError: that of the fetch, when nothing was known; TimedOut when it takes too long.
        """
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
            now = self._clock.monotonic()
            if now < kept.until or now < kept.again:
                return Known(kept.value, stale=now >= kept.until)
        task = self._fetching.get(key) or self._begin(key, fetch)
        await self._wait(task, PATIENCE if kept else LONGEST)
        if task.done() and not task.cancelled():
            error = task.exception()
            if error is None:
                return Known(task.result())
            if kept is None or not _away(error):
                raise error
        elif kept is None:
            raise TimedOut(
                f"the provider has not answered within {LONGEST:g} s; it is still being asked: try again"
            )
        kept.again = max(kept.again, self._clock.monotonic() + BACK_OFF)
        return Known(kept.value, stale=True)

    def peek(self, key: Hashable) -> Any:
        """What is remembered, however old; None when nothing is."""
        kept = self._kept.get(key)
        return kept.value if kept else None

    def _begin(self, key: Hashable, fetch: Callable[[], Awaitable[T]]) -> asyncio.Task[T]:
        task = asyncio.create_task(self._fetch(key, fetch), name=f"fetch {key}")
        self._fetching[key] = task
        task.add_done_callback(lambda done: self._over(key, done))
        return task

    async def _fetch(self, key: Hashable, fetch: Callable[[], Awaitable[T]]) -> T:
        try:
            value = await fetch()
        except AppError as error:
            if not _away(error):  # the provider has it no longer
                self._kept.pop(key, None)
            raise
        self._kept[key] = _Kept(value, self._clock.monotonic() + self._ttl)
        self._kept.move_to_end(key)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return value

    def _over(self, key: Hashable, done: asyncio.Task[Any]) -> None:
        del self._fetching[key]
        if not done.cancelled():
            done.exception()  # looked at: whoever still waits raises it, and the next caller asks again

    async def _wait(self, task: asyncio.Task[Any], seconds: float) -> None:
        """Until the task is done, at most so long; it goes on in any case."""
        patience = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait({task, patience}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            patience.cancel()


def _away(error: BaseException) -> bool:
    return isinstance(error, AppError) and error.kind in _AWAY
