"""The clean-up over SQLite and PostgreSQL: tried dry, two at once, broken off, and in time."""

from __future__ import annotations

import asyncio

import pytest
from catalog_core import DAY, IMAGE, VIDEO, CatalogCore

from catalog.core.shared.paging import PageRequest
from catalog.core.storage import admin
from catalog.core.storage.admin import StorageAdmin
from catalog.core.storage.domain.files import Usage


async def old_and_young(core: CatalogCore) -> tuple[list[str], list[str]]:
    """Old and young records: the ids that a clean-up of 30 days deletes, and those that it leaves."""
    campaign = await core.campaign()
    old = [(await core.made(VIDEO, campaign_id=campaign)).id, (await core.made(IMAGE, lose=True)).id]
    running = await core.generation(campaign)
    waiting = await core.job(campaign)
    needed = await core.made(VIDEO, campaign_id=campaign, job_id=waiting.id)
    recent = await core.job(campaign)
    clip = await core.made(VIDEO, campaign_id=campaign, job_id=recent.id)
    done = await core.job(campaign)
    of_done = await core.made(VIDEO, campaign_id=campaign, job_id=done.id)
    await core.end(done, cut=True)
    old += [of_done.id, done.id]
    core.clock.advance(29 * DAY)
    await core.end(recent, cut=True)
    young = await core.made(VIDEO)
    core.clock.advance(1 * DAY + 60)
    return old, [running.id, needed.id, clip.id, young.id]


async def test_a_dry_run_answers_what_a_clean_up_deletes_and_changes_nothing(core: CatalogCore) -> None:
    old, left = await old_and_young(core)
    before = await core.storage_admin.stats(PageRequest())
    would = await core.storage_admin.clean_up(30, dry_run=True)
    assert sorted(would.ids) == sorted(old)
    assert (would.generations, would.total, would.more) == (3, Usage(4, 6430), False)
    assert await core.storage_admin.stats(PageRequest()) == before
    assert await core.removed() == []

    done = await core.storage_admin.clean_up(30, dry_run=False)
    assert (done.generations, done.by_kind, sorted(done.ids)) == (3, would.by_kind, sorted(old))
    assert len(await core.removed()) == 4
    for id_ in left:
        await core.get(id_)
    again = await core.storage_admin.clean_up(30, dry_run=False)
    assert (again.generations, again.total, again.ids) == (0, Usage(), ())
    assert len(await core.removed()) == 4


async def test_two_clean_ups_at_once_delete_everything_once(
    core: CatalogCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin, "BATCH_SIZE", 3)
    old, _ = await old_and_young(core)
    for _ in range(10):
        old.append((await core.made(VIDEO)).id)
    core.clock.advance(31 * DAY)
    both = await asyncio.gather(*(core.storage_admin.clean_up(30, dry_run=False) for _ in range(2)))
    assert sum(each.generations for each in both) == 15  # the young ones are old by now, too
    assert len({tuple(keys) for keys in await core.removed()}) == len(await core.removed())


async def test_a_clean_up_that_fails_leaves_what_it_did_and_the_next_goes_on(
    core: CatalogCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin, "BATCH_SIZE", 2)
    for _ in range(5):
        await core.made(VIDEO)
    core.clock.advance(2 * DAY)
    calls = 0
    delete = admin.StorageAdmin._delete

    async def dies(self: StorageAdmin, *args: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise RuntimeError("killed in the second batch")
        await delete(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(admin.StorageAdmin, "_delete", dies)
    with pytest.raises(RuntimeError):
        await core.storage_admin.clean_up(1, dry_run=False)
    assert len(await core.removed()) == 2, "the first batch is done, nothing of the second"
    assert (await core.storage_admin.clean_up(1, dry_run=False)).generations == 3


async def test_a_clean_up_ends_in_time_and_answers_that_there_is_more(
    core: CatalogCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin, "BATCH_SIZE", 2)
    for _ in range(5):
        await core.made(VIDEO)
    core.clock.advance(2 * DAY)
    delete = admin.StorageAdmin._delete

    async def slow(self: StorageAdmin, *args: object) -> None:
        core.clock.advance(admin.TIME_LIMIT_S / 2)
        await delete(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(admin.StorageAdmin, "_delete", slow)
    found = await core.storage_admin.clean_up(1, dry_run=False)
    assert (found.generations, found.more) == (4, True)
    found = await core.storage_admin.clean_up(1, dry_run=False)
    assert (found.generations, found.more) == (1, False)
