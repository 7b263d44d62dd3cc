"""Orphans: never a key that a record names, or that work under way may name."""

from __future__ import annotations

from datetime import timedelta

from catalog_core import IMAGE, VIDEO, CatalogCore
from sqlalchemy import update

from catalog.adapters.db import tables as t
from catalog.core.campaigns.domain import Asset
from catalog.core.generations.domain.requesting import cancel_generation
from catalog.core.shared.paging import PageRequest
from catalog.core.storage.domain.blob_keys import (
    BlobOwner,
    cut_key,
    cut_thumbnail_key,
    parse_blob_key,
    thumbnail_key,
)
from catalog.core.storage.orphans import OrphanFinder
from servicekit.ids import made_at, new_id

MINUTE = timedelta(minutes=1)


async def asset(core: CatalogCore) -> Asset:
    now = core.clock.now()
    id_ = new_id("asset")
    key = f"assets/{id_}/original.png"
    made = Asset(id_, "", "n", "f.png", key, IMAGE, now, now, campaign_id=await core.campaign())
    return await core.assets.create(made)


def test_every_key_of_our_layout_names_its_owner() -> None:
    owners = {
        f"assets/{new_id('asset')}/original.jpg": BlobOwner.ASSET,
        thumbnail_key(new_id("asset")): BlobOwner.ASSET,
        thumbnail_key(new_id("media")): BlobOwner.MEDIA,
        f"media/{new_id('generation')}/12.mp4": BlobOwner.GENERATION,
        cut_key(new_id("job"), 3): BlobOwner.JOB,
        cut_thumbnail_key(new_id("job"), 3): BlobOwner.JOB,
    }
    for text, owner in owners.items():
        key = parse_blob_key(text)
        assert key is not None, text
        assert (key.owner, key.version) == (owner, 3 if owner is BlobOwner.JOB else 0)
        assert key.owner_id in text


def test_keys_of_another_layout_are_no_orphans() -> None:
    job = new_id("job")
    strange = (
        f"cuts/{job}/notes.txt",
        f"cuts/{job}/v1.mp4.part",
        "backup/2026.tar",
        f"media/{job}/0.mp4",
        "",
    )
    assert [key for key in strange if parse_blob_key(key)] == []


async def test_what_no_record_names_nor_may_name_is_an_orphan(core: CatalogCore) -> None:
    finder = OrphanFinder(core.database)
    campaign = await core.campaign()
    photo = await asset(core)
    whole = await core.made(VIDEO)
    lossy = await core.made(VIDEO, lose=True)
    running = await core.generation(campaign)
    gone = await core.made(VIDEO)
    await core.storage_admin.delete(gone.id)
    canceled = await core.generation(campaign)
    await core.do(canceled.id, cancel_generation)
    stitched, stitching = await core.job(campaign), await core.job(campaign)
    await core.end(stitched, cut=True)
    needed = [
        photo.blob_key,
        thumbnail_key(photo.id),
        whole.stored[0].blob_key,
        thumbnail_key(whole.stored[0].media_id),
        f"media/{lossy.id}/1.mp4",  # a requeue may find it here
        f"media/{running.id}/0.mp4",  # stored, and about to be recorded
        cut_key(stitched.id, 1),
        cut_thumbnail_key(stitched.id, 1),
        cut_key(stitching.id, 1),
        "somebody/elses.txt",
    ]
    orphans = [
        f"assets/{new_id('asset')}/original.png",
        thumbnail_key(new_id("asset")),
        gone.stored[0].blob_key,
        thumbnail_key(gone.stored[0].media_id),
        f"media/{whole.id}/7.mp4",
        f"media/{canceled.id}/0.mp4",
        cut_key(stitched.id, 2),
        cut_thumbnail_key(stitched.id, 2),
    ]
    assert await finder.orphans_among([*needed, *orphans]) == orphans
    await core.storage_admin.delete(stitched.id)
    await core.storage_admin.delete(whole.stored[0].media_id)
    assert set(await finder.orphans_among(needed)) == {*needed[2:4], *needed[6:8]}
    assert await finder.orphans_among([]) == []


async def test_what_a_restored_database_does_not_know_is_no_orphan(core: CatalogCore) -> None:
    """What is deleted leaves its row: an id without one was made after the backup."""
    forgotten = [
        f"media/{new_id('generation')}/0.mp4",
        thumbnail_key(new_id("media")),
        cut_key(new_id("job"), 1),
        cut_thumbnail_key(new_id("job"), 1),
    ]
    assert await OrphanFinder(core.database).orphans_among(forgotten) == []


async def test_every_named_blob_is_listed_once(core: CatalogCore) -> None:
    campaign = await core.campaign()
    wanted: list[str] = []
    for _ in range(3):
        wanted.append((await asset(core)).blob_key)
        wanted += [each.blob_key for each in (await core.made(VIDEO, IMAGE)).stored]
        wanted.append(cut_key((await core.end(await core.job(campaign), cut=True)).id, 1))
    await core.storage_admin.delete((await core.made(VIDEO)).id)
    found: list[str] = []
    request = PageRequest(size=2)
    while True:
        page = await OrphanFinder(core.database).named_blobs(request)
        found += [blob.key for blob in page.items]
        if not page.next_token:
            break
        request = PageRequest(2, page.next_token)
    assert sorted(found) == sorted(wanted)


async def test_an_upload_from_before_a_rebuild_is_no_orphan(core: CatalogCore) -> None:
    """An asset that was deleted leaves no row, and neither does one whose record the journal lost."""
    before = f"assets/{new_id('asset')}/original.png"
    async with core.database.transaction() as connection:
        await connection.execute(update(t.system).values(rebuilt_at=made_at(new_id("asset")) + MINUTE))
    assert await OrphanFinder(core.database).orphans_among([before]) == []
    async with core.database.transaction() as connection:
        await connection.execute(update(t.system).values(rebuilt_at=made_at(new_id("asset")) - MINUTE))
    assert await OrphanFinder(core.database).orphans_among([before]) == [before]
