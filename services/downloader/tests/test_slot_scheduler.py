"""Who goes first, who is deferred, and what a host that is down costs the others."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from downloader.core.fetching.domain.fetch_errors import ErrorCode, FetchError
from downloader.core.scheduling.domain.outputs import Output
from downloader.core.scheduling.download_outputs import PermittedFetch
from downloader.core.scheduling.slot_scheduler import (
    DOWN_AFTER_ERRORS,
    MAX_WAITING,
    MAX_WAITING_HOST_DOWN,
    Deferred,
    SlotScheduler,
)
from servicekit.testing import SimulatedClock

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def due(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


async def settle() -> None:
    """Let everybody go as far as they can."""
    for _ in range(10):
        await asyncio.sleep(0)


class Holders:
    """Those who want a permit: each has it until it is to leave."""

    def __init__(self, slots: int) -> None:
        self.scheduler = SlotScheduler(slots)
        self.inside: dict[str, object] = {}
        self.tasks: dict[str, asyncio.Task] = {}
        self._leave: dict[str, asyncio.Event] = {}

    async def come(self, name: str, minutes: float = 10, host: str = "a") -> None:
        self._leave[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._hold(name, due(minutes), host))
        await settle()

    async def _hold(self, name: str, deadline: datetime, host: str) -> None:
        async with self.scheduler.permit(deadline, host) as permit:
            self.inside[name] = permit
            await self._leave[name].wait()
            del self.inside[name]

    async def leave(self, name: str) -> None:
        self._leave[name].set()
        await settle()

    def was_deferred(self, name: str) -> bool:
        task = self.tasks[name]
        return task.done() and isinstance(task.exception(), Deferred)


@asynccontextmanager
async def holders(slots: int):
    """At the end all leave, and nothing is missing."""
    here = Holders(slots)
    yield here
    while any(not task.done() for task in here.tasks.values()):
        for name in list(here.tasks):
            await here.leave(name)
    assert here.scheduler._free == slots


async def take_down(here: Holders, host: str) -> None:
    """It fails until it counts as down."""
    for _ in range(50):
        if here.scheduler.is_down(host):
            return
        await here.come("failing", 0, host)
        here.inside["failing"].host_failed()
        await here.come("waiting", 60, host)
        await here.leave("failing")
        await here.leave("waiting")
    raise AssertionError("it never counts as down")


def an_attempt(permit, *, contacts_host: bool) -> PermittedFetch:
    output = Output("gen_1", "att_1", "p1", 1, 0, "http://a/x", "media/gen_1/0", None, NOW)
    return PermittedFetch(output, permit, None, SimulatedClock(), contacts_host=contacts_host)


# Pauses ---------------------------------------------------------------------------------------------
async def test_a_pause_gives_the_permit_to_others_and_takes_it_again() -> None:
    async with holders(slots=1) as here:
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
    async with holders(slots=1) as here:
        await here.come("early", 1)
        await here.come("late", 20)
        resumed = []

        async def pausing(permit, name: str) -> None:
            async with permit.pause():
                await settle()
            resumed.append(name)

        first = asyncio.create_task(pausing(here.inside["early"], "early"))
        await settle()
        await here.come("middle", 10)  # waits behind nobody but the early one, which comes back
        await settle()
        assert not first.done()
        await here.leave("late")
        await first
        assert resumed == ["early"]
        assert "middle" not in here.inside


async def test_who_is_cancelled_in_a_pause_or_after_it_leaves_no_gap() -> None:
    for awaited in (True, False):
        async with holders(slots=1) as here:
            await here.come("one", 5)
            permit = here.inside["one"]
            resumed = asyncio.Event()

            async def pausing(permit, resumed) -> None:
                async with permit.pause():
                    await resumed.wait()

            task = asyncio.create_task(pausing(permit, resumed))
            await settle()
            await here.come("two", 1)
            if awaited:
                resumed.set()
                await settle()
            task.cancel()
            await asyncio.wait({task})
            assert permit._queue.paused == 0
            assert [one for one in permit._queue.waiting if not one.ready.done()] == []


async def test_who_pauses_has_a_place_in_the_queue() -> None:
    async with holders(slots=1) as here:
        await here.come("one", 0)
        async with here.inside["one"].pause():
            await settle()
            await here.come("holder", 0)
            for number in range(MAX_WAITING + 1):
                await here.come(f"w{number}", 10 + number)
            gone = [name for name in here.tasks if here.was_deferred(name)]
            assert gone == [f"w{MAX_WAITING - 1}", f"w{MAX_WAITING}"]
            await here.leave("holder")
            for name in list(here.tasks)[1:]:
                await here.leave(name)


# Queues ---------------------------------------------------------------------------------------------
async def test_a_full_queue_defers_those_who_expire_last() -> None:
    async with holders(slots=1) as here:
        await here.come("holder", 0)
        for number in range(MAX_WAITING):
            await here.come(f"w{number}", 100 + number)
        await here.come("latest", 999)
        assert here.was_deferred("latest")
        await here.come("earliest", 1)
        assert not here.was_deferred("earliest")
        assert here.was_deferred(f"w{MAX_WAITING - 1}")
        await here.come("elsewhere", 999, "b")
        assert not here.was_deferred("elsewhere")


async def test_one_at_a_time_finds_out_whether_a_host_is_back() -> None:
    async with holders(slots=4) as here:
        await take_down(here, "a")
        for number in range(MAX_WAITING_HOST_DOWN + 2):
            await here.come(f"p{number}", 10 + number)
        assert set(here.inside) == {"p0"}
        assert here.was_deferred(f"p{MAX_WAITING_HOST_DOWN + 1}")
        assert here.tasks[f"p{MAX_WAITING_HOST_DOWN + 1}"].exception().host_is_down


async def test_finding_out_takes_no_slot_from_others() -> None:
    async with holders(slots=2) as here:
        await take_down(here, "a")
        await here.come("probe", 1)
        await here.come("b1", 50, "b")
        await here.come("b2", 50, "b")
        assert set(here.inside) == {"probe", "b1", "b2"}
        await here.come("b3", 50, "b")
        assert "b3" not in here.inside


async def test_a_host_that_answers_gets_a_slot_beyond_them_which_the_next_pay_for() -> None:
    async with holders(slots=2) as here:
        await take_down(here, "a")
        await here.come("probe", 1)
        for name in ("b1", "b2", "b3"):
            await here.come(name, 50, "b")
        here.inside["probe"].host_answered()
        here.inside["probe"].host_answered()  # it is paid for once
        await here.leave("b1")
        assert "b3" not in here.inside
        await here.leave("b2")
        assert set(here.inside) == {"probe", "b3"}


async def test_with_the_first_bytes_of_a_host_others_go_beside() -> None:
    """Not when all is here: that may take longer than they have."""
    async with holders(slots=8) as here:
        await take_down(here, "a")
        for number in range(4):
            await here.come(f"p{number}", 1 + number)
        assert set(here.inside) == {"p0"}
        here.inside["p0"].host_answered()
        await settle()
        assert set(here.inside) == {"p0", "p1"}
        here.inside["p1"].host_answered()
        await settle()
        assert set(here.inside) == {"p0", "p1", "p2", "p3"}


async def test_when_a_host_goes_down_only_a_few_go_on_waiting_for_it() -> None:
    async with holders(slots=1) as here:
        await here.come("holder", 0)
        for number in range(MAX_WAITING_HOST_DOWN + 3):
            await here.come(f"w{number}", 10 + number)
        for _ in range(DOWN_AFTER_ERRORS):
            here.inside["holder"].host_failed()
        await settle()
        deferred = [name for name in here.tasks if here.was_deferred(name)]
        assert deferred == [f"w{MAX_WAITING_HOST_DOWN + n}" for n in range(3)]


async def test_who_leaves_just_when_it_was_to_find_out_takes_no_slot_along() -> None:
    async with holders(slots=1) as here:
        await take_down(here, "a")
        await here.come("probe", 1)
        await here.come("next", 2)
        here.inside["probe"].end()
        here.tasks["next"].cancel()
        await settle()
        assert here.scheduler._free == 1


@pytest.mark.parametrize(
    ("code", "progressed", "contacts_host", "takes_down", "brings_up"),
    [
        (ErrorCode.UNREACHABLE, False, True, True, False),
        (ErrorCode.TOO_SLOW, False, True, True, False),
        (ErrorCode.INTERRUPTED, True, True, False, False),  # the bytes were noted when they came
        (ErrorCode.UNREACHABLE, False, False, False, False),  # it was not contacted
        (ErrorCode.GONE, False, True, False, True),
        (ErrorCode.GONE, False, False, False, False),
        (ErrorCode.OURS, False, True, False, False),
    ],
)
async def test_what_an_error_shows_about_the_host(
    code, progressed, contacts_host, takes_down, brings_up
) -> None:
    async with holders(slots=1) as here:
        await here.come("one")
        permit = here.inside["one"]
        attempt = an_attempt(permit, contacts_host=contacts_host)
        for _ in range(DOWN_AFTER_ERRORS):
            attempt.note_error(FetchError(code, "so"), progressed=progressed)
        assert here.scheduler.is_down("a") is takes_down
        for _ in range(DOWN_AFTER_ERRORS):
            permit.host_failed()
        attempt.note_error(FetchError(code, "so"), progressed=progressed)
        assert here.scheduler.is_down("a") is not brings_up


@pytest.mark.parametrize("contacts_host", [True, False])
async def test_bytes_show_that_a_host_is_up(contacts_host) -> None:
    async with holders(slots=1) as here:
        await here.come("one")
        for _ in range(DOWN_AFTER_ERRORS):
            here.inside["one"].host_failed()
        an_attempt(here.inside["one"], contacts_host=contacts_host).host_answered()
        assert here.scheduler.is_down("a") is not contacts_host


@pytest.mark.parametrize("slots", [1, 16])
async def test_a_few_errors_of_one_output_do_not_take_a_host_down(slots) -> None:
    async with holders(slots) as here:
        await here.come("one")
        for _ in range(max(slots, DOWN_AFTER_ERRORS) - 1):
            here.inside["one"].host_failed()
        assert not here.scheduler.is_down("a")
        here.inside["one"].host_failed()
        assert here.scheduler.is_down("a")
        here.inside["one"].host_answered()
        assert not here.scheduler.is_down("a")
