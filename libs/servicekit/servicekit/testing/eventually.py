"""Waits for something that happens elsewhere, with a deadline and a reason instead of a sleep."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

_PAUSES = (0.005, 0.01, 0.02)
"""Seconds between the first checks."""


async def eventually(
    check: Callable[[], Awaitable[T] | T], *, within: float = 10.0, every: float = 0.05
) -> T:
    """Call `check` until its result is true, and answer that.

    `check` may be sync or async; an AssertionError from it means "not yet". A check that answers None
    without raising counts as passed, so a body of plain asserts needs no return.

    Args:
        every: seconds between checks, after the first few. A check that costs other processes work is worth
            a longer one: what it waits for needs the processor too.

    Raises:
        AssertionError: not so within `within` seconds; shows the last result or the last error.
    """
    deadline = time.monotonic() + within
    tries = 0
    while True:
        try:
            answer = check()
            value: T = await answer if inspect.isawaitable(answer) else answer
        except AssertionError as error:
            last: object = f"failed: {error or type(error).__name__}"
        else:
            if value or value is None:
                return value
            last = f"answered {value!r}"
        if time.monotonic() > deadline:
            name = getattr(check, "__qualname__", repr(check))
            raise AssertionError(f"{name}: not within {within:g} s; the last of {tries + 1} checks {last}")
        await asyncio.sleep(_PAUSES[tries] if tries < len(_PAUSES) else every)
        tries += 1
