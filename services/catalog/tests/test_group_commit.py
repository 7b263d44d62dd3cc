"""Units of work that share SQLite's commits: each fails by itself, and all are synced together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from catalog.adapters.db import tables
from catalog.adapters.db.group_commit import MAX_MEMBERS, GroupCommit
from servicekit.clock import SystemClock
from servicekit.database.engine import open_engine
from servicekit.errors import Unavailable
from servicekit.events import Event
from servicekit.outbox import Relay, append
from servicekit.testing import eventually


class Words:
    """A table of words, and a count of its commits."""

    def __init__(self, folder: Path) -> None:
        self.engine = open_engine(f"sqlite:///{folder / 'words.db'}")
        self.group = GroupCommit(self.engine.execution_options(short=True))
        self.commits = 0
        self.begun: list[str] = []
        self.returned: list[tuple[str, int]] = []
        """Words whose writer has returned, with the number of commits by then."""
        event.listen(self.engine.sync_engine, "commit", self._count)

    def _count(self, _connection: object) -> None:
        self.commits += 1

    async def write(self, word: str, *, until: asyncio.Event | None = None, sql: str = "") -> None:
        async with self.group.transaction() as connection:
            self.begun.append(word)
            await connection.exec_driver_sql("INSERT INTO words VALUES (?)", (word,))
            if until is not None:
                await until.wait()
            if sql:
                await connection.exec_driver_sql(sql)
        self.returned.append((word, self.commits))

    async def stored(self) -> list[str]:
        async with self.engine.connect() as connection:
            return list((await connection.exec_driver_sql("SELECT word FROM words")).scalars())

    async def first(self, go: asyncio.Event) -> asyncio.Task[None]:
        """A writer that has the transaction and holds it until `go`; who comes now waits together."""
        task = asyncio.ensure_future(self.write("first", until=go))
        await eventually(lambda: self.begun == ["first"])
        return task


@pytest_asyncio.fixture
async def words(tmp_path: Path) -> AsyncIterator[Words]:
    words = Words(tmp_path)
    async with words.engine.begin() as connection:
        await connection.exec_driver_sql("CREATE TABLE words (word TEXT NOT NULL)")
    words.commits = 0
    yield words
    await words.engine.dispose()


async def test_those_who_wait_share_a_commit_and_return_after_it(words: Words) -> None:
    go = asyncio.Event()
    first = await words.first(go)
    others = [asyncio.ensure_future(words.write(word)) for word in "abcde"]
    await asyncio.sleep(0)
    assert words.returned == []
    go.set()
    await asyncio.gather(first, *others)
    assert words.commits == 1
    assert {commits for _, commits in words.returned} == {1}
    assert sorted(await words.stored()) == ["a", "b", "c", "d", "e", "first"]
    await words.write("alone")
    assert words.commits == 2


async def test_a_transaction_does_not_grow_without_end(words: Words) -> None:
    go = asyncio.Event()
    first = await words.first(go)
    others = [asyncio.ensure_future(words.write(str(number))) for number in range(2 * MAX_MEMBERS - 1)]
    await asyncio.sleep(0)
    go.set()
    await asyncio.gather(first, *others)
    assert words.commits == 2


async def test_one_that_raises_takes_back_its_own_and_nothing_else(words: Words) -> None:
    go = asyncio.Event()
    first = await words.first(go)
    others = [
        asyncio.ensure_future(words.write("a")),
        asyncio.ensure_future(words.write("bad", sql="INSERT INTO words VALUES (NULL)")),
        asyncio.ensure_future(words.write("b")),
    ]
    await asyncio.sleep(0)
    go.set()
    a, bad, b = await asyncio.gather(*others, return_exceptions=True)
    await first
    assert (a, b) == (None, None)
    assert isinstance(bad, Exception)
    assert sorted(await words.stored()) == ["a", "b", "first"]


async def test_one_that_is_cancelled_lets_nobody_wait(words: Words) -> None:
    go, never = asyncio.Event(), asyncio.Event()
    first = await words.first(go)
    stuck = asyncio.ensure_future(words.write("stuck", until=never))
    waiting = asyncio.ensure_future(words.write("waiting"))
    last = asyncio.ensure_future(words.write("last"))
    await asyncio.sleep(0)
    waiting.cancel()  # before its turn
    go.set()
    await eventually(lambda: "stuck" in words.begun)
    stuck.cancel()  # in its turn
    await asyncio.gather(first, last)
    assert sorted(await words.stored()) == ["first", "last"]


async def test_nobody_returns_normally_when_the_database_gave_the_transaction_up(words: Words) -> None:
    """As SQLite does when its disk is full: what was in the transaction is gone, whoever wrote it."""
    go = asyncio.Event()
    first = await words.first(go)
    full = asyncio.ensure_future(words.write("full", sql="ROLLBACK"))
    after = asyncio.ensure_future(words.write("after"))
    await asyncio.sleep(0)
    go.set()
    outcomes = await asyncio.gather(first, full, after, return_exceptions=True)
    assert [type(each) for each in outcomes] == [Unavailable, Unavailable, type(None)]
    assert await words.stored() == ["after"]


async def test_a_commit_that_fails_is_raised_to_all(words: Words) -> None:
    go = asyncio.Event()
    first = await words.first(go)
    other = asyncio.ensure_future(words.write("a"))
    await asyncio.sleep(0)

    def fail(_connection: object) -> None:
        raise OperationalError("COMMIT", {}, Exception("disk I/O error"))

    event.listen(words.engine.sync_engine, "commit", fail)
    go.set()
    outcomes = await asyncio.gather(first, other, return_exceptions=True)
    event.remove(words.engine.sync_engine, "commit", fail)
    assert [type(each) for each in outcomes] == [OperationalError, OperationalError]
    assert await words.stored() == []
    await words.write("again")
    assert await words.stored() == ["again"]


async def test_a_loop_that_ends_waits_for_no_writer(words: Words) -> None:
    """A second signal cancels every task at once: writers, and the one that runs the transactions."""
    never = asyncio.Event()
    before = asyncio.all_tasks()
    first = await words.first(never)
    waiting = asyncio.ensure_future(words.write("a"))
    await asyncio.sleep(0)
    ending = asyncio.all_tasks() - before
    for task in ending:
        task.cancel()
    _, left = await asyncio.wait(ending, timeout=5)
    assert (left, first.cancelled(), waiting.cancelled()) == (set(), True, True)
    await words.write("again")
    assert await words.stored() == ["again"]


async def test_the_relay_queues_up_with_those_who_write(words: Words) -> None:
    """By itself it would wait for the lock, which those who queue up pass on to each other."""
    created = Event(id="job_1:created", type="job.created", key="job_1", data=b"")
    async with words.engine.begin() as connection:
        await connection.run_sync(tables.outbox.create)
        await append(connection, tables.outbox, [created], clock=SystemClock())
    relay = Relay(
        words.engine, tables.outbox, _PublishesAll(), SystemClock(), writing=words.group.transaction
    )
    go = asyncio.Event()
    first = await words.first(go)
    round_ = asyncio.ensure_future(relay.run_once())
    await eventually(lambda: len(words.group._queue) == 1)
    claimed = words.commits
    go.set()
    assert await round_ == 1
    await first
    assert words.commits == claimed + 1
    assert await relay.run_once() == 0


class _PublishesAll:
    async def publish(self, event: Event) -> int:
        return 1
