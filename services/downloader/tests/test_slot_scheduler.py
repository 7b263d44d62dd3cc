"""Turns and lanes: who goes, who is sent away, and what a host that is away costs the others."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from downloader.core.fetching.domain.fetch_errors import Code, FetchFailed
from downloader.core.scheduling.attempt import OneTry
from downloader.core.scheduling.host_queue import CLOSED_AFTER, PLACES, PROBES, SentAway
from downloader.core.scheduling.slot_scheduler import Turns
from servicekit.testing import TestClock

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def due(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


async def settle() -> None:
    """Let everybody go as far as they can."""
    for _ in range(10):
        await asyncio.sleep(0)


class People:
    """Those who want a turn: each holds it until told to leave."""

    def __init__(self, slots: int) -> None:
        self.turns = Turns(slots)
        self.inside: dict[str, object] = {}
        self.tasks: dict[str, asyncio.Task] = {}
        self._leave: dict[str, asyncio.Event] = {}

    async def come(self, name: str, minutes: float = 10, lane: str = "a") -> None:
        self._leave[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._hold(name, due(minutes), lane))
        await settle()

    async def _hold(self, name: str, deadline: datetime, lane: str) -> None:
        async with self.turns.turn(deadline, lane) as turn:
            self.inside[name] = turn
            await self._leave[name].wait()
            del self.inside[name]

    async def leave(self, name: str) -> None:
        self._leave[name].set()
        await settle()

    def sent_away(self, name: str) -> bool:
        task = self.tasks[name]
        return task.done() and isinstance(task.exception(), SentAway)


@asynccontextmanager
async def people(slots: int):
    """At the end all leave, and nothing is missing."""
    here = People(slots)
    yield here
    while any(not task.done() for task in here.tasks.values()):
        for name in list(here.tasks):
            await here.leave(name)
    assert here.turns._free == slots


async def away(here: People, lane: str) -> None:
    """Its host fails until it counts as away."""
    for _ in range(50):
        if here.turns.is_closed(lane):
            return
        await here.come("breaker", 0, lane)
        here.inside["breaker"].failed()
        await here.come("keeper", 60, lane)  # a lane without anybody in it is kept for its failures
        await here.leave("breaker")
        await here.leave("keeper")
    raise AssertionError("it never counts as away")


# Pauses ---------------------------------------------------------------------------------------------
async def test_a_pause_gives_the_turn_to_others_and_takes_it_again() -> None:
    async with people(slots=1) as here:
        await here.come("one", 5)
        await here.come("two", 10)
        assert set(here.inside) == {"one"}
        async with here.inside["one"].pause():
            await settle()
            assert set(here.inside) == {"one", "two"}  # both within their block; one is pausing
            back = asyncio.create_task(here.leave("two"))
        await back
        await here.come("three", 1)
        assert set(here.inside) == {"one"}  # it has the slot again


async def test_after_a_pause_it_is_the_deadline_that_counts() -> None:
    async with people(slots=1) as here:
        await here.come("early", 1)
        await here.come("late", 20)
        order = []

        async def pausing(turn, name: str) -> None:
            async with turn.pause():
                await settle()
            order.append(name)

        first = asyncio.create_task(pausing(here.inside["early"], "early"))
        await settle()
        await here.come("middle", 10)  # waits behind nobody but the early one, which comes back
        await settle()
        assert not first.done()
        await here.leave("late")
        await first
        assert order == ["early"]
        assert "middle" not in here.inside


async def test_who_is_cancelled_in_a_pause_or_after_it_leaves_no_gap() -> None:
    for awaited in (True, False):
        async with people(slots=1) as here:
            await here.come("one", 5)
            turn = here.inside["one"]
            resumed = asyncio.Event()

            async def pausing(turn, resumed) -> None:
                async with turn.pause():
                    await resumed.wait()

            task = asyncio.create_task(pausing(turn, resumed))
            await settle()
            await here.come("two", 1)
            if awaited:
                resumed.set()
                await settle()
            task.cancel()
            await asyncio.wait({task})
            assert turn.lane.paused == 0
            assert [one for one in turn.lane.waiting if not one.ready.done()] == []


async def test_who_pauses_keeps_a_place_in_the_lane() -> None:
    async with people(slots=1) as here:
        await here.come("one", 0)
        async with here.inside["one"].pause():
            await settle()
            await here.come("holder", 0)
            for number in range(PLACES + 1):
                await here.come(f"w{number}", 10 + number)
            gone = [name for name in here.tasks if here.sent_away(name)]
            assert gone == [f"w{PLACES - 1}", f"w{PLACES}"]
            await here.leave("holder")
            for name in list(here.tasks)[1:]:
                await here.leave(name)


# Lanes ----------------------------------------------------------------------------------------------
async def test_a_full_lane_keeps_those_who_expire_first() -> None:
    async with people(slots=1) as here:
        await here.come("holder", 0)
        for number in range(PLACES):
            await here.come(f"w{number}", 100 + number)
        await here.come("latest", 999)
        assert here.sent_away("latest")
        await here.come("earliest", 1)
        assert not here.sent_away("earliest")
        assert here.sent_away(f"w{PLACES - 1}")
        await here.come("elsewhere", 999, "b")
        assert not here.sent_away("elsewhere")


async def test_one_at_a_time_finds_out_whether_a_host_is_back() -> None:
    async with people(slots=4) as here:
        await away(here, "a")
        for number in range(PROBES + 2):
            await here.come(f"p{number}", 10 + number)
        assert set(here.inside) == {"p0"}
        assert here.sent_away(f"p{PROBES + 1}")
        assert here.tasks[f"p{PROBES + 1}"].exception().closed


async def test_finding_out_takes_no_slot_from_others() -> None:
    async with people(slots=2) as here:
        await away(here, "a")
        await here.come("probe", 1)
        await here.come("b1", 50, "b")
        await here.come("b2", 50, "b")
        assert set(here.inside) == {"probe", "b1", "b2"}
        await here.come("b3", 50, "b")
        assert "b3" not in here.inside


async def test_a_host_that_answers_gets_a_slot_beyond_them_which_the_next_pay_for() -> None:
    async with people(slots=2) as here:
        await away(here, "a")
        await here.come("probe", 1)
        for name in ("b1", "b2", "b3"):
            await here.come(name, 50, "b")
        here.inside["probe"].worked()
        here.inside["probe"].worked()  # it is paid for once
        await here.leave("b1")
        assert "b3" not in here.inside
        await here.leave("b2")
        assert set(here.inside) == {"probe", "b3"}


async def test_with_the_first_word_of_a_host_others_go_beside() -> None:
    """Not when all is here: that may take longer than they have."""
    async with people(slots=8) as here:
        await away(here, "a")
        for number in range(4):
            await here.come(f"p{number}", 1 + number)
        assert set(here.inside) == {"p0"}
        here.inside["p0"].worked()
        await settle()
        assert set(here.inside) == {"p0", "p1"}
        here.inside["p1"].worked()
        await settle()
        assert set(here.inside) == {"p0", "p1", "p2", "p3"}


async def test_when_a_host_goes_away_only_a_few_go_on_waiting_for_it() -> None:
    async with people(slots=1) as here:
        await here.come("holder", 0)
        for number in range(PROBES + 3):
            await here.come(f"w{number}", 10 + number)
        for _ in range(CLOSED_AFTER):
            here.inside["holder"].failed()
        await settle()
        assert [name for name in here.tasks if here.sent_away(name)] == [f"w{PROBES + n}" for n in range(3)]


async def test_who_leaves_just_when_it_was_to_find_out_takes_no_slot_along() -> None:
    async with people(slots=1) as here:
        await away(here, "a")
        await here.come("probe", 1)
        await here.come("next", 2)
        here.inside["probe"].end()
        here.tasks["next"].cancel()
        await settle()
        assert here.turns._free == 1


@pytest.mark.parametrize(
    ("code", "progressed", "asks", "closes", "opens"),
    [
        (Code.UNREACHABLE, False, True, True, False),
        (Code.TOO_SLOW, False, True, True, False),
        (Code.INTERRUPTED, True, True, False, False),  # the bytes were noted when they came
        (Code.UNREACHABLE, False, False, False, False),  # it was not asked
        (Code.GONE, False, True, False, True),
        (Code.GONE, False, False, False, False),
        (Code.OURS, False, True, False, False),
    ],
)
async def test_what_a_failure_says_about_the_host(code, progressed, asks, closes, opens) -> None:
    async with people(slots=1) as here:
        await here.come("one")
        turn = here.inside["one"]
        one_try = OneTry(turn, TestClock(), is_late=False, asks=asks)
        for _ in range(CLOSED_AFTER):
            one_try.learn(FetchFailed(code, "so"), progressed=progressed)
        assert here.turns.is_closed("a") is closes
        for _ in range(CLOSED_AFTER):
            turn.failed()
        one_try.learn(FetchFailed(code, "so"), progressed=progressed)
        assert here.turns.is_closed("a") is not opens


@pytest.mark.parametrize("asks", [True, False])
async def test_bytes_say_that_a_host_is_there(asks) -> None:
    async with people(slots=1) as here:
        await here.come("one")
        for _ in range(CLOSED_AFTER):
            here.inside["one"].failed()
        OneTry(here.inside["one"], TestClock(), is_late=False, asks=asks).answered()
        assert here.turns.is_closed("a") is not asks


@pytest.mark.parametrize("slots", [1, 16])
async def test_a_few_failures_of_one_output_do_not_close_a_lane(slots) -> None:
    async with people(slots) as here:
        await here.come("one")
        for _ in range(max(slots, CLOSED_AFTER) - 1):
            here.inside["one"].failed()
        assert not here.turns.is_closed("a")
        here.inside["one"].failed()
        assert here.turns.is_closed("a")
        here.inside["one"].worked()
        assert not here.turns.is_closed("a")
