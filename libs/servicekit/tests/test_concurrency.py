"""Waiting for the first of several, and ending tasks."""

from __future__ import annotations

import asyncio

import pytest

from servicekit.concurrency import end, first_of
from servicekit.errors import Unavailable


class Waiter:
    """Waits for its event, and takes a moment to end when it is cancelled."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.waits = asyncio.Event()
        self.ended = False

    async def wait(self) -> None:
        self.waits.set()
        try:
            await self.event.wait()
        finally:
            await asyncio.sleep(0)
            self.ended = True


async def test_the_first_is_named_and_the_others_have_ended() -> None:
    slow, quick = Waiter(), Waiter()
    quick.event.set()
    assert await first_of(slow.wait(), quick.wait()) == 1
    assert slow.ended
    assert quick.ended


async def test_of_two_at_once_the_first_in_the_list_counts() -> None:
    assert await first_of(asyncio.sleep(0), asyncio.sleep(0)) == 0


async def test_the_error_of_the_first_is_raised_and_the_others_have_ended() -> None:
    async def broken() -> None:
        raise Unavailable("down")

    slow = Waiter()
    with pytest.raises(Unavailable):
        await first_of(slow.wait(), broken())
    assert slow.ended


async def test_a_task_that_the_caller_keeps_has_the_result_and_another_goes_on() -> None:
    async def answer() -> int:
        return 7

    going_on = asyncio.create_task(asyncio.Event().wait())
    answering = asyncio.ensure_future(answer())
    assert await first_of(asyncio.wait({going_on}), answering) == 1
    assert answering.result() == 7
    assert not going_on.done()
    await end(going_on)
    assert going_on.cancelled()


async def test_when_the_caller_is_cancelled_all_have_ended() -> None:
    waiters = [Waiter(), Waiter()]
    task = asyncio.create_task(first_of(*(waiter.wait() for waiter in waiters)))
    for waiter in waiters:
        await waiter.waits.wait()
    await end(task)
    assert task.cancelled()
    assert all(waiter.ended for waiter in waiters)


async def test_what_ends_with_an_error_is_no_error_of_who_ends_it() -> None:
    async def untidy() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ZeroDivisionError

    task = asyncio.create_task(untidy())
    await asyncio.sleep(0)
    await end(task)
    assert isinstance(task.exception(), ZeroDivisionError)
