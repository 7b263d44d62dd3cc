"""The relay: takes committed events in their order, publishes each and marks it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any, Protocol

import structlog
from prometheus_client import Counter
from sqlalchemy import Row, Table, bindparam, delete, select, text, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from servicekit.clock import Clock
from servicekit.database.turn import take_turn
from servicekit.errors import AppError, Invalid, Unavailable
from servicekit.events.event import Event
from servicekit.outbox.backlog import Backlog, BacklogMeter
from servicekit.outbox.tables import micros, moment
from servicekit.process.lifecycle import Tasks

BATCH = 100
"""Events per transaction: their rows stay locked while they are published."""

STOP_BUDGET = 3.0
"""Seconds to finish the current round, at stop."""

KEEP = timedelta(days=1)
"""How long published rows stay, for people who look."""

TRIM = 500
"""Rows removed in one transaction, and between two rounds: publishing does not wait for a million of them."""

MEASURE = 5
"""Polls between two counts of the backlog."""

REFUSED_FOR = timedelta(hours=1)
"""How long a refused event is postponed: long enough for somebody to see it in the logs."""

HANGS_AFTER = 60
"""Seconds without a word to the database after which it ends a round: the replica hangs, or its machine is
gone. Twice as long as the log lets a publisher wait."""

STUCK_AFTER = 30.0
"""Seconds that an event may be due before the relay is not ready: a restart of the log takes less."""

PUBLISHED = Counter("rushes_outbox_published", "Events published from the outbox")
REFUSED = Counter(
    "rushes_outbox_refused", "Times that the log refused an event, which is retried after an hour"
)


_END_WHEN_IT_HANGS = text(f"SET LOCAL idle_in_transaction_session_timeout = '{HANGS_AFTER}s'")


class Publisher(Protocol):
    """What the relay needs of the event log."""

    async def publish(self, event: Event) -> int:
        """Store the event durably, or raise."""
        ...


class Relay:
    """A Part; any number of replicas may run one over the same PostgreSQL table.

    An event is published at least once: a crash between publishing and marking publishes it again, with the
    same id, which the log drops. Events of different entities are published concurrently; those of one entity
    keep their order, and wait for the first that cannot be published now.

    Replicas take turns: on PostgreSQL a round holds an advisory lock, for which the others wait. It ends with
    the connection: a replica that is killed in a round leaves it to the next one at once, and one that hangs
    is cut off by the database after `HANGS_AFTER`.

    Args:
        engine: the service's engine.
        poll: seconds between rounds when nobody calls `wake`; also how late a delayed event may be.
        writing: opens a writing transaction on SQLite; for services whose own writers queue for its one lock
            and would starve a relay that does not. (On PostgreSQL rows are marked where they are locked.)
    """

    def __init__(
        self,
        engine: AsyncEngine,
        table: Table,
        log: Publisher,
        clock: Clock,
        *,
        poll: float = 1.0,
        writing: Callable[[], AbstractAsyncContextManager[AsyncConnection]] | None = None,
    ) -> None:
        self._engine = engine
        self._writing = writing or engine.begin
        # Built once: building these statements costs more than running them.
        self._due = (
            select(table)
            .where(table.c.published_at.is_(None), table.c.not_before <= bindparam("now"))
            .order_by(table.c.id)
            .limit(BATCH)
        )
        self._turn = f"relay of {table.name}"
        old = select(table.c.id).where(table.c.published_at < bindparam("limit")).limit(TRIM)
        old = old.with_for_update(skip_locked=True)  # two that trim at once wait for each other's rows never
        self._trim = delete(table).where(table.c.id.in_(old))
        self._of = update(table).where(table.c.id.in_(bindparam("ids", expanding=True)))
        self._events = log
        self._clock = clock
        self._poll = poll
        self._backlog = BacklogMeter(engine, table, clock)
        # Apart from the rounds: the backlog matters most while they are stuck.
        self._measuring = Tasks().every(MEASURE * poll, self._backlog.set_gauges, "outbox backlog")
        self._log = structlog.get_logger("servicekit.outbox")
        self._awake = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        self._stopping = False

    async def start(self) -> None:
        if self._loop is None:
            self._stopping = False
            await self._measuring.start()
            self._loop = asyncio.get_running_loop().create_task(self._run(), name="outbox relay")

    async def stop(self) -> None:
        """Finish the current round; the rest waits for the next start."""
        loop, self._loop = self._loop, None
        if loop is None:
            return
        await self._measuring.stop()
        self._stopping = True
        self._awake.set()
        await asyncio.wait([loop], timeout=STOP_BUDGET)
        if not loop.done():  # the log is away: `run_once` still marks what is published
            loop.cancel()
            await asyncio.wait([loop], timeout=STOP_BUDGET)
        self._stopping = False

    def wake(self) -> None:
        """Run a round now: to be called after a commit."""
        self._awake.set()

    async def backlog(self) -> Backlog:
        """What is due and not published, as the database has it now."""
        return await self._backlog.measure()

    async def check_ready(self) -> None:
        """Unavailable when the database is away, or an event is due for longer than `STUCK_AFTER`: what is
        committed has no effect."""
        try:
            backlog = await self.backlog()
        except (SQLAlchemyError, OSError) as error:
            raise Unavailable(f"the database does not answer ({type(error).__name__})") from error
        if backlog.oldest > STUCK_AFTER:
            raise Unavailable(
                f"{backlog.events} events wait in the outbox, the oldest for {backlog.oldest:.0f} s"
            )

    async def run_once(self) -> int:
        """One round: publish what is due, in order, up to `BATCH`; answers how many.

        Raises:
            AppError: the log refused or is away. What was published before it is marked.
        """
        async with self._engine.connect() as connection:
            # On SQLite: reading takes no write lock (see `servicekit.database.engine`).
            await connection.execution_options(read_only=True)
            rows = await self._claim(connection)
            published: list[int] = []
            refused: list[int] = []
            try:
                outcomes = await asyncio.gather(
                    *(self._publish(chain, published, refused) for chain in _chains(rows)),
                    return_exceptions=True,
                )
            finally:
                # Also when the round ends early: what the log has is marked. Cancelled right here, it is
                # published again, and the log drops the duplicate.
                if published or refused:
                    async with self._marking(connection) as writing:
                        await self._mark(writing, published, refused)
                PUBLISHED.inc(len(published))
        for outcome in outcomes:
            if outcome is not None:
                raise outcome
        return len(published)

    async def _publish(self, chain: Sequence[Row[Any]], published: list[int], refused: list[int]) -> None:
        """Publish one entity's events in order, up to the first that cannot be published now.

        What the log has goes to `published`; what it never takes (too large, say) goes to `refused`, and
        delays no other.
        """
        for row in chain:
            if self._stopping:
                return
            try:
                await self._events.publish(_event(row))
            except Invalid as error:
                self._log.error("event postponed: the log refuses it", id=row.event_id, error=error.message)
                REFUSED.inc()
                refused.append(row.id)
            else:
                published.append(row.id)

    async def trim(self) -> int:
        """Remove rows published longer than `KEEP` ago, at most `TRIM` of them; answers how many."""
        limit = micros(self._clock.now() - KEEP)
        async with self._writing() as connection:
            done = await connection.execute(self._trim, {"limit": limit})
        return done.rowcount

    async def _claim(self, connection: AsyncConnection) -> Sequence[Row[Any]]:
        """The rows that are due, by id. PostgreSQL: no other relay has them until the transaction ends.

        SQLite serves one process; its transaction ends here, or every writer would wait for the network.
        """
        alone = connection.dialect.name == "sqlite"
        if not alone:
            await connection.execute(_END_WHEN_IT_HANGS)
        await take_turn(connection, self._turn)
        rows = (await connection.execute(self._due, {"now": micros(self._clock.now())})).all()
        if alone:
            await connection.commit()
        return rows

    def _marking(self, claiming: AsyncConnection) -> AbstractAsyncContextManager[AsyncConnection]:
        """The transaction to mark in; leaving it commits."""
        return self._writing() if claiming.dialect.name == "sqlite" else _committed(claiming)

    async def _mark(
        self, connection: AsyncConnection, published: Sequence[int], refused: Sequence[int]
    ) -> None:
        if refused:
            later = micros(self._clock.now() + REFUSED_FOR)
            await connection.execute(self._of, {"ids": refused, "not_before": later})
        if published:
            now = micros(self._clock.now())
            await connection.execute(self._of, {"ids": published, "published_at": now})

    async def _run(self) -> None:
        trimmed = self._clock.now() - KEEP
        while not self._stopping:
            self._awake.clear()
            count = 0
            try:
                count = await self.run_once()
            except AppError as error:
                self._log.warning("events wait: the log does not store them", error=error.message)
            except (SQLAlchemyError, OSError) as error:
                self._log.warning("events wait: the database does not answer", error=type(error).__name__)
            except Exception:  # noqa: BLE001  # a driver's own fault, say: nobody would restart the relay
                self._log.exception("events wait: a round of the relay failed")
            if self._clock.now() - trimmed > KEEP / 24 and await self._trimmed():
                trimmed = self._clock.now()
            if count < BATCH:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._awake.wait(), self._poll)

    async def _trimmed(self) -> bool:
        """Trim; whether that is done for now: nothing is left, or it failed and is repeated in an hour."""
        try:
            return await self.trim() < TRIM
        except Exception:  # noqa: BLE001  # whatever it was: no event may wait for it
            self._log.exception("published events not removed: tried again in an hour")
            return True


@contextlib.asynccontextmanager
async def _committed(connection: AsyncConnection) -> AsyncIterator[AsyncConnection]:
    yield connection
    await connection.commit()


def _chains(rows: Sequence[Row[Any]]) -> Sequence[Sequence[Row[Any]]]:
    """By entity, in order. They are published concurrently: each acknowledgement takes a millisecond."""
    chains: dict[tuple[str, str], list[Row[Any]]] = {}
    for row in rows:
        entity = row.type.partition(".")[0]
        chains.setdefault((entity, row.key), []).append(row)
    return list(chains.values())


def _event(row: Row[Any]) -> Event:
    return Event(
        id=row.event_id,
        type=row.type,
        key=row.key,
        data=bytes(row.data),
        time=moment(row.created_at),
        refs=row.refs,
        traceparent=row.traceparent,
    )
