"""Start in order, stop in reverse, whatever happens in between; background tasks that do not stay dead."""

import asyncio
import contextlib
import os
import signal

import pytest
from structlog.testing import capture_logs

from servicekit.errors import Precondition, Unavailable
from servicekit.process import lifecycle
from servicekit.process.lifecycle import Part, StartFailed, StopForced, Tasks, run
from servicekit.testing.clock import SimulatedClock
from servicekit.testing.eventually import eventually


class Probe:
    """A part that writes down what happens to it."""

    def __init__(self, name: str, diary: list[str]) -> None:
        self.name = name
        self.diary = diary
        self.started = asyncio.Event()

    async def start(self) -> None:
        self.diary.append(f"{self.name} starts")
        self.started.set()

    async def stop(self) -> None:
        self.diary.append(f"{self.name} stops")


class Broken(Probe):
    async def start(self) -> None:
        await super().start()
        raise Precondition("the port is taken")


class Late(Probe):
    """A part that needs something which comes late."""

    def __init__(self, name: str, diary: list[str], *, tries: int) -> None:
        super().__init__(name, diary)
        self.tries = tries

    async def start(self) -> None:
        self.diary.append(f"{self.name} starts")
        self.tries -= 1
        if self.tries:
            self.started.clear()
            raise Unavailable("no database at db:5432")
        self.started.set()


class Untidy(Probe):
    async def stop(self) -> None:
        await super().stop()
        raise RuntimeError("oh")


class SlowStart(Probe):
    async def start(self) -> None:
        await super().start()
        await asyncio.Event().wait()


class SlowStop(Probe):
    def __init__(self, name: str, diary: list[str]) -> None:
        super().__init__(name, diary)
        self.stopping = asyncio.Event()

    async def stop(self) -> None:
        await super().stop()
        self.stopping.set()
        await asyncio.Event().wait()


async def signalled(parts: list[Part], last: Probe, budget: float = 5.0) -> None:
    """Run the parts and send SIGTERM once the last has started."""
    running = asyncio.create_task(run("svc", parts, budget=budget))
    await last.started.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(5):
        await running


async def test_parts_start_in_order_and_stop_in_reverse() -> None:
    diary: list[str] = []
    a, b = Probe("a", diary), Probe("b", diary)
    await signalled([a, b], b)
    assert diary == ["a starts", "b starts", "b stops", "a stops"]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


async def test_a_failed_start_stops_what_was_started_and_names_the_part() -> None:
    diary: list[str] = []
    with pytest.raises(StartFailed, match="svc: Broken did not start: the port is taken"):
        await run("svc", [Probe("a", diary), Broken("b", diary), Probe("c", diary)])
    assert diary == ["a starts", "b starts", "b stops", "a stops"]


async def test_what_is_away_at_the_start_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "START_AGAIN", 0.0)
    diary: list[str] = []
    with capture_logs() as logged:
        late = Late("b", diary, tries=3)
        await signalled([Probe("a", diary), late, last := Probe("c", diary)], last)
    assert diary == ["a starts", *["b starts", "b stops"] * 2, "b starts", "c starts"] + [
        f"{name} stops" for name in "cba"
    ]
    waited = [(line["part"], line["reason"]) for line in logged if line["event"] == "waiting to start"]
    assert waited == [("Late", "no database at db:5432")], "the same reason is said once"


async def test_a_part_that_does_not_stop_is_started_again_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lifecycle, "START_AGAIN", 0.0)

    class LateAndSlow(Late, SlowStop):
        pass

    class LateAndUntidy(Late, Untidy):
        pass

    diary: list[str] = []
    slow, last = LateAndSlow("slow", diary, tries=2), LateAndUntidy("untidy", diary, tries=2)
    async with asyncio.timeout(5):
        await run("svc", [slow, last], budget=0.05, until_signal=False)
    assert diary[:7] == ["slow starts", "slow stops", "slow starts"] + [
        f"untidy {does}" for does in ("starts", "stops", "starts", "stops")
    ]


async def test_a_signal_ends_a_stop_between_two_tries() -> None:
    diary: list[str] = []

    class LateAndSlow(Late, SlowStop):
        pass

    slow = LateAndSlow("slow", diary, tries=1_000)
    waiting = asyncio.create_task(run("svc", [slow], within=0.05))
    await slow.stopping.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(5):
        assert await waiting is False


async def test_what_is_done_by_starting_it_ends_without_a_signal() -> None:
    diary: list[str] = []
    async with asyncio.timeout(5):
        assert await run("svc", [Probe("a", diary), Probe("b", diary)], until_signal=False)
    assert diary == ["a starts", "b starts", "b stops", "a stops"]


async def test_a_signal_ends_waiting_for_what_is_away() -> None:
    diary: list[str] = []
    waiting = asyncio.create_task(run("svc", [Late("a", diary, tries=1_000)]))
    await eventually(lambda: diary[-1:] == ["a stops"])
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(5):
        await waiting


async def test_a_signal_ends_a_start_that_takes_long() -> None:
    diary: list[str] = []
    slow = SlowStart("slow", diary)
    await signalled([Probe("a", diary), slow, Probe("c", diary)], slow)
    assert diary == ["a starts", "slow starts", "slow stops", "a stops"]


async def test_one_part_cannot_keep_the_others_from_stopping() -> None:
    diary: list[str] = []
    last = SlowStop("slow", diary)
    with capture_logs() as logged:
        await signalled([Probe("a", diary), Untidy("untidy", diary), last], last, 0.1)
    assert diary[-3:] == ["slow stops", "untidy stops", "a stops"]
    problems = [line for line in logged if line["log_level"] in ("warning", "error")]
    reported = {line.get("part"): line["event"] for line in problems}
    assert reported == {
        "SlowStop": "part left behind: it did not stop in time",
        "Untidy": "part did not stop cleanly",
    }


async def test_all_parts_together_have_a_time_too() -> None:
    diary: list[str] = []
    slow = [SlowStop(name, diary) for name in "abc"]
    running = asyncio.create_task(run("svc", slow, budget=60.0, within=0.1))
    await slow[-1].started.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(5):
        await running
    assert diary[-3:] == ["c stops", "b stops", "a stops"]


async def test_a_second_signal_forces_the_end() -> None:
    diary: list[str] = []
    slow = SlowStop("slow", diary)
    running = asyncio.create_task(run("svc", [Probe("a", diary), slow], budget=60.0))
    await slow.started.wait()
    os.kill(os.getpid(), signal.SIGINT)
    await slow.stopping.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(StopForced):
        async with asyncio.timeout(5):
            await running
    assert "a stops" not in diary


async def test_a_task_that_dies_is_logged_and_restarted() -> None:
    clock, lives, second = SimulatedClock(), [], asyncio.Event()

    async def mortal() -> None:
        lives.append(clock.monotonic())
        if len(lives) == 3:
            second.set()
            await asyncio.Event().wait()
        raise RuntimeError("oh")

    tasks = Tasks(clock=clock).every(10, mortal, "mortal")
    with capture_logs() as logged:
        await tasks.start()
        await asleep(clock)
        clock.advance(0.5)
        await eventually(lambda: len(lives) == 2 and clock.sleeping)
        clock.advance(0.75)
        await asleep(clock)
        clock.advance(0.25)
        await second.wait()
        await tasks.stop()
    assert lives == [0.0, 0.5, 1.5]
    assert [(line["event"], line["task"]) for line in logged] == [("background task died", "mortal")] * 2


async def test_a_task_comes_every_so_often_until_stopped() -> None:
    clock, rounds = SimulatedClock(), []

    async def tick() -> None:
        rounds.append(clock.monotonic())

    tasks = Tasks(clock=clock)
    await tasks.stop()
    await tasks.start()
    tasks.every(10, tick, "tick")
    for _ in range(2):
        await asleep(clock)
        clock.advance(10)
    await asleep(clock)
    await tasks.stop()
    await tasks.stop()
    assert rounds == [0.0, 10.0, 20.0]
    assert clock.sleeping == 0


async def test_a_task_stops_although_its_round_swallows_that() -> None:
    in_a_round = asyncio.Event()

    async def deaf() -> None:
        in_a_round.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    tasks = Tasks().every(3600, deaf, "deaf")
    await tasks.start()
    await in_a_round.wait()
    await asyncio.wait_for(tasks.stop(), 5)


async def asleep(clock: SimulatedClock) -> None:
    await eventually(lambda: clock.sleeping)
