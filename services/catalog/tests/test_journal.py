"""Every change is in the journal, and a database that is made of it has the rows of the one that wrote it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from alembic import command
from alembic.script import ScriptDirectory
from catalog_core import IMAGE, VIDEO, CatalogCore
from catalog_jobs import planned, stitched
from journal_guard import ENTITY_OF, NOT_JOURNALED, journal_guard
from running_catalog import RunningCatalog, running
from sqlalchemy import Connection, column, delete, func, insert, inspect, select, update
from sqlalchemy import table as sql_table

from catalog.adapters.db import tables as t
from catalog.adapters.db.migrate import Migrator, alembic_config
from catalog.adapters.journal.documents import JOURNAL, entry_of
from catalog.adapters.journal_snapshots import JournalSnapshots
from catalog.adapters.rebuild import Rebuild, RebuildReport
from catalog.adapters.unit_of_work import SqlDatabase
from catalog.core.access.domain import Scope
from catalog.core.access.service import ApiKeyService, digest
from catalog.core.generations.domain.attempts import record_run_progress
from catalog.core.generations.domain.deletion import delete_generation
from catalog.core.generations.domain.requesting import cancel_generation
from catalog.core.journal.domain.entry import Entity
from catalog.core.journal.domain.replay import Gap, Replay
from events.topology import streams
from rushes.catalog.v1 import assets_pb2, clients_pb2, generations_pb2, jobs_pb2
from servicekit.clock import SystemClock
from servicekit.database.engine import open_engine
from servicekit.errors import Conflict, NotFound, Precondition
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
            left_out = {*without, "last_used_at", "traceparent"}
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
    async with engine.begin() as connection:
        await connection.run_sync(lambda sync: command.upgrade(alembic_config(sync), "head"))
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
    await catalog.asset(campaign.id, "tagged", tags=["exterior", "dusk"])
    wrong = await catalog.asset(campaign.id, "wrong", tags=["exterior"])
    await catalog.assets.DeleteAsset(assets_pb2.DeleteAssetRequest(id=wrong.id))
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


async def test_what_can_happen_to_records_is_rebuilt(
    core: CatalogCore, database_url: str, empty_database: str, log: EventLog
) -> None:
    await begin_journal(database_url, log)
    campaign = await core.campaign()
    await core.made(VIDEO, IMAGE, campaign_id=campaign, lose=True)
    gone = await core.made(VIDEO, IMAGE, campaign_id=campaign)
    core.clock.advance(5)
    await core.do(gone.id, partial(delete_generation, index=0))
    core.clock.advance(5)
    await core.do(gone.id, delete_generation)
    await core.end(await core.job(campaign), cut=True)
    over = await core.job(campaign)
    await core.end(over, cut=True)
    await core.storage_admin.delete(over.id)
    client = await core.clients.create(name="gone")
    await core.clients.update(client.id, name="soon gone")
    await core.clients.delete(client.id)
    keys = ApiKeyService(core.database, core.clock)
    key, record = await keys.create("ci", Scope.READ, None)
    await keys.authenticate(digest(key))
    await keys.revoke(record.id)

    await publish_all(database_url, log)
    report = await rebuild(empty_database, log)
    assert report.gaps == []
    assert await rows(empty_database) == await rows(database_url)


async def test_progress_has_no_entry_and_is_in_the_next_one(
    core: CatalogCore, database_url: str, empty_database: str, log: EventLog
) -> None:
    await begin_journal(database_url, log)
    made = await core.generation()
    attempt = (await core.attempts.begin(made.id)).attempt
    assert attempt is not None
    await core.attempts.record_submitted(attempt.id, "p1")
    entries = len(await core.outbox("journal.generation"))
    for percent in (20.0, 37.0):
        core.clock.advance(1)
        await core.do(made.id, partial(record_run_progress, percent=percent, message=f"frame {percent}"))
    assert len(await core.outbox("journal.generation")) == entries
    core.clock.advance(1)
    await core.do(made.id, cancel_generation)
    await publish_all(database_url, log)
    await rebuild(empty_database, log)
    assert await rows(empty_database) == await rows(database_url)
    engine = open_engine(empty_database)
    async with SqlDatabase(engine, core.clock, stalled_after=STALLED_AFTER).read() as unit:
        assert (await unit.generations.get(made.id)).percent == 37.0
    await engine.dispose()


# What is refused, and what is missing -------------------------------------------------------------


async def test_a_database_that_has_records_is_left_alone(
    core: CatalogCore, database_url: str, log: EventLog
) -> None:
    await core.campaign()
    before = await rows(database_url, without=["revision"])
    await begin_journal(database_url, log)
    await publish_all(database_url, log)
    engine = open_engine(database_url)
    with pytest.raises(Precondition, match="not empty"):
        await Rebuild(engine, log, SystemClock(), stalled_after=STALLED_AFTER).run()
    await engine.dispose()
    assert await rows(database_url, without=["revision"]) == before


async def test_without_a_journal_nothing_is_rebuilt(sqlite_database: str, nats: NatsFixture) -> None:
    log = EventLog(nats.url, service="test", clock=SystemClock(), streams=())
    await log.start()
    with pytest.raises(NotFound, match="no stream JOURNAL"):
        await rebuild(sqlite_database, log)
    await log.stop()
    log = EventLog(nats.url, service="test", clock=SystemClock(), streams=(JOURNAL,))
    await log.start()
    with pytest.raises(NotFound, match="JOURNAL of the event log is empty"):
        await rebuild(sqlite_database, log)
    await log.stop()


async def test_a_missing_entry_is_reported_and_the_record_is_as_it_was_before(
    core: CatalogCore, database_url: str, empty_database: str, log: EventLog
) -> None:
    await begin_journal(database_url, log)
    made = await core.made(VIDEO)
    whole = await core.made(VIDEO)
    await publish_all(database_url, log)
    subject = f"journal.generation.{made.id}"
    third = [event async for event in log.read(JOURNAL.name) if event.subject == subject][2]
    await log.js.delete_msg(JOURNAL.name, third.sequence)
    report = await rebuild(empty_database, log)
    assert report.gaps == [Gap(made.id, 2, 4)]
    rebuilt = await rows(empty_database)
    stages = {row["id"]: row["stage"] for row in rebuilt["generations"]}
    assert stages == {made.id: "submitting", whole.id: "completed"}
    # The revisions behind the gap are used: the rebuilt database begins its journal anew.
    await begin_journal(empty_database, log)
    await publish_all(empty_database, log)
    engine = open_engine(empty_database)
    replay = Replay()
    async for event in log.read(JOURNAL.name):
        replay.add(entry_of(event.data))
    await engine.dispose()
    assert replay.gaps == []
    assert {each.id: each.stage for each in replay.records(Entity.GENERATION)} == stages


async def _go_on_and_rebuild(
    core: CatalogCore, client_id: str, database_url: str, empty_database: str, log: EventLog
) -> None:
    """A catalog starts on a restored backup, a record changes, and the journal makes the same rows."""
    await begin_journal(database_url, log)
    await core.clients.update(client_id, name="afterwards")
    await publish_all(database_url, log)
    report = await rebuild(empty_database, log)
    assert report.gaps == []
    assert await rows(empty_database) == await rows(database_url)


async def test_a_restored_backup_begins_its_journal_anew(
    core: CatalogCore, database_url: str, empty_database: str, log: EventLog
) -> None:
    await begin_journal(database_url, log)
    made = await core.generation()
    client = await core.clients.create(name="before")
    await publish_all(database_url, log)
    backup = await rows(database_url)
    await core.clients.update(client.id, name="after")
    await core.do(made.id, cancel_generation)
    await publish_all(database_url, log)
    engine = open_engine(database_url)
    async with engine.begin() as connection:  # what restoring the backup comes to
        for table in (t.clients, t.generations):
            (row,) = backup[table.name]
            await connection.execute(update(table).values(row))
            await connection.execute(update(t.system).values(rebuilt_at=None))
    await engine.dispose()
    await _go_on_and_rebuild(core, client.id, database_url, empty_database, log)
    assert [row["name"] for row in (await rows(empty_database))["clients"]] == ["afterwards"]


@pytest.mark.usefixtures("rows_by_hand")
async def test_a_backup_is_noticed_when_the_last_entry_deletes_what_it_never_had(
    core: CatalogCore, database_url: str, empty_database: str, log: EventLog
) -> None:
    await begin_journal(database_url, log)
    client = await core.clients.create(name="before")
    await publish_all(database_url, log)
    engine = open_engine(database_url)
    async with engine.connect() as connection:
        backup = await connection.scalar(select(func.max(t.outbox.c.id)))
    await core.clients.update(client.id, name="lost")
    gone = await core.clients.create(name="gone")
    await core.clients.delete(gone.id)
    await publish_all(database_url, log)
    async with engine.begin() as connection:  # what restoring the backup comes to
        await connection.execute(delete(t.outbox).where(t.outbox.c.id > backup))
        await connection.execute(update(t.clients).values(name="before", revision=client.revision))
    await engine.dispose()
    await _go_on_and_rebuild(core, client.id, database_url, empty_database, log)


async def test_a_record_deleted_here_is_no_sign_of_a_backup(
    core: CatalogCore, database_url: str, log: EventLog
) -> None:
    await begin_journal(database_url, log)
    client = await core.clients.create(name="gone")
    await publish_all(database_url, log)
    await core.clients.delete(client.id)
    await begin_journal(database_url, log)  # the last entry is that it was made
    await publish_all(database_url, log)
    await begin_journal(database_url, log)  # the last entry is that it was deleted
    assert len(await core.outbox("journal.system")) == 1


async def test_a_log_that_lost_its_data_gets_snapshots(
    core: CatalogCore, database_url: str, empty_database: str, log: EventLog, nats: NatsFixture
) -> None:
    await begin_journal(database_url, log)
    await core.made(VIDEO)
    await publish_all(database_url, log)
    await nats.restart(wipe=True)
    await core.made(VIDEO)
    await publish_all(database_url, log)
    await begin_journal(database_url, log)
    await publish_all(database_url, log)
    report = await rebuild(empty_database, log)
    assert (report.gaps, report.named) == ([], True)
    assert await rows(empty_database) == await rows(database_url)


async def test_starts_before_anything_is_published_write_snapshots_once(
    core: CatalogCore, database_url: str, log: EventLog
) -> None:
    await core.campaign()
    before = await core.outbox("journal.client")
    engine = open_engine(database_url)
    replicas = [JournalSnapshots(engine, log, SystemClock()) for _ in range(3)]
    await asyncio.gather(*(each.start() for each in replicas))
    await begin_journal(database_url, log)
    await engine.dispose()
    assert len(await core.outbox("journal.system")) == 1
    assert len(await core.outbox("journal.client")) == len(before) + 1
    await publish_all(database_url, log)
    await begin_journal(database_url, log)
    assert len(await core.outbox("journal.system")) == 1


async def test_who_saves_or_deletes_what_has_changed_since_is_refused(core: CatalogCore) -> None:
    made = await core.generation()
    client = await core.clients.create(name="c")
    await core.do(made.id, cancel_generation)
    await core.clients.update(client.id, name="d")
    with pytest.raises(Conflict, match="read it again"):
        async with core.database.write() as unit:
            await unit.generations.save(made, cancel_generation(made, core.clock.now()))
    with pytest.raises(Conflict, match="read it again"):
        async with core.database.write() as unit:
            await unit.clients.save(replace(client, name="e"))
    with pytest.raises(Conflict, match=rf"client {client.id} has changed .* read it again"):
        async with core.database.write() as unit:
            await unit.clients.delete(client)
    assert (await core.clients.get(client.id)).name == "d"


# Databases of before ------------------------------------------------------------------------------


@pytest.mark.usefixtures("rows_by_hand")
async def test_an_older_database_begins_its_journal_with_snapshots(
    core: CatalogCore, database_url: str, sqlite_database: str, tmp_path: Path, log: EventLog
) -> None:
    campaign = await core.campaign()
    await core.made(VIDEO, IMAGE, campaign_id=campaign, lose=True)
    job = await core.job(campaign)
    clip = await core.made(VIDEO, campaign_id=campaign, job_id=job.id)
    await core.do(clip.id, delete_generation)
    await core.end(job, cut=True)
    await ApiKeyService(core.database, core.clock).create("ci", Scope.ADMIN, None)
    lines = [("job.created", "created"), ("job.failed", "x")]
    await _copy_to_before_the_journal(database_url, sqlite_database, job.id, lines)
    before = await rows(database_url, without=["revision"])

    await begin_journal(sqlite_database, log)
    after = await rows(sqlite_database, without=["revision"])
    assert {**after, "journal": []} == {**before, "journal": []}
    engine = open_engine(sqlite_database)
    upgraded = SqlDatabase(engine, core.clock, stalled_after=STALLED_AFTER)
    async with upgraded.write() as unit:
        assert [(each.type, each.message) for each in (await unit.jobs.timelines(job.id))[job.id]] == lines
        generation = await unit.generations.get(clip.id, lock=True, deleted=True)
        assert generation.revision > 1_000_000
    await publish_all(sqlite_database, log)
    async with sqlite_url(tmp_path) as url:
        report = await rebuild(url, log)
        assert (report.gaps, report.named) == ([], True)
        assert await rows(url) == await rows(sqlite_database)
    await engine.dispose()
    await begin_journal(sqlite_database, log)
    assert await rows(sqlite_database, without=["revision"]) == after, "once is enough"


def _columns(connection: Connection, table: str) -> set[str]:
    there = inspect(connection)
    return {each["name"] for each in there.get_columns(table)} if there.has_table(table) else set()


async def _copy_to_before_the_journal(
    url: str, copy: str, job_id: str, lines: Sequence[tuple[str, str]]
) -> None:
    """A database as the migration before the journal's has it, with the rows of another one."""
    scripts = ScriptDirectory.from_config(alembic_config())
    previous = str(scripts.get_revision("0008").down_revision)
    source, target = open_engine(url), open_engine(copy)
    async with source.connect() as reading, target.begin() as writing:
        await writing.run_sync(lambda sync: command.upgrade(alembic_config(sync), previous))
        for table in ENTITY_OF:
            names = await writing.run_sync(_columns, table.name)
            if not names:
                continue  # it came later
            columns = [column for column in table.c if column.name in names]
            old = sql_table(table.name, *(column(each.name, each.type) for each in columns))
            found = [dict(row._mapping) for row in await reading.execute(select(*columns))]
            if found:
                await writing.execute(insert(old), found)
        texts = sql_table("timeline", *(column(name) for name in ("job_id", "at", "type", "message")))
        entries = [
            {"job_id": job_id, "at": 1_767_268_800_000_000 + number, "type": type_, "message": message}
            for number, (type_, message) in enumerate(lines)
        ]
        await writing.execute(insert(texts), entries)
    await source.dispose()
    await target.dispose()


# The rules ----------------------------------------------------------------------------------------


def test_every_table_is_journaled_or_named_with_its_reason() -> None:
    assert {*ENTITY_OF, *NOT_JOURNALED} == set(t.metadata.tables.values())
    assert not ENTITY_OF.keys() & NOT_JOURNALED.keys()


@pytest.mark.usefixtures("rows_by_hand")
async def test_the_guard_sees_a_row_that_changes_without_an_entry(core: CatalogCore) -> None:
    client = await core.clients.create(name="c")
    with journal_guard() as guard:
        async with core.database.write() as unit:
            await unit._connection.execute(update(t.clients).values(name="d"))
        async with core.database.write() as unit:
            await unit.clients.save(replace(client, name="e"))
    assert len(guard.problems) == 1
    assert "UPDATE clients" in guard.problems[0]
