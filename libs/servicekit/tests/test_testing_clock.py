"""The clock of the tests, in each of its ways."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from servicekit.testing import SimulatedClock, eventually, run_in_virtual_time


async def test_the_clock_wakes_only_who_is_due(clock: SimulatedClock) -> None:
    woken: list[float] = []

    async def sleeper(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append(seconds)

    tasks = [asyncio.create_task(sleeper(seconds)) for seconds in (2, 1, 5)]
    await clock.wait_for_sleepers(3)
    clock.advance(3)
    await eventually(lambda: len(woken) == 2)
    assert woken == [1, 2]
    assert clock.monotonic() == 3
    clock.advance(2)
    await asyncio.gather(*tasks)
    assert clock.sleeping == 0


async def test_a_cancelled_sleeper_is_forgotten(clock: SimulatedClock) -> None:
    tasks = [asyncio.create_task(clock.sleep(seconds)) for seconds in (1, 2, 3)]
    await clock.wait_for_sleepers(3)
    tasks[0].cancel()
    await asyncio.wait([tasks[0]])
    assert clock.sleeping == 2
    clock.advance(2)
    await tasks[1]
    assert clock.sleeping == 1
    clock.advance(1)
    await tasks[2]


async def test_hours_pass_in_a_moment_while_all_are_asleep(clock: SimulatedClock) -> None:
    async def every(seconds: float, times: int) -> list[float]:
        woken = []
        for _ in range(times):
            await clock.sleep(seconds)
            woken.append(clock.monotonic())
        return woken

    async def broken() -> None:
        await clock.sleep(3600)
        raise ZeroDivisionError

    slow, quick, error = await clock.run(every(3600, 2), every(600, 3), broken())
    assert (slow, quick) == ([3600, 7200], [600, 1200, 1800])
    assert isinstance(error, ZeroDivisionError)
    assert clock.now() - SimulatedClock().now() == timedelta(hours=2)
    assert sorted(clock.slept) == [600, 600, 600, 3600, 3600, 3600]


async def test_one_that_runs_goes_with_the_machine_and_may_be_ahead() -> None:
    clock = SimulatedClock.running()
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=5)
    before = clock.monotonic()
    await clock.sleep(0.01)
    assert clock.monotonic() >= before + 0.01
    clock.advance(3600)
    assert timedelta(seconds=3595) < clock.now() - datetime.now(UTC) < timedelta(seconds=3605)


async def test_skipped_sleeps_take_no_time_and_are_noted() -> None:
    clock = SimulatedClock.running(skip=lambda: asyncio.current_task().get_name() == "planner")  # type: ignore[union-attr]
    await asyncio.create_task(clock.sleep(3600), name="planner")
    await clock.sleep(0.001)
    assert clock.slept == [3600, 0.001]
    assert clock.monotonic() < 60


def test_virtual_time_is_also_that_of_asyncio() -> None:
    clock = SimulatedClock.of_loop()

    async def main() -> list[float]:
        began = clock.monotonic()
        await clock.sleep(3600)
        await asyncio.sleep(60)
        try:
            async with asyncio.timeout(5):
                await asyncio.Event().wait()
        except TimeoutError:
            pass
        assert await asyncio.to_thread(sum, [1, 2]) == 3
        return [began, clock.monotonic()]

    assert run_in_virtual_time(main()) == [0.0, 3665.0]
    assert clock.slept == [3600]
