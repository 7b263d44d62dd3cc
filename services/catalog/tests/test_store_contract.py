"""The store over SQLite and PostgreSQL: the same contract, the same money, the same pages."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from catalog_core import PRICE, RUN, VIDEO, CatalogCore
from generation_life import failed, lost, stored, succeeded
from sqlalchemy import event, inspect, select, update

from catalog.adapters.db import tables
from catalog.adapters.db.keyset_pagination import encode
from catalog.adapters.db.migrate import Migrator
from catalog.adapters.db.rows import make_run
from catalog.adapters.unit_of_work import INBOX_RETENTION
from catalog.core.access.domain import Scope
from catalog.core.access.service import ApiKeyService, digest
from catalog.core.budget.domain import Account, campaign_account, day_account
from catalog.core.campaigns.domain import Asset
from catalog.core.generations.attempts import AttemptLimits, AttemptService
from catalog.core.generations.domain.attempts import NextStep
from catalog.core.generations.domain.model import Stage
from catalog.core.generations.domain.requesting import cancel_generation, create_generation
from catalog.core.generations.ports import GenerationFilter
from catalog.core.jobs.planning import Planning
from catalog.core.jobs.service import JobService
from catalog.core.shared.domain import Error, Facts, MediaKind
from catalog.core.shared.paging import PageRequest
from servicekit.database.engine import open_engine
from servicekit.errors import Conflict, Invalid, NotFound, Precondition, Unauthenticated
from servicekit.ids import new_id
from servicekit.outbox.inbox import TRIM
from servicekit.testing import eventually, sqlite_url


async def test_a_generation_comes_back_as_it_was_saved(core: CatalogCore) -> None:
    made = await core.generation(await core.campaign())
    assert await core.get(made.id) == made
    work = await core.attempts.begin(made.id)
    assert work.attempt is not None
    await core.attempts.record_submitted(work.attempt.id, "p1")
    now = core.clock.now()
    await core.do(
        made.id,
        succeeded(
            work.attempt.id, prediction_id="p1", outputs=2, cost=200, expires_at=now + timedelta(hours=1)
        ),
    )
    facts = Facts(MediaKind.VIDEO, "video/mp4", 7, "a" * 64, 4.0, 640, 360, 25.0, ("h264", "aac"))
    await core.do(made.id, stored(work.attempt.id, 0, new_id("media"), facts, "media/0.mp4"))
    after = await core.do(
        made.id,
        lost(work.attempt.id, 1, round_=1, expires_at=now + timedelta(hours=1)),
    )
    assert after.requeue_at is not None
    assert await core.get(made.id) == after
    async with core.database.read() as unit:
        media = await unit.generations.media(after.stored[0].media_id)
        queue = await unit.generations.lost(PageRequest())
    assert (media.facts, media.generation_id) == (facts, made.id)
    assert [(each.generation_id, each.index) for each in queue.items] == [(made.id, 1)]


@pytest.mark.usefixtures("rows_by_hand")
async def test_a_run_from_before_an_upgrade_keeps_its_files(core: CatalogCore) -> None:
    photo, other = new_id("asset"), new_id("asset")
    given = {"image": f"asset:{photo}", "more": [f"asset:{other}"], "prompt": "asset: a villa"}
    made = await core.generation(run=replace(RUN, input=given, assets=(photo, other)))
    document = msgspec.to_builtins(made.run)
    del document["assets"], document["secrets"]
    async with core.database.write() as unit:
        old = update(tables.generations).where(tables.generations.c.id == made.id)
        await unit._connection.execute(old.values(run=document))
    assert (await core.get(made.id)).run == made.run
    run = replace(RUN, input=given, assets=())
    assert make_run(msgspec.to_builtins(run)) == run, "a document that names none has none"


async def test_sixty_four_race_for_the_last_money(core: CatalogCore) -> None:
    campaign_id = await core.campaign(cents=1)  # 10,000 micro-dollars: 33 runs of 300, and 100 left over
    made = [await core.generation(campaign_id) for _ in range(64)]
    works = await asyncio.gather(*(core.attempts.begin(each.id) for each in made))
    allowed = [work for work in works if work.step is NextStep.SUBMIT]
    assert len(allowed) == 33
    assert {work.reason for work in works if work.step is NextStep.NOTHING} == {"budget"}
    campaign, day = await core.accounts(campaign_account(campaign_id), day_account(core.clock.now()))
    assert campaign == Account(spent=0, reserved=9900)
    assert day.reserved == 9900
    shown = await core.campaigns.get(campaign_id)
    assert (shown.spent_micros, shown.reserved_micros) == (0, 9900)


async def test_an_account_without_a_row_has_its_cap_too(core: CatalogCore) -> None:
    made = await core.generation(await core.campaign(cents=0))
    assert (await core.attempts.begin(made.id)).reason == "budget"


async def test_the_day_has_a_cap_over_all_campaigns(core: CatalogCore) -> None:
    attempts = AttemptService(core.database, core.clock, AttemptLimits(daily_micros=10 * PRICE))
    made = [await core.generation(await core.campaign()) for _ in range(12)]
    works = await asyncio.gather(*(attempts.begin(each.id) for each in made))
    assert sum(work.step is NextStep.SUBMIT for work in works) == 10
    tomorrow = await core.generation()
    core.clock.advance(24 * 3600)
    assert (await attempts.begin(tomorrow.id)).step is NextStep.SUBMIT


async def test_one_submission_however_many_request_it(core: CatalogCore) -> None:
    made = await core.generation(await core.campaign())
    works = await asyncio.gather(*(core.attempts.begin(made.id) for _ in range(16)))
    steps = [work.step for work in works]
    assert steps.count(NextStep.SUBMIT) == 1
    assert steps.count(NextStep.RECONCILE) == 15
    assert len({work.attempt.id for work in works if work.attempt}) == 1


async def test_a_prediction_belongs_to_one_attempt(core: CatalogCore) -> None:
    first, second = await core.generation(), await core.generation()
    one, two = (await core.attempts.begin(first.id)).attempt, (await core.attempts.begin(second.id)).attempt
    assert one is not None
    assert two is not None
    outcomes = await asyncio.gather(
        core.attempts.record_submitted(one.id, "p1"),
        core.attempts.record_submitted(two.id, "p1"),
        return_exceptions=True,
    )
    assert sorted(type(each).__name__ for each in outcomes) == ["Conflict", "tuple"]
    owner = await core.attempts.find(prediction_id="p1", generation_id="")
    with pytest.raises(Conflict):
        await core.attempts.record_submitted(owner[1].id, "p2")
    with pytest.raises(NotFound):
        await core.attempts.find(prediction_id="p2", generation_id="")
    newest = await core.attempts.find(prediction_id="", generation_id=first.id)
    assert newest[1].id == one.id


async def test_the_real_cost_replaces_the_reserve(core: CatalogCore) -> None:
    campaign_id = await core.campaign(cents=1)
    made = await core.generation(campaign_id)
    attempt = (await core.attempts.begin(made.id)).attempt
    assert attempt is not None
    await core.attempts.record_submitted(attempt.id, "p1")
    error = Error("E6716", "busy", retryable=True)
    ended = failed(attempt.id, error, cost=250, prediction_id="p1")
    await core.do(made.id, ended)
    await core.do(made.id, ended)
    (account,) = await core.accounts(campaign_account(campaign_id))
    assert account == Account(spent=250, reserved=0)
    assert (await core.get(made.id)).stage is Stage.REQUESTED


async def test_pages_go_through_everything_once_newest_first(core: CatalogCore) -> None:
    made = [await core.generation() for _ in range(7)]
    seen: list[str] = []
    request = PageRequest(size=3)
    while True:
        async with core.database.read() as unit:
            page = await unit.generations.page(request, GenerationFilter(kind=MediaKind.VIDEO))
        seen += [each.id for each in page.items]
        if not page.next_token:
            break
        request = replace(request, token=page.next_token)
    assert sorted(seen, reverse=True) == seen
    assert set(seen) == {each.id for each in made}
    assert len(seen) == 7
    async with core.database.read() as unit:
        for token in ("xyz", "e30", "WzFd"):
            with pytest.raises(Invalid, match="page_token"):
                await unit.generations.page(PageRequest(token=token), GenerationFilter())
        for moment in ("yesterday", "2026-01-01T00:00:00"):
            with pytest.raises(Invalid, match="page_token"):
                await unit.generations.lost(PageRequest(token=encode(moment, "gen_1", 0)))


@pytest.mark.usefixtures("rows_by_hand")
async def test_pages_of_lost_outputs_go_through_all_of_them_once_newest_first(core: CatalogCore) -> None:
    made = [await core.made(VIDEO, lose=True) for _ in range(5)]
    async with core.database.transaction() as connection:
        several = tables.outputs.c.generation_id.in_([each.id for each in made[1:4]])
        await connection.execute(update(tables.outputs).where(several).values(at=core.clock.now()))
    seen: list[tuple[datetime, str]] = []
    request = PageRequest(size=2)
    while True:
        async with core.database.read() as unit:
            page = await unit.generations.lost(request)
        seen += [(each.failed_at, each.generation_id) for each in page.items]
        if not page.next_token:
            break
        request = replace(request, token=page.next_token)
    assert seen == sorted(seen, reverse=True)
    assert sorted(generation_id for _, generation_id in seen) == sorted(each.id for each in made)


async def test_a_page_of_jobs_takes_no_more_queries_for_more_jobs(core: CatalogCore) -> None:
    nobody: Any = None  # nothing is planned here
    planning = Planning(core.database, nobody, nobody, core.clock)
    jobs = JobService(core.database, planning, core.attempts, core.clock)
    campaign = await core.campaign()
    made = [await core.job(campaign) for _ in range(3)]
    for job in made:
        await core.generation(campaign, job_id=job.id)
    sent: list[str] = []
    engine = core.database._reading.sync_engine
    event.listen(engine, "before_cursor_execute", lambda *args: sent.append(args[2]))
    await jobs.page(PageRequest(size=1), campaign_id=campaign, status=None)
    for_one, sent[:] = len(sent), []
    page = await jobs.page(PageRequest(), campaign_id=campaign, status=None)
    assert len(sent) == for_one
    assert [each.job.id for each in page.items] == [job.id for job in reversed(made)]
    for each in page.items:
        assert [generation.job_id for generation in each.generations.values()] == [each.job.id]
        assert [line.type for line in each.timeline] == ["job.created"]


async def test_an_event_is_applied_once_with_its_inbox_row_or_not_at_all(core: CatalogCore) -> None:
    async def died() -> None:
        async with core.database.write() as unit:
            assert await unit.first_time("c", "e1")
            raise RuntimeError("the handler died")

    with pytest.raises(RuntimeError):
        await died()
    async with core.database.write() as unit:
        assert await unit.first_time("c", "e1")
    core.clock.advance(34 * 86_400)
    await core.database.trim_inbox()
    async with core.database.write() as unit:
        assert not await unit.first_time("c", "e1")
    core.clock.advance(2 * 86_400)
    await core.database.trim_inbox()
    async with core.database.write() as unit:
        assert await unit.first_time("c", "e1")


async def test_a_unit_that_fails_leaves_nothing(core: CatalogCore) -> None:
    made = await core.generation()

    async def killed() -> None:
        async with core.database.write() as unit:
            generation = await unit.generations.get(made.id, lock=True)
            stopped = cancel_generation(generation, core.clock.now())
            await unit.generations.save(generation, stopped)
            raise RuntimeError("killed before the commit")

    with pytest.raises(RuntimeError):
        await killed()
    assert await core.get(made.id) == made


async def test_assets_find_their_client_and_their_tags(core: CatalogCore) -> None:
    campaign_id = await core.campaign()
    now = core.clock.now()
    asset = Asset(
        new_id("asset"),
        "",
        "n",
        "f.jpg",
        "k",
        Facts(MediaKind.IMAGE),
        now,
        now,
        campaign_id,
        tags=("a", "b", "a"),
    )
    made = await core.assets.create(asset)
    assert made.client_id == (await core.campaigns.get(campaign_id)).client_id
    assert await core.assets.create(asset) == made, "the same again is the same"

    async def tagged(tag: str) -> list[str]:
        page = await core.assets.page(PageRequest(), client_id="", campaign_id="", kind=None, tag=tag)
        return [each.id for each in page.items]

    assert await tagged("a") == [asset.id]
    await core.assets.update(asset.id, tags=("c",))
    assert (await tagged("a"), await tagged("c")) == ([], [asset.id])
    await core.assets.delete(asset.id)
    assert await tagged("c") == []
    orphan = replace(asset, id=new_id("asset"), campaign_id="")
    with pytest.raises(Invalid, match="client_id or a campaign_id"):
        await core.assets.create(orphan)


async def test_what_has_parts_is_not_removed(core: CatalogCore) -> None:
    campaign_id = await core.campaign()
    client_id = (await core.campaigns.get(campaign_id)).client_id
    with pytest.raises(Precondition, match="has 1 campaigns: delete them first"):
        await core.clients.delete(client_id)
    made = await core.generation(campaign_id)
    with pytest.raises(Precondition, match="under way"):
        await core.campaigns.delete(campaign_id)
    await core.do(made.id, cancel_generation)
    await core.campaigns.delete(campaign_id)
    await core.clients.delete(client_id)
    with pytest.raises(NotFound, match=client_id):
        await core.clients.get(client_id)


async def test_a_campaign_is_not_deleted_under_a_generation_that_is_being_recorded(core: CatalogCore) -> None:
    campaign_id = await core.campaign()
    sent: list[str] = []
    engine = core.database._writing.sync_engine
    group = core.database._group_commit
    async with core.database.write() as unit:
        await core.attempts.accounts(unit, campaign_id)
        events = create_generation(core.clock.now(), new_id("generation"), RUN, campaign_id=campaign_id)
        await unit.generations.save(None, events)
        event.listen(engine, "before_cursor_execute", lambda *args: sent.append(args[2]))
        deleting = asyncio.create_task(core.campaigns.delete(campaign_id))
        # SQLite has one writer; PostgreSQL's second one waits for the account.
        waits = "INSERT INTO accounts"
        await eventually(
            lambda: deleting.done() or any(waits in each for each in sent) or bool(group and group._queue)
        )
    with pytest.raises(Precondition, match="under way"):
        await deleting


async def test_a_key_that_is_revoked_while_it_is_used_stays_revoked(core: CatalogCore) -> None:
    keys = ApiKeyService(core.database, core.clock)
    key, record = await keys.create("ci", Scope.READ, None)
    sent: list[str] = []
    # SQLite has one writer; PostgreSQL's second one waits for the row.
    one_writer = core.database._group_commit is not None
    engine = core.database._reading if one_writer else core.database._writing
    reached = "SELECT" if one_writer else "UPDATE api_keys"
    event.listen(engine.sync_engine, "before_cursor_execute", lambda *args: sent.append(args[2]))
    async with core.database.write() as unit:
        await unit.api_keys.save(replace(record, revoked_at=core.clock.now()))
        sent.clear()
        using = asyncio.create_task(keys.authenticate(digest(key)))
        await eventually(lambda: any(reached in statement for statement in sent))
    assert (await using).revoked_at is None, "it had begun before"
    with pytest.raises(Unauthenticated, match="revoked"):
        await keys.authenticate(digest(key))


async def test_keys_are_known_by_their_hash_until_they_end(core: CatalogCore) -> None:
    keys = ApiKeyService(core.database, core.clock)
    expires = core.clock.now() + timedelta(hours=1)
    key, record = await keys.create("ci", Scope.READ, expires)
    assert record.sha256 == digest(key)
    known = await keys.authenticate(digest(key))
    assert (known.id, known.scope, known.last_used_at) == (record.id, Scope.READ, core.clock.now())
    core.clock.advance(59)
    assert (await keys.authenticate(digest(key))).last_used_at == known.last_used_at, "to the minute"
    core.clock.advance(61)
    assert (await keys.authenticate(digest(key))).last_used_at == core.clock.now()
    core.clock.advance(3600)
    with pytest.raises(Unauthenticated, match="expired"):
        await keys.authenticate(digest(key))
    with pytest.raises(Unauthenticated, match="not known"):
        await keys.authenticate("0" * 64)
    other, record = await keys.create("web", Scope.WRITE, None)
    await keys.revoke(record.id)
    with pytest.raises(Unauthenticated, match="revoked"):
        await keys.authenticate(digest(other))
    await keys.ensure_admin_key("one")
    await keys.ensure_admin_key("one")
    assert (await keys.authenticate(digest("one"))).scope is Scope.ADMIN
    await keys.ensure_admin_key("two")
    with pytest.raises(Unauthenticated):
        await keys.authenticate(digest("one"))


async def test_facts_that_the_log_has_dropped_are_forgotten_in_the_queue_of_those_who_write(
    core: CatalogCore,
) -> None:
    async with core.database.write() as unit:
        for number in range(TRIM + 1):
            assert await unit.first_time("catalog-downloads", f"old-{number}")
    core.clock.advance(INBOX_RETENTION.total_seconds() + 1)
    async with core.database.write() as unit:
        assert await unit.first_time("catalog-downloads", "new")
        forgetting = asyncio.create_task(core.database.trim_inbox())
        group = core.database._group_commit
        if group is not None:
            await eventually(lambda: len(group._queue) == 1)
    await forgetting
    async with core.database.read() as unit:
        left = (await unit._connection.execute(select(tables.inbox.c.event_id))).scalars().all()
    assert left == ["new"]


async def test_the_migrations_make_the_tables_that_the_code_knows(database_url: str) -> None:
    engine = open_engine(database_url)
    database = Migrator(engine)
    await database.start()
    await database.stop()
    await database.start()
    async with engine.connect() as connection:
        made = await connection.run_sync(
            lambda sync: {
                name: (
                    {column["name"] for column in inspect(sync).get_columns(name)},
                    {index["name"] for index in inspect(sync).get_indexes(name)},
                )
                for name in inspect(sync).get_table_names()
            }
        )
        await connection.execute(select(tables.outbox))
    for name, table in tables.metadata.tables.items():
        columns, indexes = made[name]
        assert columns == {column.name for column in table.columns}
        assert {index.name for index in table.indexes} <= indexes
    await database.stop()


async def test_one_catalog_serves_a_sqlite_file(tmp_path: Path) -> None:
    async with sqlite_url(tmp_path) as url:
        first, second = Migrator(open_engine(url)), Migrator(open_engine(url))
        await first.start()
        with pytest.raises(Precondition, match="served by another catalog"):
            await second.start()
        await second.stop()
        await first.stop()
        await second.start()
        await second.stop()
