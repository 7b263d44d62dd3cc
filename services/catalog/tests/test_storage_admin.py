"""Storage over SQLite and PostgreSQL: numbers, pages and deletion."""

from __future__ import annotations

from datetime import timedelta

import pytest
from alembic import command
from catalog_core import IMAGE, VIDEO, CatalogCore
from generation_life import stored, succeeded
from sqlalchemy import JSON, column, insert, table

from catalog.adapters.db.migrate import Migrator, alembic_config
from catalog.adapters.unit_of_work import SqlDatabase
from catalog.core.budget.domain import campaign_account, day_account
from catalog.core.generations.domain.model import Generation, Stage
from catalog.core.generations.domain.recovery import requeue_download
from catalog.core.generations.ports import GenerationFilter
from catalog.core.shared.domain import MediaKind
from catalog.core.shared.paging import PageRequest
from catalog.core.storage.admin import deletable_kind
from catalog.core.storage.domain.blob_keys import cut_key, cut_thumbnail_key
from catalog.core.storage.domain.files import DownloadCounts, Usage
from servicekit.database.engine import open_engine
from servicekit.errors import Invalid, NotFound, Precondition
from servicekit.ids import new_id
from servicekit.testing import SimulatedClock


async def test_the_numbers_are_those_of_what_is_there(core: CatalogCore) -> None:
    campaign = await core.campaign()
    await core.made(VIDEO, VIDEO)
    await core.made(IMAGE, lose=True)
    await core.end(await core.job(campaign), cut=True)
    stats = await core.storage_admin.stats(PageRequest())
    assert stats.by_kind == {MediaKind.VIDEO: Usage(3, 6400), MediaKind.IMAGE: Usage(1, 30)}
    assert stats.total == Usage(4, 6430)
    assert stats.downloads == DownloadCounts(completed=3, failed=1)
    core.clock.advance(3601)
    assert (await core.storage_admin.stats(PageRequest())).downloads.lost == 1
    lost = next(each for each in (await _page(core)) if each.lost)
    await core.do(lost.id, requeue_download)
    assert (await core.storage_admin.stats(PageRequest())).downloads == DownloadCounts(completed=3, retried=1)


async def _page(core: CatalogCore) -> tuple[Generation, ...]:
    async with core.database.read() as unit:
        return (await unit.generations.page(PageRequest(), GenerationFilter())).items


async def test_files_come_in_pages_newest_first_each_once(core: CatalogCore) -> None:
    campaign = await core.campaign()
    wanted: list[str] = []
    for number in range(5):
        made = await core.made(VIDEO, IMAGE)
        wanted += [output.media_id for output in made.stored]
        if number % 2:
            wanted.append((await core.end(await core.job(campaign), cut=True)).id)
        if number != 3:  # two in the same moment, too
            core.clock.advance(1)
    found = await core.all_files()
    assert sorted(each.media_id or each.job_id for each in found) == sorted(wanted)
    assert [each.created_at for each in found] == sorted((each.created_at for each in found), reverse=True)
    with pytest.raises(Invalid, match="page_token"):
        await core.storage_admin.stats(PageRequest(token="xyz"))


async def test_a_deleted_generation_is_nowhere_and_its_money_is_where_it_was(core: CatalogCore) -> None:
    campaign = await core.campaign()
    made = await core.made(VIDEO, IMAGE, campaign_id=campaign)
    names = (campaign_account(campaign), day_account(core.clock.now()))
    before = await core.accounts(*names)
    await core.storage_admin.delete(made.id)

    with pytest.raises(NotFound, match=made.id):
        await core.get(made.id)
    assert await _page(core) == ()
    async with core.database.read() as unit:
        for output in made.stored:
            with pytest.raises(NotFound):
                await unit.generations.media(output.media_id)
        deleted = await unit.generations.get(made.id, deleted=True)
    assert (deleted.attempts, deleted.cost_micros, deleted.stage) == (made.attempts, 200, Stage.COMPLETED)
    stats = await core.storage_admin.stats(PageRequest())
    assert (stats.total, stats.files.items, stats.downloads) == (Usage(), (), DownloadCounts())
    assert await core.accounts(*names) == before
    assert before[0].spent == 200
    keys = [[each.blob_key, f"thumbs/{each.media_id}.webp"] for each in made.stored]
    assert await core.removed() == keys
    assert [key for key, _ in await core.outbox("generation.deleted")] == [made.id]
    for again in (made.id, made.stored[0].media_id):
        with pytest.raises(NotFound):
            await core.storage_admin.delete(again)
    assert await core.removed() == keys


async def test_events_of_a_deleted_one_change_nothing_and_late_bytes_go(core: CatalogCore) -> None:
    made = await core.made(VIDEO, lose=True)
    (attempt,) = made.attempts
    await core.storage_admin.delete(made.id)
    async with core.database.read() as unit:
        gone = await unit.generations.get(made.id, deleted=True)
        assert (await unit.generations.lost(PageRequest())).items == ()
        assert await unit.generations.to_requeue(core.clock.now() + timedelta(days=1), 9) == []
    for index in (0, 1):
        key = f"media/{made.id}/{index}.mp4"
        late = stored(attempt.id, index, new_id("media"), VIDEO, key)
        await core.do(made.id, late, deleted=True)
    await core.do(
        made.id, succeeded(attempt.id, prediction_id=f"p-{made.id}", outputs=2, cost=999), deleted=True
    )
    async with core.database.read() as unit:
        after = await unit.generations.get(made.id, deleted=True)
    assert (after.outputs, after.attempts, after.deleted_at) == (gone.outputs, gone.attempts, gone.deleted_at)
    removed = [keys[0] for keys in await core.removed()]
    assert removed == [f"media/{made.id}/{index}.mp4" for index in (0, 0, 1)]
    assert (await core.storage_admin.stats(PageRequest())).total == Usage()
    with pytest.raises(NotFound):
        await core.do(made.id, requeue_download)


async def test_one_media_goes_alone_and_the_last_takes_its_generation_with_it(core: CatalogCore) -> None:
    made = await core.made(VIDEO, IMAGE)
    first, second = made.stored
    await core.storage_admin.delete(first.media_id)
    assert [each.index for each in (await core.get(made.id)).stored] == [1]
    assert (await core.storage_admin.stats(PageRequest())).total == Usage(1, 30)
    await core.storage_admin.delete(second.media_id)
    with pytest.raises(NotFound):
        await core.get(made.id)


async def test_what_runs_or_is_needed_stays(core: CatalogCore) -> None:
    campaign = await core.campaign()
    running = await core.generation(campaign)
    with pytest.raises(Precondition, match=f"cancel it first .*{running.id}/cancel"):
        await core.storage_admin.delete(running.id)
    job = await core.job(campaign)
    clip = await core.made(VIDEO, campaign_id=campaign, job_id=job.id)
    for id_ in (clip.id, clip.stored[0].media_id):
        with pytest.raises(Precondition, match=f"{job.id}, which is not over: cancel the job first"):
            await core.storage_admin.delete(id_)
    with pytest.raises(NotFound, match="no cut"):
        await core.storage_admin.delete(job.id)
    await core.end(job, cut=True)
    await core.storage_admin.delete(clip.id)
    assert (await core.storage_admin.stats(PageRequest())).total == Usage(1, 5000), "the cut stays"
    await core.storage_admin.delete(job.id)
    assert (await core.removed())[-1] == [cut_key(job.id, 1), cut_thumbnail_key(job.id, 1)]
    assert (await core.storage_admin.stats(PageRequest())).total == Usage()
    with pytest.raises(NotFound, match="no cut"):
        await core.storage_admin.delete(job.id)


def test_an_id_of_another_kind_is_refused_with_the_kinds_there_are() -> None:
    for wrong in (new_id("asset"), new_id("campaign"), "gen_x", "nonsense", ""):
        with pytest.raises(Invalid, match=r"gen_….*med_….*job_…"):
            deletable_kind(wrong)


async def test_the_numbers_are_added_up_from_indexes_alone(sqlite_database: str) -> None:
    """With a hundred thousand media no row of theirs is read: SQLite says so in its plan."""
    engine = open_engine(sqlite_database)
    migrator = Migrator(engine)
    await migrator.start()
    plans: list[str] = []
    async with engine.connect() as connection:
        for table, columns in (("media", "kind, "), ("cuts", "")):
            query = (
                f"EXPLAIN QUERY PLAN SELECT {columns}count(*), sum(size_bytes) FROM {table} "  # noqa: S608  # ours
                f"WHERE deleted_at IS NULL {'GROUP BY kind' if columns else ''}"
            )
            plans += [row[3] for row in await connection.exec_driver_sql(query)]
        newest = "EXPLAIN QUERY PLAN SELECT * FROM media WHERE deleted_at IS NULL "
        order = "ORDER BY created_at DESC, id DESC LIMIT 51"
        plans += [row[3] for row in await connection.exec_driver_sql(newest + order)]
    assert plans == [
        "SCAN media USING COVERING INDEX ix_media_kept",
        "SCAN cuts USING COVERING INDEX ix_cuts_kept",
        "SCAN media USING INDEX ix_media_newest",
    ]
    await migrator.stop()


async def test_what_was_stored_before_the_sizes_were_columns_is_counted(database_url: str) -> None:
    engine = open_engine(database_url)
    migrator = Migrator(engine)
    await migrator.start()
    async with engine.begin() as connection:
        await connection.run_sync(lambda sync: command.downgrade(alembic_config(sync), "0001"))
        names = [column(name) for name in ("id", "generation_id", "index", "blob_key", "created_at")]
        facts = {"facts": {"kind": "image", "size_bytes": 42}, "created_at": 1}
        row = {"id": "med_1", "generation_id": "gen_1", "index": 0, "blob_key": "k", **facts}
        await connection.execute(insert(table("media", *names, column("facts", JSON))).values(row))
        names = [column(name) for name in ("job_id", "version", "cut_key", "poster_key", "created_at")]
        row = {"job_id": "job_1", "version": 1, "cut_key": "k", "poster_key": "p", **facts}
        await connection.execute(insert(table("cuts", *names, column("facts", JSON))).values(row))
    await migrator.stop()
    await migrator.start()
    database = SqlDatabase(engine, SimulatedClock(), stalled_after=timedelta(seconds=60))
    async with database.read() as unit:
        assert await unit.stored_files.usage() == {
            MediaKind.IMAGE: Usage(1, 42),
            MediaKind.VIDEO: Usage(1, 42),
        }
    await migrator.stop()
