"""The clean-up over SQLite and PostgreSQL: tried dry, two at once, broken off, and in time."""

from __future__ import annotations

import asyncio

import pytest
from catalog_shelf import DAY, IMAGE, VIDEO, Storage

from catalog.core.shared.ports import PageRequest
from catalog.core.storage import admin as storing_module
from catalog.core.storage.admin import Storing
from catalog.core.storage.queries import Usage


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
    before = await storage.storing.stats(PageRequest())
    would = await storage.storing.clean_up(30, dry_run=True)
    assert sorted(would.ids) == sorted(old)
    assert (would.generations, would.total, would.more) == (3, Usage(4, 6430), False)
    assert await storage.storing.stats(PageRequest()) == before
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
