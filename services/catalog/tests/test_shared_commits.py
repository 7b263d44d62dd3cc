"""Units that share SQLite's commits: each for itself in what goes wrong, together in what is synced."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from catalog.adapters.db import tables
from catalog.adapters.db.group_commit import MOST, SharedCommits
from servicekit.clock import SystemClock
from servicekit.databases import open_engine
from servicekit.errors import Unavailable
from servicekit.events import Event
from servicekit.outbox import Relay, append
from servicekit.testing import eventually


class Desk:
    """A table of words, and a count of its commits."""

    def __init__(self, folder: Path) -> None:
        self.engine = open_engine(f"sqlite:///{folder / 'words.db'}")
        self.shared = SharedCommits(self.engine.execution_options(short=True))
        self.commits = 0
        self.begun: list[str] = []
        self.told: list[tuple[str, int]] = []
        event.listen(self.engine.sync_engine, "commit", self._count)

    def _count(self, _connection: object) -> None:
        self.commits += 1

    async def write(self, word: str, *, until: asyncio.Event | None = None, sql: str = "") -> None:
        async with self.shared.unit() as connection:
            self.begun.append(word)
            await connection.exec_driver_sql("INSERT INTO words VALUES (?)", (word,))
            if until is not None:
                await until.wait()
            if sql:
                await connection.exec_driver_sql(sql)
        self.told.append((word, self.commits))

    async def words(self) -> list[str]:
        async with self.engine.connect() as connection:
            return list((await connection.exec_driver_sql("SELECT word FROM words")).scalars())

    async def first(self, go: asyncio.Event) -> asyncio.Task[None]:
        """A unit that has its turn and keeps it until `go`; who comes now waits together."""
        task = asyncio.ensure_future(self.write("first", until=go))
        await eventually(lambda: self.begun == ["first"])
        return task


@pytest_asyncio.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path)
    async with desk.engine.begin() as connection:
        await connection.exec_driver_sql("CREATE TABLE words (word TEXT NOT NULL)")
    desk.commits = 0
    yield desk
    await desk.engine.dispose()


async def test_those_who_wait_share_a_commit_and_are_told_after_it(desk: Desk) -> None:
    go = asyncio.Event()
    first = await desk.first(go)
    others = [asyncio.ensure_future(desk.write(word)) for word in "abcde"]
    await asyncio.sleep(0)
    assert desk.told == []
    go.set()
    await asyncio.gather(first, *others)
    assert desk.commits == 1
    assert {commits for _, commits in desk.told} == {1}
    assert sorted(await desk.words()) == ["a", "b", "c", "d", "e", "first"]
    await desk.write("alone")
    assert desk.commits == 2


async def test_a_transaction_does_not_grow_without_end(desk: Desk) -> None:
    go = asyncio.Event()
    first = await desk.first(go)
    others = [asyncio.ensure_future(desk.write(str(number))) for number in range(2 * MOST - 1)]
    await asyncio.sleep(0)
    go.set()
    await asyncio.gather(first, *others)
    assert desk.commits == 2


async def test_who_raises_takes_back_its_own_and_nothing_else(desk: Desk) -> None:
    go = asyncio.Event()
    first = await desk.first(go)
    others = [
        asyncio.ensure_future(desk.write("a")),
        asyncio.ensure_future(desk.write("bad", sql="INSERT INTO words VALUES (NULL)")),
        asyncio.ensure_future(desk.write("b")),
    ]
    await asyncio.sleep(0)
    go.set()
    a, bad, b = await asyncio.gather(*others, return_exceptions=True)
    await first
    assert (a, b) == (None, None)
    assert isinstance(bad, Exception)
    assert sorted(await desk.words()) == ["a", "b", "first"]


async def test_who_is_cancelled_keeps_nobody_waiting(desk: Desk) -> None:
    go, never = asyncio.Event(), asyncio.Event()
    first = await desk.first(go)
    stuck = asyncio.ensure_future(desk.write("stuck", until=never))
    waiting = asyncio.ensure_future(desk.write("waiting"))
    last = asyncio.ensure_future(desk.write("last"))
    await asyncio.sleep(0)
    waiting.cancel()  # before its turn
    go.set()
    await eventually(lambda: "stuck" in desk.begun)
    stuck.cancel()  # in its turn
    await asyncio.gather(first, last)
    assert sorted(await desk.words()) == ["first", "last"]


async def test_nobody_is_told_done_when_the_database_gave_the_transaction_up(desk: Desk) -> None:
    """As SQLite does when its disk is full: what was in the transaction is gone, whoever wrote it."""
    go = asyncio.Event()
    first = await desk.first(go)
    full = asyncio.ensure_future(desk.write("full", sql="ROLLBACK"))
    after = asyncio.ensure_future(desk.write("after"))
    await asyncio.sleep(0)
    go.set()
    outcomes = await asyncio.gather(first, full, after, return_exceptions=True)
    assert [type(each) for each in outcomes] == [Unavailable, Unavailable, type(None)]
    assert await desk.words() == ["after"]


async def test_a_commit_that_fails_is_raised_to_all(desk: Desk) -> None:
    go = asyncio.Event()
    first = await desk.first(go)
    other = asyncio.ensure_future(desk.write("a"))
    await asyncio.sleep(0)

    def fail(_connection: object) -> None:
        raise OperationalError("COMMIT", {}, Exception("disk I/O error"))

    event.listen(desk.engine.sync_engine, "commit", fail)
    go.set()
    outcomes = await asyncio.gather(first, other, return_exceptions=True)
    event.remove(desk.engine.sync_engine, "commit", fail)
    assert [type(each) for each in outcomes] == [OperationalError, OperationalError]
    assert await desk.words() == []
    await desk.write("again")
    assert await desk.words() == ["again"]


async def test_a_loop_that_ends_waits_for_no_unit(desk: Desk) -> None:
    """A second signal cancels every task at once, units in their turn and who conducts them alike."""
    never = asyncio.Event()
    before = asyncio.all_tasks()
    first = await desk.first(never)
    waiting = asyncio.ensure_future(desk.write("a"))
    await asyncio.sleep(0)
    ending = asyncio.all_tasks() - before
    for task in ending:
        task.cancel()
    _, left = await asyncio.wait(ending, timeout=5)
    assert (left, first.cancelled(), waiting.cancelled()) == (set(), True, True)
    await desk.write("again")
    assert await desk.words() == ["again"]


async def test_the_relay_has_its_turn_among_those_who_write(desk: Desk) -> None:
    """By itself it would wait for the lock, which those who queue up for it hand on to each other."""
    fact = Event(id="job_1:created", type="job.created", key="job_1", data=b"")
    async with desk.engine.begin() as connection:
        await connection.run_sync(tables.outbox.create)
        await append(connection, tables.outbox, [fact], clock=SystemClock())
    relay = Relay(desk.engine, tables.outbox, _Taker(), SystemClock(), writing=desk.shared.unit)
    go = asyncio.Event()
    first = await desk.first(go)
    round_ = asyncio.ensure_future(relay.run_once())
    await eventually(lambda: len(desk.shared._queue) == 1)
    claimed = desk.commits
    go.set()
    assert await round_ == 1
    await first
    assert desk.commits == claimed + 1
    assert await relay.run_once() == 0


class _Taker:
    async def publish(self, event: Event) -> int:
        return 1
