"""What the sweep is told: never that a key can go which a record names, or running work may name."""

from __future__ import annotations

from catalog_shelf import IMAGE, VIDEO, Storage

from catalog.core.generations.domain.requesting import cancel_generation
from catalog.core.jobs.domain.model import cut_key, cut_thumbnail_key, thumbnail_key
from catalog.core.shared.ports import PageRequest
from catalog.core.shared.records import Asset
from catalog.core.storage.blob_keys import Room, place_of
from catalog.core.storage.orphans import Sweeping
from servicekit.ids import new_id


async def asset(storage: Storage) -> Asset:
    now = storage.clock.now()
    id_ = new_id("asset")
    key = f"assets/{id_}/original.png"
    made = Asset(id_, "", "n", "f.png", key, IMAGE, now, now, campaign_id=await storage.campaign())
    return await storage.library.add_asset(made)


def test_every_key_that_we_give_has_a_known_shape() -> None:
    shapes = {
        f"assets/{new_id('asset')}/original.jpg": Room.ASSET,
        thumbnail_key(new_id("asset")): Room.ASSET,
        thumbnail_key(new_id("media")): Room.THUMBNAIL,
        f"media/{new_id('generation')}/12.mp4": Room.OUTPUT,
        cut_key(new_id("job"), 3): Room.CUT,
        cut_thumbnail_key(new_id("job"), 3): Room.CUT,
    }
    for key, room in shapes.items():
        place = place_of(key)
        assert place is not None, key
        assert (place.room, place.version) == (room, 3 if room is Room.CUT else 0)
        assert place.id in key


def test_what_is_not_ours_stays() -> None:
    job = new_id("job")
    strange = (
        f"cuts/{job}/notes.txt",
        f"cuts/{job}/v1.mp4.part",
        "backup/2026.tar",
        f"media/{job}/0.mp4",
        "",
    )
    assert [key for key in strange if place_of(key)] == []


async def test_what_is_named_or_waited_for_stays_and_the_rest_can_go(storage: Storage) -> None:
    sweeping = Sweeping(storage.store)
    campaign = await storage.campaign()
    photo = await asset(storage)
    whole = await storage.made(VIDEO)
    lossy = await storage.made(VIDEO, lose=True)
    running = await storage.generation(campaign)
    gone = await storage.made(VIDEO)
    await storage.storing.delete(gone.id)
    canceled = await storage.generation(campaign)
    await storage.do(canceled.id, cancel_generation)
    stitched, stitching = await storage.job(campaign), await storage.job(campaign)
    await storage.end(stitched, cut=True)
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
    unneeded = [
        f"assets/{new_id('asset')}/original.png",
        thumbnail_key(new_id("asset")),
        gone.stored[0].blob_key,
        thumbnail_key(gone.stored[0].media_id),
        f"media/{whole.id}/7.mp4",
        f"media/{canceled.id}/0.mp4",
        cut_key(stitched.id, 2),
        cut_thumbnail_key(stitched.id, 2),
    ]
    assert await sweeping.unneeded([*needed, *unneeded]) == unneeded
    await storage.storing.delete(stitched.id)
    await storage.storing.delete(whole.stored[0].media_id)
    assert set(await sweeping.unneeded(needed)) == {*needed[2:4], *needed[6:8]}
    assert await sweeping.unneeded([]) == []


async def test_what_a_restored_database_has_forgotten_stays(storage: Storage) -> None:
    """What is deleted leaves its row: an id without one was made after the backup."""
    forgotten = [
        f"media/{new_id('generation')}/0.mp4",
        thumbnail_key(new_id("media")),
        cut_key(new_id("job"), 1),
        cut_thumbnail_key(new_id("job"), 1),
    ]
    assert await Sweeping(storage.store).unneeded(forgotten) == []


async def test_every_named_blob_is_listed_once(storage: Storage) -> None:
    campaign = await storage.campaign()
    wanted: list[str] = []
    for _ in range(3):
        wanted.append((await asset(storage)).blob_key)
        wanted += [each.blob_key for each in (await storage.made(VIDEO, IMAGE)).stored]
        wanted.append(cut_key((await storage.end(await storage.job(campaign), cut=True)).id, 1))
    await storage.storing.delete((await storage.made(VIDEO)).id)
    found: list[str] = []
    request = PageRequest(size=2)
    while True:
        page = await Sweeping(storage.store).named(request)
        found += [blob.key for blob in page.items]
        if not page.next_token:
            break
        request = PageRequest(2, page.next_token)
    assert sorted(found) == sorted(wanted)
