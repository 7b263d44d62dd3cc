"""The outputs of one event: tried together, and none waits for the slowest. On virtual time."""

from __future__ import annotations

import asyncio

import pytest

from downloader.core.scheduling.gather_outputs import gather_outputs
from servicekit.testing import SimulatedClock, run_in_virtual_time

CLOCK = SimulatedClock.of_loop()


def tries(*steps: tuple[float, float | None], at: list[float] | None = None):
    """Work whose every try takes so many seconds, and ends with so many until the next."""
    left = iter(steps)

    async def work() -> float | None:
        if at is not None:
            at.append(CLOCK.monotonic())
        takes, delay = next(left)
        await asyncio.sleep(takes)
        return delay

    return work


def settled(*work) -> tuple[float | None, float]:
    """What comes of it, and when."""

    async def main() -> tuple[float | None, float]:
        found = await gather_outputs(work, CLOCK)
        return found, CLOCK.monotonic()

    return run_in_virtual_time(main())


def test_nothing_to_do_is_settled() -> None:
    assert settled() == (None, 0.0)


def test_all_at_once() -> None:
    assert settled(tries((5.0, None)), tries((7.0, None))) == (None, 7.0)


def test_one_alone_is_not_waited_for() -> None:
    assert settled(tries((1.0, 60.0))) == (60.0, 1.0)


def test_a_wait_is_spent_here_while_another_output_is_at_work() -> None:
    """The large one takes half an hour; the small one is tried again after 15 s, not after half an hour."""
    at: list[float] = []
    small = tries((1.0, 15.0), (1.0, 30.0), (1.0, None), at=at)
    assert settled(tries((1800.0, None)), small) == (None, 1800.0)
    assert at == [0.0, 16.0, 47.0]


def test_when_nobody_is_at_work_the_event_goes_back_until_the_first_is_due() -> None:
    """Of what it would have waited, each has already waited since its own try."""
    first, second = tries((1.0, 60.0)), tries((11.0, 40.0))
    assert settled(first, second) == (40.0, 11.0)
    assert settled(tries((1.0, 20.0)), tries((11.0, 40.0))) == (10.0, 11.0)


def test_one_that_tries_again_lets_the_others_wait_here() -> None:
    """The second goes on at 6 s, so at 10 s, when the first is done, somebody is still at work."""
    at: list[float] = []
    second = tries((1.0, 5.0), (20.0, 7.0), at=at)
    third = tries((1.0, 12.0), (1.0, None), at=at)
    assert settled(tries((10.0, None)), second, third) == (7.0, 26.0)
    assert at == [0.0, 0.0, 6.0, 13.0]


def test_an_error_comes_when_the_others_have_ended() -> None:
    ended: list[str] = []

    async def fails() -> float | None:
        raise ValueError("broken")

    async def works() -> float | None:
        await asyncio.sleep(3.0)
        ended.append("works")
        return None

    with pytest.raises(ValueError, match="broken"):
        settled(fails, works)
    assert ended == ["works"]


def test_cancelling_leaves_no_task_behind() -> None:
    async def main() -> int:
        task = asyncio.ensure_future(gather_outputs([tries((1.0, 50.0)), tries((90.0, None))], CLOCK))
        await asyncio.sleep(10.0)
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        return len(asyncio.all_tasks())

    assert run_in_virtual_time(main()) == 1
