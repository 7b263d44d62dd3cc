"""Storage over SQLite and PostgreSQL: numbers, pages, deletion, and the clean-up, two at once too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio
from alembic import command
from sqlalchemy import JSON, column, insert, select, table
from test_store_contract import RUN, Shelf

from catalog.adapters import tables as t
from catalog.adapters.schema import Database, alembic_config
from catalog.adapters.store import SqlStore
from catalog.core import generation_commands as gc
from catalog.core import job_commands as jc
from catalog.core import storing as storing_module
from catalog.core.attempts import Attempts, Rules
from catalog.core.carry import carry_out, locked
from catalog.core.files import DownloadCounts, File, Usage
from catalog.core.generation import Generation, Stage
from catalog.core.job import Edit, Job, Wish, cut_key, poster_key
from catalog.core.job_decide import decide as decide_job
from catalog.core.library import Library
from catalog.core.money import campaign_account, day_account
from catalog.core.ports import GenerationFilter, PageWish
from catalog.core.storing import Storing, kind_of
from catalog.core.values import Failure, FileFacts, Kind
from rushes.events.v1 import events_pb2
from servicekit.databases import open_engine
from servicekit.errors import Invalid, NotFound, Precondition
from servicekit.ids import new_id
from servicekit.testing import TestClock

DAY = 86_400.0
VIDEO, IMAGE = (
    FileFacts(Kind.VIDEO, "video/mp4", 700, "a" * 64),
    FileFacts(Kind.IMAGE, "image/png", 30, "b" * 64),
)


class Storage(Shelf):
    """A shelf with things on it that can be deleted."""

    @property
    def storing(self) -> Storing:
        return Storing(self.store, self.clock)

    async def made(
        self, *files: FileFacts, campaign_id: str = "", job_id: str = "", lose: bool = False
    ) -> Generation:
        """A generation that went well, with these outputs; `lose`: one more was lost."""
        made = await self.generation(campaign_id, RUN, job_id)
        attempt = (await self.attempts.begin(made.id)).attempt
        assert attempt is not None
        await self.attempts.submitted(attempt.id, f"p-{made.id}")
        now = self.clock.now()
        ends = now + timedelta(hours=1)
        count = len(files) + lose
        after = await self.do(made.id, gc.RecordSucceeded(now, attempt.id, f"p-{made.id}", count, 200, ends))
        for index, facts in enumerate(files):
            key = f"media/{made.id}/{index}.mp4"
            after = await self.do(
                made.id, gc.RecordStored(now, attempt.id, index, new_id("media"), key, facts)
            )
        if lose:
            failure = Failure("truncated", "short", retryable=True)
            after = await self.do(made.id, gc.RecordLost(now, attempt.id, len(files), failure, 1, ends))
        return after

    async def do_late(self, generation_id: str, command: gc.GenerationCommand) -> None:
        """What a fact does, which finds deleted ones too."""
        async with self.store.write() as unit:
            job, generation = await locked(unit, generation_id, deleted=True)
            await carry_out(unit, job, generation, command)

    async def job(self, campaign_id: str) -> Job:
        wish, edit = Wish(1, 2.0), Edit(640, 360, 25.0)
        command = jc.CreateJob(self.clock.now(), new_id("job"), campaign_id, wish, edit)
        async with self.store.write() as unit:
            return await unit.jobs.save(None, decide_job(None, command))

    async def end(self, job: Job, *, cut: bool = False) -> Job:
        """The job at its end: failed, or with a cut (as if it had been stitched)."""
        async with self.store.write() as unit:
            state = await unit.jobs.get(job.id, lock=True)
            state = await unit.jobs.save(
                state, decide_job(state, jc.FailJob(self.clock.now(), Failure("x", "x")))
            )
            if cut:
                await unit._connection.execute(  # what a stitcher would have brought
                    insert(t.cuts).values(
                        job_id=job.id, version=1,
                        cut_key=cut_key(job.id, 1), poster_key=poster_key(job.id, 1),
                        facts={"kind": "video", "size_bytes": 5000, "sha256": "c" * 64}, size_bytes=5000,
                        created_at=self.clock.now(),
                    )
                )  # fmt: skip
                state = await unit.jobs.get(job.id)
        return state

    async def said(self, type_: str) -> list[tuple[str, bytes]]:
        query = (
            select(t.outbox.c.key, t.outbox.c.data).where(t.outbox.c.type == type_).order_by(t.outbox.c.id)
        )
        async with self.store.read() as unit:
            return [(key, data) for key, data in await unit._connection.execute(query)]

    async def removed(self) -> list[list[str]]:
        """The keys that are to be removed, fact by fact."""
        told = [events_pb2.MediaDeleted.FromString(data) for _, data in await self.said("media.deleted")]
        return [list(each.blob_keys) for each in told]

    async def all_files(self, size: int = 3) -> list[File]:
        found: list[File] = []
        wish = PageWish(size=size)
        while True:
            page = (await self.storing.stats(wish)).files
            found += page.items
            if not page.next_token:
                return found
            wish = PageWish(size, page.next_token)


@pytest_asyncio.fixture
async def storage(database_url: str, clock: TestClock) -> AsyncIterator[Storage]:
    engine = open_engine(database_url, pool_size=10)
    database = Database(engine)
    await database.start()
    store = SqlStore(engine, clock, silent_after=timedelta(seconds=60))
    yield Storage(store, clock, Library(store, clock), Attempts(store, clock, Rules()))
    await database.stop()


async def test_the_numbers_are_those_of_what_is_there(storage: Storage) -> None:
    campaign = await storage.campaign()
    await storage.made(VIDEO, VIDEO)
    await storage.made(IMAGE, lose=True)
    await storage.end(await storage.job(campaign), cut=True)
    stats = await storage.storing.stats(PageWish())
    assert stats.by_kind == {Kind.VIDEO: Usage(3, 6400), Kind.IMAGE: Usage(1, 30)}
    assert stats.total == Usage(4, 6430)
    assert stats.downloads == DownloadCounts(completed=3, failed=1)
    storage.clock.advance(3601)
    assert (await storage.storing.stats(PageWish())).downloads.lost == 1
    lost = next(each for each in (await _page(storage)) if each.lost)
    await storage.do(lost.id, gc.RequeueDownload(storage.clock.now()))
    assert (await storage.storing.stats(PageWish())).downloads == DownloadCounts(completed=3, retried=1)


async def _page(storage: Storage) -> tuple[Generation, ...]:
    async with storage.store.read() as unit:
        return (await unit.generations.page(PageWish(), GenerationFilter())).items


async def test_files_come_in_pages_newest_first_each_once(storage: Storage) -> None:
    campaign = await storage.campaign()
    wanted: list[str] = []
    for number in range(5):
        made = await storage.made(VIDEO, IMAGE)
        wanted += [output.media_id for output in made.stored]
        if number % 2:
            wanted.append((await storage.end(await storage.job(campaign), cut=True)).id)
        if number != 3:  # two in the same moment, too
            storage.clock.advance(1)
    found = await storage.all_files()
    assert sorted(each.media_id or each.job_id for each in found) == sorted(wanted)
    assert [each.created_at for each in found] == sorted((each.created_at for each in found), reverse=True)
    with pytest.raises(Invalid, match="page_token"):
        await storage.storing.stats(PageWish(token="xyz"))


async def test_a_deleted_generation_is_nowhere_and_its_money_is_where_it_was(storage: Storage) -> None:
    campaign = await storage.campaign()
    made = await storage.made(VIDEO, IMAGE, campaign_id=campaign)
    names = (campaign_account(campaign), day_account(storage.clock.now()))
    before = await storage.accounts(*names)
    await storage.storing.delete(made.id)

    with pytest.raises(NotFound, match=made.id):
        await storage.get(made.id)
    assert await _page(storage) == ()
    async with storage.store.read() as unit:
        for output in made.stored:
            with pytest.raises(NotFound):
                await unit.generations.media(output.media_id)
        kept = await unit.generations.get(made.id, deleted=True)
    assert (kept.attempts, kept.cost_micros, kept.stage) == (made.attempts, 200, Stage.COMPLETED)
    stats = await storage.storing.stats(PageWish())
    assert (stats.total, stats.files.items, stats.downloads) == (Usage(), (), DownloadCounts())
    assert await storage.accounts(*names) == before
    assert before[0].spent == 200
    keys = [[each.blob_key, f"thumbs/{each.media_id}.webp"] for each in made.stored]
    assert await storage.removed() == keys
    assert [key for key, _ in await storage.said("generation.deleted")] == [made.id]
    for again in (made.id, made.stored[0].media_id):
        with pytest.raises(NotFound):
            await storage.storing.delete(again)
    assert await storage.removed() == keys


async def test_what_is_said_of_a_deleted_one_changes_nothing_and_late_bytes_go(storage: Storage) -> None:
    made = await storage.made(VIDEO, lose=True)
    (attempt,) = made.attempts
    await storage.storing.delete(made.id)
    async with storage.store.read() as unit:
        gone = await unit.generations.get(made.id, deleted=True)
        assert (await unit.generations.lost(PageWish())).items == ()
        assert await unit.generations.lost_again(storage.clock.now() + timedelta(days=1), 9) == []
    now = storage.clock.now()
    for index in (0, 1):
        key = f"media/{made.id}/{index}.mp4"
        late = gc.RecordStored(now, attempt.id, index, new_id("media"), key, VIDEO)
        await storage.do_late(made.id, late)
    await storage.do_late(made.id, gc.RecordSucceeded(now, attempt.id, f"p-{made.id}", 2, 999))
    async with storage.store.read() as unit:
        after = await unit.generations.get(made.id, deleted=True)
    assert (after.outputs, after.attempts, after.deleted_at) == (gone.outputs, gone.attempts, gone.deleted_at)
    removed = [keys[0] for keys in await storage.removed()]
    assert removed == [f"media/{made.id}/{index}.mp4" for index in (0, 0, 1)]
    assert (await storage.storing.stats(PageWish())).total == Usage()
    with pytest.raises(NotFound):
        await storage.do(made.id, gc.RequeueDownload(now))


async def test_one_media_goes_alone_and_the_last_takes_its_generation_with_it(storage: Storage) -> None:
    made = await storage.made(VIDEO, IMAGE)
    first, second = made.stored
    await storage.storing.delete(first.media_id)
    assert [each.index for each in (await storage.get(made.id)).stored] == [1]
    assert (await storage.storing.stats(PageWish())).total == Usage(1, 30)
    await storage.storing.delete(second.media_id)
    with pytest.raises(NotFound):
        await storage.get(made.id)


async def test_what_runs_or_is_needed_stays(storage: Storage) -> None:
    campaign = await storage.campaign()
    running = await storage.generation(campaign)
    with pytest.raises(Precondition, match=f"cancel it first .*{running.id}/cancel"):
        await storage.storing.delete(running.id)
    job = await storage.job(campaign)
    clip = await storage.made(VIDEO, campaign_id=campaign, job_id=job.id)
    for id_ in (clip.id, clip.stored[0].media_id):
        with pytest.raises(Precondition, match=f"{job.id}, which is not over: cancel the job first"):
            await storage.storing.delete(id_)
    with pytest.raises(NotFound, match="no cut"):
        await storage.storing.delete(job.id)
    await storage.end(job, cut=True)
    await storage.storing.delete(clip.id)
    assert (await storage.storing.stats(PageWish())).total == Usage(1, 5000), "the cut stays"
    await storage.storing.delete(job.id)
    assert (await storage.removed())[-1] == [cut_key(job.id, 1), poster_key(job.id, 1)]
    assert (await storage.storing.stats(PageWish())).total == Usage()
    with pytest.raises(NotFound, match="no cut"):
        await storage.storing.delete(job.id)


def test_an_id_of_another_kind_is_told_which_kinds_there_are() -> None:
    for wrong in (new_id("asset"), new_id("campaign"), "gen_x", "nonsense", ""):
        with pytest.raises(Invalid, match=r"gen_….*med_….*job_…"):
            kind_of(wrong)


async def aged(storage: Storage) -> tuple[list[str], list[str]]:
    """Old and young things: the ids that a clean-up of 30 days takes, and those that it leaves."""
    campaign = await storage.campaign()
    old = [(await storage.made(VIDEO, campaign_id=campaign)).id, (await storage.made(IMAGE, lose=True)).id]
    running = await storage.generation(campaign)
    waiting = await storage.job(campaign)
    needed = await storage.made(VIDEO, campaign_id=campaign, job_id=waiting.id)
    recent = await storage.job(campaign)
    clip = await storage.made(VIDEO, campaign_id=campaign, job_id=recent.id)
    done = await storage.job(campaign)
    of_done = await storage.made(VIDEO, campaign_id=campaign, job_id=done.id)
    await storage.end(done, cut=True)
    old += [of_done.id, done.id]
    storage.clock.advance(29 * DAY)
    await storage.end(recent, cut=True)
    young = await storage.made(VIDEO)
    storage.clock.advance(1 * DAY + 60)
    return old, [running.id, needed.id, clip.id, young.id]


async def test_a_dry_run_says_what_a_clean_up_does_and_touches_nothing(storage: Storage) -> None:
    old, left = await aged(storage)
    before = await storage.storing.stats(PageWish())
    would = await storage.storing.clean_up(30, dry_run=True)
    assert sorted(would.ids) == sorted(old)
    assert (would.generations, would.total, would.more) == (3, Usage(4, 6430), False)
    assert await storage.storing.stats(PageWish()) == before
    assert await storage.removed() == []

    done = await storage.storing.clean_up(30, dry_run=False)
    assert (done.generations, done.by_kind, sorted(done.ids)) == (3, would.by_kind, sorted(old))
    assert len(await storage.removed()) == 4
    for id_ in left:
        await storage.get(id_)
    again = await storage.storing.clean_up(30, dry_run=False)
    assert (again.generations, again.total, again.ids) == (0, Usage(), ())
    assert len(await storage.removed()) == 4


async def test_two_clean_ups_at_once_delete_everything_once(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storing_module, "BATCH", 3)
    old, _ = await aged(storage)
    for _ in range(10):
        old.append((await storage.made(VIDEO)).id)
    storage.clock.advance(31 * DAY)
    both = await asyncio.gather(*(storage.storing.clean_up(30, dry_run=False) for _ in range(2)))
    assert sum(each.generations for each in both) == 15  # the young ones are old by now, too
    assert len({tuple(keys) for keys in await storage.removed()}) == len(await storage.removed())


async def test_a_clean_up_that_breaks_off_keeps_what_it_did_and_the_next_goes_on(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storing_module, "BATCH", 2)
    for _ in range(5):
        await storage.made(VIDEO)
    storage.clock.advance(2 * DAY)
    calls = 0
    whole = storing_module.Storing._delete

    async def dies(self: Storing, *args: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise RuntimeError("killed in the second batch")
        await whole(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(storing_module.Storing, "_delete", dies)
    with pytest.raises(RuntimeError):
        await storage.storing.clean_up(1, dry_run=False)
    assert len(await storage.removed()) == 2, "the first batch is done, nothing of the second"
    assert (await storage.storing.clean_up(1, dry_run=False)).generations == 3


async def test_a_clean_up_ends_in_time_and_says_that_there_is_more(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storing_module, "BATCH", 2)
    for _ in range(5):
        await storage.made(VIDEO)
    storage.clock.advance(2 * DAY)
    whole = storing_module.Storing._delete

    async def slow(self: Storing, *args: object) -> None:
        storage.clock.advance(storing_module.PATIENCE / 2)
        await whole(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(storing_module.Storing, "_delete", slow)
    found = await storage.storing.clean_up(1, dry_run=False)
    assert (found.generations, found.more) == (4, True)
    found = await storage.storing.clean_up(1, dry_run=False)
    assert (found.generations, found.more) == (1, False)


async def test_the_numbers_are_added_up_from_indexes_alone(sqlite_database: str) -> None:
    """With a hundred thousand media no row of theirs is read: SQLite says so in its plan."""
    engine = open_engine(sqlite_database)
    database = Database(engine)
    await database.start()
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
    await database.stop()


async def test_what_was_stored_before_the_sizes_were_columns_is_counted(database_url: str) -> None:
    engine = open_engine(database_url)
    database = Database(engine)
    await database.start()
    async with engine.begin() as connection:
        await connection.run_sync(lambda sync: command.downgrade(alembic_config(sync), "0001"))
        names = [column(name) for name in ("id", "generation_id", "index", "blob_key", "created_at")]
        facts = {"facts": {"kind": "image", "size_bytes": 42}, "created_at": 1}
        row = {"id": "med_1", "generation_id": "gen_1", "index": 0, "blob_key": "k", **facts}
        await connection.execute(insert(table("media", *names, column("facts", JSON))).values(row))
        names = [column(name) for name in ("job_id", "version", "cut_key", "poster_key", "created_at")]
        row = {"job_id": "job_1", "version": 1, "cut_key": "k", "poster_key": "p", **facts}
        await connection.execute(insert(table("cuts", *names, column("facts", JSON))).values(row))
    await database.stop()
    await database.start()
    store = SqlStore(engine, TestClock(), silent_after=timedelta(seconds=60))
    async with store.read() as unit:
        assert await unit.files.usage() == {Kind.IMAGE: Usage(1, 42), Kind.VIDEO: Usage(1, 42)}
    await database.stop()
