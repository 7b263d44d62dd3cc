"""Waits for the first of several awaitables, and ends tasks, without leaving any behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any


async def first_of(*awaitables: Awaitable[Any]) -> int:
    """Wait until one of the awaitables is done, cancel the others, and answer which one it was (0, 1, …).

    Raises what that one raised. Of several that are done at once the first in the list counts. When it
    returns, the others have ended; what they raised at their end is dropped. So it is when the caller is
    cancelled. What must not be cancelled is passed as `asyncio.wait({task})`; whose result is needed, as a
    task that the caller keeps::

        starting = asyncio.ensure_future(stack.start())
        if await first_of(starting, stop.wait()) == 0:
            return starting.result()
    """
    futures = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    try:
        await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
        first = next(number for number, future in enumerate(futures) if future.done())
        futures[first].result()
        return first
    finally:
        await end(*futures)


async def end(*futures: asyncio.Future[Any]) -> None:
    """Cancel what is not done, and wait until all have ended; what they raise is dropped."""
    for future in futures:
        future.cancel()
    await asyncio.gather(*futures, return_exceptions=True)
