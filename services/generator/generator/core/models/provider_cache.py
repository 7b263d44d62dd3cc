"""Caches values of the provider: fresh for a while, stale while it is away, each fetched once at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from cachetools import LRUCache

from servicekit.clock import Clock
from servicekit.concurrency import end, first_of
from servicekit.errors import AppError, ErrorKind, TimedOut

T = TypeVar("T")

STALE_PATIENCE = 1.0
"""Seconds that a caller waits for a fresh value when there is an old one: a provider may hang for longer."""

FIRST_PATIENCE = 8.0
"""Seconds that a caller waits when there is no value yet: its own callers give up at ten."""

BACK_OFF = 10.0
"""Seconds after a failed or slow refresh in which the old value is answered at once."""

_PROVIDER_AWAY = (
    ErrorKind.UNAVAILABLE,
    ErrorKind.TIMEOUT,
    ErrorKind.LIMITED,
    ErrorKind.UNAUTHENTICATED,
    ErrorKind.FORBIDDEN,
)


@dataclass(frozen=True)
class Cached(Generic[T]):
    """A value; `stale` when it is older than it should be, because the provider was away or slow."""

    value: T
    stale: bool = False


@dataclass
class _Entry:
    """Times are monotonic: `fresh_until`, and `retry_at`, before which the provider is not called again."""

    value: Any
    fresh_until: float
    retry_at: float = 0.0


class ProviderCache:
    """Values by key, each fetched by one task that all callers share, and fresh for `ttl` seconds.

    The `size` values used last stay. A fetch outlives callers who have lost patience, so that the next one
    finds what it brought; `stop` ends those that are under way.
    """

    def __init__(self, clock: Clock, *, ttl: float, size: int) -> None:
        self._clock = clock
        self._ttl = ttl
        self._entries: LRUCache[Hashable, _Entry] = LRUCache(size)
        self._fetching: dict[Hashable, asyncio.Task[Any]] = {}

    async def stop(self) -> None:
        """End the fetches that are under way."""
        tasks = list(self._fetching.values())
        await end(*tasks)

    async def get(self, key: Hashable, fetch: Callable[[], Awaitable[T]]) -> Cached[T]:
        """The value; the one of before while the provider is away or slow.

        Raises:
            AppError: that of the fetch, when there is no older value; TimedOut when it takes too long.
        """
        entry = self._entries.get(key)
        if entry is not None:
            now = self._clock.monotonic()
            if now < max(entry.fresh_until, entry.retry_at):
                return Cached(entry.value, stale=now >= entry.fresh_until)
        task = self._fetching.get(key) or self._begin(key, fetch)
        patience = STALE_PATIENCE if entry else FIRST_PATIENCE
        await first_of(asyncio.wait({task}), self._clock.sleep(patience))  # the task goes on in any case
        if task.done() and not task.cancelled():
            error = task.exception()
            if error is None:
                return Cached(task.result())
            if entry is None or not _provider_away(error):
                raise error
        elif entry is None:
            raise TimedOut(
                f"the provider has not answered within {FIRST_PATIENCE:g} s; "
                "its answer is still awaited: try again"
            )
        entry.retry_at = max(entry.retry_at, self._clock.monotonic() + BACK_OFF)
        return Cached(entry.value, stale=True)

    def _begin(self, key: Hashable, fetch: Callable[[], Awaitable[T]]) -> asyncio.Task[T]:
        task = asyncio.create_task(self._fetch(key, fetch), name=f"fetch {key}")
        self._fetching[key] = task
        task.add_done_callback(lambda done: self._fetched(key, done))
        return task

    async def _fetch(self, key: Hashable, fetch: Callable[[], Awaitable[T]]) -> T:
        try:
            value = await fetch()
        except AppError as error:
            if not _provider_away(error):  # the provider has it no longer
                self._entries.pop(key, None)
            raise
        self._entries[key] = _Entry(value, self._clock.monotonic() + self._ttl)
        return value

    def _fetched(self, key: Hashable, done: asyncio.Task[Any]) -> None:
        del self._fetching[key]
        if not done.cancelled():
            done.exception()  # retrieved, or asyncio complains of an error that nobody waits for any more


def _provider_away(error: BaseException) -> bool:
    return isinstance(error, AppError) and error.kind in _PROVIDER_AWAY
