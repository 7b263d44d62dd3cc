"""Fills an empty database with the records that the journal tells of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Any

from sqlalchemy import Table, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from catalog.adapters.campaigns.repository import tag_rows
from catalog.adapters.db import tables as t
from catalog.adapters.generations import repository as of_generations
from catalog.adapters.jobs import repository as of_jobs
from catalog.adapters.journal.documents import FORM, JOURNAL, entry_of
from catalog.adapters.journal.repository import journal_row
from catalog.adapters.unit_of_work import EDITED, RECORD_TABLES
from catalog.core.budget.domain import Account
from catalog.core.generations.domain.model import Generation
from catalog.core.generations.domain.postings import balance
from catalog.core.jobs.domain.model import Job
from catalog.core.journal.domain.entry import Entity, Entry
from catalog.core.journal.domain.replay import Gap, Replay
from servicekit.clock import Clock
from servicekit.errors import Invalid, NotFound, Precondition
from servicekit.events import EventLog

_AT_ONCE = 1000
"""Rows of one statement."""

_REPORT_EVERY = 10_000
"""Entries between two calls that say how far it is."""

Rows = Iterator[dict[str, Any]]


@dataclass(frozen=True)
class RebuildReport:
    """What was made of the journal.

    Args:
        entries: how many were read.
        rows: how many were written, by table.
        unreadable: why entries could not be read; each leaves a gap.
        gaps: records of which entries are missing: they are as they were before.
        named: whether the journal has the name of the database. Else it got a new one, and no sweep removes
            anything from the blob store.
    """

    entries: int
    rows: Mapping[str, int]
    unreadable: Sequence[str]
    gaps: Sequence[Gap]
    named: bool


class Rebuild:
    """Reads the journal, and writes the rows of the records that it makes.

    Args:
        stalled_after: the setting of the catalog: it decides when what was under way is requested again.
        report: called with the number of entries that were read by now.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        log: EventLog,
        clock: Clock,
        *,
        stalled_after: timedelta,
        report: Callable[[int], None] = lambda _read: None,
    ) -> None:
        self._engine = engine
        self._log = log
        self._clock = clock
        self._stalled_after = stalled_after
        self._report = report

    async def run(self) -> RebuildReport:
        """Read the whole journal, then write every row in one transaction.

        Raises:
            Precondition: the database is not empty.
            NotFound: the log has no journal, or an empty one.
            Unavailable: the log or the database is away. Nothing was written.
        """
        async with self._engine.connect() as connection:
            await refuse_unless_empty(connection)
        replay, unreadable, read = Replay(), list[str](), 0
        async for event in self._log.read(JOURNAL.name):
            try:
                replay.add(entry_of(event.data))
            except Invalid as error:
                unreadable.append(f"{event.id}: {error.message}")
            read += 1
            if read % _REPORT_EVERY == 0:
                self._report(read)
        if not read:
            raise NotFound(
                f"the stream {JOURNAL.name} of the event log is empty: nothing can be rebuilt from it"
            )
        gaps = replay.gaps
        async with self._engine.begin() as connection:
            await refuse_unless_empty(connection)
            counts = await self._write(connection, replay)
            system = replay.records(Entity.SYSTEM)
            # With gaps revisions may come again that the journal has: it begins anew, with snapshots.
            values = {"journal_form": 0 if gaps or unreadable else FORM, "rebuilt_at": self._clock.now()}
            if system:
                values["id"] = system[0].id
            await connection.execute(update(t.system).values(values))
        return RebuildReport(read, counts, unreadable, gaps, bool(system))

    async def _write(self, connection: AsyncConnection, replay: Replay) -> Mapping[str, int]:
        counts: Counter[str] = Counter()
        for table, rows in _tables(replay, self._stalled_after):
            while some := list(islice(rows, _AT_ONCE)):
                await connection.execute(insert(table), some)
                counts[table.name] += len(some)
        if connection.dialect.name == "postgresql":  # it does not see ids that are given
            last = select(func.max(t.journal.c.id)).scalar_subquery()
            await connection.execute(select(func.setval("journal_id_seq", func.coalesce(last, 1))))
        return counts


async def refuse_unless_empty(connection: AsyncConnection) -> None:
    """Precondition when there is any record."""
    for table in RECORD_TABLES.values():
        if await connection.scalar(select(func.count()).select_from(select(table.c.id).limit(1).subquery())):
            raise Precondition(
                f"the database is not empty (it has {table.name}): only an empty one is rebuilt, so that "
                "nothing is lost; move it away, or name another one with DATABASE_URL"
            )


def _tables(replay: Replay, stalled_after: timedelta) -> Iterator[tuple[Table, Rows]]:
    jobs: list[Job] = replay.records(Entity.JOB)
    generations: list[Generation] = replay.records(Entity.GENERATION)
    for repository in EDITED:
        yield repository.table, map(repository.row, replay.records(repository.entity))
    yield t.asset_tags, (row for asset in replay.records(Entity.ASSET) for row in tag_rows(asset))
    yield t.jobs, (of_jobs.job_row(job, stalled_after) for job in jobs)
    yield t.scenes, (of_jobs.scene_row(job.id, scene) for job in jobs for scene in job.scenes)
    yield t.cuts, (of_jobs.cut_row(job.id, cut) for job in jobs for cut in job.cuts)
    yield t.generations, (of_generations.generation_row(each, stalled_after) for each in generations)
    yield t.attempts, (of_generations.attempt_row(g.id, each) for g in generations for each in g.attempts)
    yield t.outputs, (of_generations.output_row(g.id, each) for g in generations for each in g.outputs)
    with_media = of_generations.with_media
    yield t.media, (of_generations.media_row(g.id, each) for g in generations for each in with_media(g))
    yield t.accounts, _account_rows(generations)
    yield t.journal, _journal_rows(replay.timelines)


def _journal_rows(entries: Sequence[Entry]) -> Rows:
    """With their places as ids: the next entry comes behind them, also in a journal that is rebuilt again."""
    last = 0
    for entry in entries:
        last = max(entry.place, last + 1)
        yield {"id": last, **journal_row(entry)}


def _account_rows(generations: Sequence[Generation]) -> Rows:
    accounts: dict[str, Account] = {}
    for generation in generations:
        for posting in balance(generation):
            accounts[posting.account] = accounts.get(posting.account, Account()).post(posting)
    for name, account in sorted(accounts.items()):
        yield {"account": name, "spent_micros": account.spent, "reserved_micros": account.reserved}
