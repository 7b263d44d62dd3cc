"""Every change is in the journal, and a database that is made of it has the rows of the one that wrote it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest_asyncio
from catalog_jobs import planned, stitched
from journal_guard import ENTITY_OF
from running_catalog import RunningCatalog, running
from sqlalchemy import select

from catalog.adapters.db import tables as t
from catalog.adapters.db.migrate import Migrator
from catalog.adapters.journal.documents import JOURNAL
from catalog.adapters.journal.rebuild import Rebuild, RebuildReport
from catalog.adapters.journal.snapshots import JournalSnapshots
from events.topology import streams
from rushes.catalog.v1 import clients_pb2, generations_pb2, jobs_pb2
from servicekit.clock import SystemClock
from servicekit.database.engine import open_engine
from servicekit.events import EventLog
from servicekit.outbox import Relay
from servicekit.testing import NatsFixture, PostgresServer, sqlite_url

STALLED_AFTER = timedelta(seconds=60)
"""As the settings of a running catalog have it."""


@pytest_asyncio.fixture
async def empty_database(_database_server: PostgresServer | None, tmp_path: Path) -> AsyncIterator[str]:
    """A second database, of the same kind as `database_url`."""
    async with sqlite_url(tmp_path) if _database_server is None else _database_server.database() as url:
        yield url


@pytest_asyncio.fixture
async def log(nats: NatsFixture) -> AsyncIterator[EventLog]:
    log = EventLog(nats.url, service="test", clock=SystemClock(), streams=(*streams(), JOURNAL))
    await log.start()
    yield log
    await log.stop()


async def rows(url: str, *, without: Sequence[str] = ()) -> dict[str, list[dict[str, Any]]]:
    """Every row that the journal tells of, by table."""
    engine = open_engine(url)
    found = {}
    async with engine.connect() as connection:
        for table in (*ENTITY_OF, t.journal):
            left_out = {*without, "last_used_at"} | ({"id"} if table is t.journal else set())
            made = [
                {name: value for name, value in row._mapping.items() if name not in left_out}
                for row in await connection.execute(select(table))
            ]
            if table is t.accounts:  # a row of nothing is made when somebody looks whether there is room
                made = [row for row in made if row["spent_micros"] or row["reserved_micros"]]
            found[table.name] = sorted(made, key=repr)
    await engine.dispose()
    return found


async def rebuild(url: str, log: EventLog) -> RebuildReport:
    engine = open_engine(url)
    migrator = Migrator(engine)
    await migrator.start()
    try:
        return await Rebuild(engine, log, SystemClock(), stalled_after=STALLED_AFTER).run()
    finally:
        await migrator.stop()


async def begin_journal(url: str, log: EventLog) -> None:
    """What a catalog does when it starts on this database."""
    engine = open_engine(url)
    await Migrator(engine).start()
    await JournalSnapshots(engine, log, SystemClock()).start()
    await engine.dispose()


async def publish_all(url: str, log: EventLog) -> None:
    engine = open_engine(url)
    relay = Relay(engine, t.outbox, log, SystemClock())
    while await relay.run_once():
        pass
    await engine.dispose()


# A busy catalog -----------------------------------------------------------------------------------


async def test_a_database_is_rebuilt_row_by_row_after_a_busy_run(
    database_url: str, empty_database: str, nats: NatsFixture, log: EventLog
) -> None:
    async with running(database_url, nats.url) as catalog:
        job_id = await _busy_run(catalog)
        timeline_before = (await catalog.job(job_id)).timeline
    await publish_all(database_url, log)
    report = await rebuild(empty_database, log)
    assert (report.gaps, report.unreadable, report.named) == ([], [], True)
    original, rebuilt = await rows(database_url), await rows(empty_database)
    for name, expected in original.items():
        assert expected, name
        assert rebuilt[name] == expected, name
    # It goes on where the other was: the run that was under way ends, and its money is right.
    async with running(empty_database, nats.url) as catalog:
        assert (await catalog.job(job_id)).timeline == timeline_before
        only = generations_pb2.ListGenerationsRequest(model="rushes/slow")
        (under_way,) = (await catalog.generations.ListGenerations(only)).generations
        attempt = (await catalog.begin(under_way.id)).attempt
        await catalog.succeed(attempt)
        await catalog.store(attempt)
        await catalog.stage(under_way.id, "completed")


async def _busy_run(catalog: RunningCatalog) -> str:
    campaign = await catalog.campaign(budget_cents=500)
    await catalog.clients.UpdateClient(
        clients_pb2.UpdateClientRequest(id=campaign.client_id, brand_guidelines="calm")
    )
    made = await asyncio.gather(*(catalog.generation(campaign.id) for _ in range(6)))
    good, refused, retried, lost, canceled, deleted = (each.id for each in made)
    await catalog.generation(campaign.id, model="rushes/waits")

    await catalog.made(good)
    await catalog.fail(await catalog.submitted(refused))
    await catalog.stage(refused, "failed")
    attempt = await catalog.submitted(retried)
    await catalog.fail(attempt, "E6716", retryable=True)
    await catalog.stage(retried, "requested")
    attempt = await catalog.submitted(lost)
    await catalog.succeed(attempt)
    await catalog.lose(attempt, retryable=False)
    await catalog.stage(lost, "failed")
    await catalog.generations.CancelGeneration(generations_pb2.CancelGenerationRequest(id=canceled))
    await catalog.made(deleted)
    await catalog.stage(deleted, "completed")
    await catalog.delete(deleted)
    await catalog.stage(good, "completed")

    job = await planned(catalog, campaign.id)
    job = await catalog.jobs.ApproveJob(jobs_pb2.ApproveJobRequest(id=job.id))
    for generation_id in (*(each.generation_id for each in job.scenes), job.edit.music.generation_id):
        await catalog.made(generation_id)
    await catalog.status(job.id, "stitching")
    await stitched(catalog, job.id)
    await catalog.status(job.id, "completed")
    other = await planned(catalog, campaign.id)
    await catalog.jobs.CancelJob(jobs_pb2.CancelJobRequest(id=other.id))

    slow = await catalog.generation(model="rushes/slow")
    await catalog.submitted(slow.id)
    return str(job.id)
