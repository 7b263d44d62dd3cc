"""The outbox over SQLite and PostgreSQL, against a real event log: nothing lost, nothing twice, in order."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import MetaData, delete, func, select, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from servicekit.database.engine import is_sqlite, open_engine
from servicekit.errors import Invalid, Unavailable
from servicekit.events import Event, EventLog
from servicekit.outbox import Backlog, Relay, append, first_time, inbox_table, outbox_table
from servicekit.outbox.inbox import trim_inbox
from servicekit.telemetry import traces
from servicekit.testing import STREAMS, NatsFixture, SimulatedClock, eventually

metadata = MetaData()
OUTBOX = outbox_table(metadata)
INBOX = inbox_table(metadata)


class Recorder:
    """A publisher that remembers, and fails on demand."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.broken: set[str] = set()
        self.errors = 0
        self.refused: set[str] = set()
        self.gate: asyncio.Event | None = None
        self.waiting = asyncio.Event()
        """Set once a call waits at the gate."""

    async def publish(self, event: Event) -> int:
        if self.gate is not None:
            self.waiting.set()
            await self.gate.wait()
        if event.id in self.broken:
            self.errors += 1
            raise Unavailable("the log is away")
        if event.id in self.refused:
            raise Invalid("more than the server takes in a message")
        self.ids.append(event.id)
        return len(self.ids)


class Storage(NamedTuple):
    engine: AsyncEngine
    clock: SimulatedClock

    async def commit(self, *ids: str, delay: float = 0.0, key: str = "job_1") -> None:
        async with self.engine.begin() as connection:
            events = [make_event(id_, key) for id_ in ids]
            await append(connection, OUTBOX, events, clock=self.clock, delay=delay)

    async def waiting(self) -> int:
        async with self.engine.connect() as connection:
            query = select(func.count()).where(OUTBOX.c.published_at.is_(None))
            return (await connection.execute(query)).scalar_one()

    def relay(self, log: object) -> Relay:
        return Relay(self.engine, OUTBOX, log, self.clock, poll=0.05)  # type: ignore[arg-type]


def make_event(id_: str, key: str = "job_1") -> Event:
    return Event(id=id_, type="job.created", key=key, data=id_.encode(), refs={"job": key})


@contextlib.asynccontextmanager
async def tables_in(database: str, clock: SimulatedClock) -> AsyncIterator[Storage]:
    engine = open_engine(database)
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    yield Storage(engine, clock)
    await engine.dispose()


@pytest.fixture
async def storage(database_url: str, clock: SimulatedClock) -> AsyncIterator[Storage]:
    async with tables_in(database_url, clock) as storage:
        yield storage


async def test_events_are_published_in_order_and_once(storage: Storage) -> None:
    log = Recorder()
    await storage.commit("a", "b")
    await storage.commit("c")
    assert await storage.relay(log).run_once() == 3
    assert await storage.relay(log).run_once() == 0
    assert log.ids == ["a", "b", "c"]


async def test_a_rolled_back_event_is_never_published(storage: Storage) -> None:
    log = Recorder()
    with pytest.raises(ZeroDivisionError):  # noqa: PT012  # the block is the transaction
        async with storage.engine.begin() as connection:
            await append(connection, OUTBOX, [make_event("a")], clock=storage.clock)
            raise ZeroDivisionError
    assert await storage.relay(log).run_once() == 0


async def test_an_event_that_could_not_be_published_is_refused_in_the_transaction(storage: Storage) -> None:
    async with storage.engine.begin() as connection:
        with pytest.raises(Invalid, match="type"):
            await append(connection, OUTBOX, [Event(id="a", type="nonsense", key="k")], clock=storage.clock)


async def test_a_delayed_event_waits(storage: Storage) -> None:
    log = Recorder()
    await storage.commit("late", delay=30)
    await storage.commit("now")
    assert await storage.relay(log).run_once() == 1
    storage.clock.advance(29)
    assert await storage.relay(log).run_once() == 0
    storage.clock.advance(1)
    assert await storage.relay(log).run_once() == 1
    assert log.ids == ["now", "late"]


async def test_a_waiting_event_delays_no_other_entity(storage: Storage) -> None:
    log = Recorder()
    log.broken = {"a"}
    await storage.commit("a", "b")
    await storage.commit("c", key="job_2")
    with pytest.raises(Unavailable):
        await storage.relay(log).run_once()
    assert log.ids == ["c"]
    assert await storage.waiting() == 2


async def test_an_error_preserves_the_order_of_an_entity(storage: Storage) -> None:
    log = Recorder()
    log.broken = {"b"}
    await storage.commit("a", "b", "c")
    with pytest.raises(Unavailable):
        await storage.relay(log).run_once()
    assert log.ids == ["a"]
    assert await storage.waiting() == 2
    log.broken = set()
    assert await storage.relay(log).run_once() == 2
    assert log.ids == ["a", "b", "c"]


async def test_a_refused_event_delays_no_other(storage: Storage) -> None:
    log = Recorder()
    log.refused = {"b"}
    before = REGISTRY.get_sample_value("rushes_outbox_refused_total") or 0
    await storage.commit("a", "b", "c")
    assert await storage.relay(log).run_once() == 2
    assert log.ids == ["a", "c"]
    after = REGISTRY.get_sample_value("rushes_outbox_refused_total")
    assert after == before + 1
    log.refused.clear()
    assert await storage.relay(log).run_once() == 0
    storage.clock.advance(3601)
    assert await storage.relay(log).run_once() == 1
    assert await storage.waiting() == 0


async def test_the_log_gets_everything_of_the_event(storage: Storage, nats: NatsFixture) -> None:
    log = EventLog(nats.url, service="catalog", clock=storage.clock, streams=STREAMS)
    await log.start()
    with traces.span("test"):
        trace = traces.trace_id()
        await storage.commit("a")
    storage.clock.advance(5)
    await storage.relay(log).run_once()
    events = await log.tail(after=0)
    event = await anext(events)
    assert (event.id, event.subject, event.data, event.source) == ("a", "job.created.job_1", b"a", "catalog")
    assert event.refs == {"job": "job_1"}
    assert event.time == storage.clock.now() - timedelta(seconds=5), (
        "when it became true, not when it was told"
    )
    assert trace in event.traceparent
    await events.aclose()  # type: ignore[attr-defined]
    await log.stop()


async def test_a_relay_killed_between_publishing_and_marking_stores_nothing_twice(
    storage: Storage, nats: NatsFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = EventLog(nats.url, service="catalog", clock=storage.clock, streams=STREAMS)
    await log.start()
    await storage.commit("a", "b")
    dying = storage.relay(log)

    async def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(dying, "_mark", killed)
    with pytest.raises(KeyboardInterrupt):
        await dying.run_once()
    assert await storage.waiting() == 2
    assert await storage.relay(log).run_once() == 2
    assert (await log.js.stream_info("RUSHES")).state.messages == 2
    assert await storage.waiting() == 0
    await log.stop()


async def test_the_running_relay_is_woken_survives_an_outage_and_stops(storage: Storage) -> None:
    log = Recorder()
    relay = Relay(storage.engine, OUTBOX, log, storage.clock, poll=0.05)
    await relay.start()
    await storage.commit("a")
    relay.wake()
    await eventually(lambda: log.ids == ["a"])
    log.broken = {"b"}
    await storage.commit("b")
    relay.wake()
    await eventually(lambda: log.errors >= 2)  # tried again by itself, and again in vain
    assert log.ids == ["a"]
    log.broken = set()
    await eventually(lambda: log.ids == ["a", "b"])
    await relay.stop()
    await relay.stop()
    await storage.commit("c")
    relay.wake()
    assert await storage.waiting() == 1


async def test_the_relay_outlives_what_nobody_foresaw(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """uvloop says RuntimeError of a connection that closed a moment ago, where asyncio says nothing."""
    recorder = Recorder()
    relay = storage.relay(recorder)
    publish, failed = recorder.publish, asyncio.Event()

    async def closed(event: Event) -> int:
        if not failed.is_set():
            failed.set()
            raise RuntimeError("unable to perform operation on <TCPTransport>; the handler is closed")
        return await publish(event)

    monkeypatch.setattr(recorder, "publish", closed)
    await storage.commit("a")
    await relay.start()
    await eventually(lambda: recorder.ids == ["a"])
    assert failed.is_set()
    await relay.stop()


async def test_stop_does_not_wait_for_a_log_that_is_away(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("servicekit.outbox.relay.STOP_BUDGET", 0.1)
    log = Recorder()
    log.gate = asyncio.Event()
    relay = storage.relay(log)
    await storage.commit("a")
    await relay.start()
    await asyncio.wait_for(log.waiting.wait(), 10)
    await asyncio.wait_for(relay.stop(), 2)
    assert await storage.waiting() == 1


async def test_writers_do_not_wait_while_the_relay_publishes(storage: Storage) -> None:
    log = Recorder()
    log.gate = asyncio.Event()
    await storage.commit("a")
    publishing = asyncio.create_task(storage.relay(log).run_once())
    await asyncio.wait_for(log.waiting.wait(), 10)
    await asyncio.wait_for(storage.commit("b"), 2)
    log.gate.set()
    assert await publishing == 1


@pytest.fixture
async def shared(postgres_database: str, clock: SimulatedClock) -> AsyncIterator[Storage]:
    """A storage that several replicas may have."""
    async with tables_in(postgres_database, clock) as storage:
        yield storage


async def test_many_relays_publish_each_event_once_and_in_order(shared: Storage) -> None:
    log = Recorder()
    ids = [f"e{number}" for number in range(250)]
    await shared.commit(*ids)
    relays = [shared.relay(log) for _ in range(4)]
    while await shared.waiting():
        await asyncio.gather(*(relay.run_once() for relay in relays))
    assert log.ids == ids


async def test_a_relay_waits_for_the_round_of_another(shared: Storage) -> None:
    slow, fast = Recorder(), Recorder()
    fast.ids = slow.ids
    slow.gate = asyncio.Event()
    await shared.commit("a", "b")
    first = asyncio.create_task(shared.relay(slow).run_once())
    await asyncio.wait_for(slow.waiting.wait(), 10)
    await shared.commit("c")
    second = asyncio.create_task(shared.relay(fast).run_once())
    await eventually(lambda: _waits_for_a_lock(shared))
    slow.gate.set()
    assert (await first, await second) == (2, 1)
    assert slow.ids == ["a", "b", "c"]


async def _waits_for_a_lock(storage: Storage) -> bool:
    async with storage.engine.connect() as connection:
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        return bool((await connection.execute(text(waiting))).scalar_one())


async def test_the_round_of_a_killed_relay_goes_to_another_at_once(shared: Storage) -> None:
    killed, log = Recorder(), Recorder()
    killed.gate = asyncio.Event()
    await shared.commit("a", "b")
    dying = asyncio.create_task(shared.relay(killed).run_once())
    await asyncio.wait_for(killed.waiting.wait(), 10)
    taking_over = shared.relay(log)
    await taking_over.start()
    await eventually(lambda: _waits_for_a_lock(shared))
    async with shared.engine.begin() as connection:  # what the database sees of a kill
        await connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted")
        )
    await eventually(lambda: log.ids == ["a", "b"], within=2.0)
    killed.gate.set()
    with pytest.raises(DBAPIError):
        await dying
    await taking_over.stop()
    assert await shared.waiting() == 0


async def test_a_relay_that_hangs_loses_its_turn(shared: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    soon = text("SET LOCAL idle_in_transaction_session_timeout = '100ms'")
    monkeypatch.setattr("servicekit.outbox.relay._END_WHEN_IT_HANGS", soon)
    hanging, log = Recorder(), Recorder()
    hanging.gate = asyncio.Event()
    await shared.commit("a")
    hangs = asyncio.create_task(shared.relay(hanging).run_once())
    await asyncio.wait_for(hanging.waiting.wait(), 10)
    assert await shared.relay(log).run_once() == 1
    hanging.gate.set()
    with pytest.raises(DBAPIError):
        await hangs


async def test_two_that_trim_at_once_do_not_wait_for_each_other(shared: Storage) -> None:
    await shared.commit("a")
    await shared.relay(Recorder()).run_once()
    async with shared.engine.begin() as connection:
        await first_time(connection, INBOX, "catalog", "a", clock=shared.clock)
    shared.clock.advance(timedelta(days=2).total_seconds())
    async with shared.engine.begin() as connection:
        for table in (OUTBOX, INBOX):
            await connection.execute(delete(table))
        async with asyncio.timeout(5), shared.engine.begin() as other:
            assert await shared.relay(Recorder()).trim() == 0
            assert await trim_inbox(other, INBOX, timedelta(days=1), clock=shared.clock) == 0


async def test_published_rows_are_trimmed_after_a_day(storage: Storage) -> None:
    log = Recorder()
    await storage.commit("a")
    await storage.relay(log).run_once()
    await storage.commit("b")
    storage.clock.advance(timedelta(hours=23).total_seconds())
    assert await storage.relay(log).trim() == 0
    storage.clock.advance(timedelta(hours=2).total_seconds())
    assert await storage.relay(log).trim() == 1
    assert await storage.waiting() == 1


async def test_trimming_has_its_turn_among_those_who_write_and_leaves_no_row(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("servicekit.outbox.relay.TRIM", 2)
    turns = 0

    @contextlib.asynccontextmanager
    async def writing() -> AsyncIterator[AsyncConnection]:
        nonlocal turns
        turns += 1
        async with storage.engine.begin() as connection:
            yield connection

    await storage.commit("a", "b", "c", "d", "e")
    await storage.relay(Recorder()).run_once()
    storage.clock.advance(timedelta(hours=25).total_seconds())
    relay = Relay(storage.engine, OUTBOX, Recorder(), storage.clock, poll=0.01, writing=writing)
    await relay.start()
    await eventually(lambda: turns == 3)
    await relay.stop()
    async with storage.engine.connect() as connection:
        assert (await connection.execute(select(func.count()).select_from(OUTBOX))).scalar_one() == 0


async def test_a_failed_trimming_delays_no_event_and_is_repeated_an_hour_later(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Recorder()
    relay = storage.relay(log)
    tried: list[int] = []

    async def locked() -> int:
        tried.append(len(log.ids))
        raise OperationalError("DELETE", {}, Exception("database is locked"))

    monkeypatch.setattr(relay, "trim", locked)
    await storage.commit("a")
    await relay.start()
    await eventually(lambda: tried == [1])
    await storage.commit("b")
    relay.wake()
    await eventually(lambda: log.ids == ["a", "b"])
    storage.clock.advance(timedelta(hours=2).total_seconds())
    await eventually(lambda: len(tried) == 2)
    await relay.stop()
    assert tried == [1, 2]


async def test_what_waits_is_counted_while_the_log_is_away(storage: Storage) -> None:
    log = Recorder()
    log.broken = {"a"}
    log.refused = {"refused"}
    await storage.commit("a", "b", "c")
    await storage.commit("later", delay=30)
    await storage.commit("refused", key="job_2")
    relay = Relay(storage.engine, OUTBOX, log, storage.clock, poll=0.01)

    def waiting() -> float | None:
        return REGISTRY.get_sample_value("rushes_outbox_waiting_events")

    await relay.start()
    await eventually(lambda: waiting() == 3, within=5)
    storage.clock.advance(30)
    await eventually(lambda: waiting() == 4, within=5)
    log.broken = set()
    await eventually(lambda: waiting() == 0, within=5)
    await relay.stop()
    assert log.ids == ["a", "b", "c", "later"]


async def test_a_relay_is_not_ready_while_events_are_due_for_long(storage: Storage) -> None:
    log = Recorder()
    log.broken = {"a"}
    await storage.commit("a", "b")
    relay = storage.relay(log)
    assert await relay.backlog() == Backlog(events=2, oldest=0.0)
    storage.clock.advance(30)
    await relay.check_ready()
    storage.clock.advance(1)
    with pytest.raises(Unavailable, match="2 events wait in the outbox, the oldest for 31 s"):
        await relay.check_ready()
    log.broken = set()
    assert await relay.run_once() == 2
    assert await relay.backlog() == Backlog(events=0, oldest=0.0)
    await relay.check_ready()


async def test_the_inbox_knows_what_was_applied(storage: Storage) -> None:
    async with storage.engine.begin() as connection:
        assert await first_time(connection, INBOX, "catalog", "e1", clock=storage.clock)
    async with storage.engine.begin() as connection:
        assert not await first_time(connection, INBOX, "catalog", "e1", clock=storage.clock)
        assert await first_time(connection, INBOX, "other", "e1", clock=storage.clock)
    with pytest.raises(ZeroDivisionError):  # noqa: PT012  # the block is the transaction
        async with storage.engine.begin() as connection:
            assert await first_time(connection, INBOX, "catalog", "e2", clock=storage.clock)
            raise ZeroDivisionError
    async with storage.engine.begin() as connection:
        assert await first_time(connection, INBOX, "catalog", "e2", clock=storage.clock), (
            "its effect was undone"
        )


async def test_of_racing_appliers_one_is_the_first(storage: Storage) -> None:
    async def apply() -> bool:
        async with storage.engine.begin() as connection:
            first = await first_time(connection, INBOX, "catalog", "e1", clock=storage.clock)
            await asyncio.sleep(0.01)
            return first

    assert sorted(await asyncio.gather(*(apply() for _ in range(5)))) == [False] * 4 + [True]


async def test_racing_read_then_write_transactions_all_succeed(storage: Storage) -> None:
    """Deferred transactions on SQLite would fail here with "database is locked"."""
    async with storage.engine.begin() as connection:
        await connection.execute(text("CREATE TABLE counter (n integer)"))
        await connection.execute(text("INSERT INTO counter VALUES (0)"))

    async def add_one() -> None:
        read = "SELECT n FROM counter" if is_sqlite(storage.engine) else "SELECT n FROM counter FOR UPDATE"
        async with storage.engine.begin() as connection:
            n = (await connection.execute(text(read))).scalar_one()
            await asyncio.sleep(0.005)
            await connection.execute(text("UPDATE counter SET n = :n"), {"n": n + 1})

    await asyncio.gather(*(add_one() for _ in range(10)))
    async with storage.engine.begin() as connection:
        assert (await connection.execute(text("SELECT n FROM counter"))).scalar_one() == 10


async def test_sqlite_is_set_up_not_to_lose_a_commit(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/x.db")
    async with engine.connect() as connection:
        found = {
            name: (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
        }
    assert found == {"journal_mode": "wal", "synchronous": 2, "busy_timeout": 10000, "foreign_keys": 1}
    with pytest.raises(OperationalError):
        async with engine.begin() as connection:
            await connection.exec_driver_sql("SELECT * FROM missing")
    await engine.dispose()


@pytest.mark.parametrize("url", ["nonsense", "mysql://x/y", ""])
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(Invalid, match="DATABASE_URL"):
        open_engine(url)
