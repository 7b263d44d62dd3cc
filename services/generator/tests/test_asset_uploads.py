"""Assets become addresses that the provider can read; webhooks of others are not taken for ours."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from generator_fakes import SettableClock
from generator_world import World

from generator.adapters.inputs.asset_upload import INLINE, BlobAssetUploads
from generator.adapters.runs.replicate_predictions import UploadedFile
from generator.core.runs.domain.events import PredictionSucceeded
from generator.core.runs.domain.match_predictions import same_input
from generator.core.runs.handle_webhook import handle_webhook
from servicekit import signing
from servicekit.blobs import BlobStore
from servicekit.clock import SystemClock
from servicekit.errors import Invalid, NotFound
from servicekit.ids import new_id

SINCE = datetime(2026, 1, 1, tzinfo=UTC)


class Uploads:
    def __init__(self) -> None:
        self.names: list[str] = []

    async def __call__(self, data: bytes, *, name: str, content_type: str) -> UploadedFile:
        self.names.append(name)
        return UploadedFile(
            f"https://api.test/v1/files/{len(self.names)}", SystemClock().now() + timedelta(hours=24)
        )


class NoUploads(Uploads):
    async def __call__(self, data: bytes, *, name: str, content_type: str) -> UploadedFile:
        raise NotFound("the provider has no such route")


def asset_uploads(blobs: BlobStore, uploads: Uploads, *, public_url: str = "") -> BlobAssetUploads:
    return BlobAssetUploads(
        blobs,
        uploads,
        SystemClock(),
        public_url=public_url,
        signing_key="hush" if public_url else "",
        life=timedelta(hours=2),
    )


async def test_files_are_uploaded_once_so_that_no_restart_of_ours_fails_a_paid_run(
    blobs: BlobStore,
) -> None:
    asset = new_id("asset")
    await blobs.put(f"assets/{asset}/original.jpg", b"x" * 10, content_type="image/jpeg")
    uploads = Uploads()
    resolver = asset_uploads(blobs, uploads, public_url="https://rushes.test/")
    given = {"image": f"asset:{asset}", "more": [{"x": f"asset:{asset}"}], "n": 5}
    resolved = await resolver.resolve(given, [asset], since=SINCE)
    assert resolved["image"] == resolved["more"][0]["x"] == "https://api.test/v1/files/1"
    assert resolved["n"] == 5
    assert await resolver.resolve(given, [asset], since=SINCE) == resolved
    assert uploads.names == ["original.jpg"]
    assert same_input(given, resolved)


async def test_files_can_be_uploaded_ahead(blobs: BlobStore) -> None:
    asset = new_id("asset")
    await blobs.put(f"assets/{asset}/original.jpg", b"x" * 10, content_type="image/jpeg")
    uploads = Uploads()
    resolver = asset_uploads(blobs, uploads)
    await resolver.upload_ahead([asset, new_id("asset")])  # one that is gone is reported by `resolve`
    assert uploads.names == ["original.jpg"]
    await resolver.resolve({"image": f"asset:{asset}"}, [asset], since=SINCE)
    assert uploads.names == ["original.jpg"]


@pytest.mark.parametrize("back", [0.0, 86_400.0])
async def test_an_upload_that_expires_is_replaced_in_time_whatever_becomes_of_the_wall_clock(
    blobs: BlobStore, back: float
) -> None:
    clock = SettableClock()

    class DayLong(Uploads):
        async def __call__(self, data: bytes, *, name: str, content_type: str) -> UploadedFile:
            self.names.append(name)
            return UploadedFile(f"https://api.test/{len(self.names)}", clock.now() + timedelta(hours=24))

    asset, uploads = new_id("asset"), DayLong()
    await blobs.put(f"assets/{asset}/original.jpg", b"x" * 10, content_type="image/jpeg")
    resolver = BlobAssetUploads(blobs, uploads, clock, public_url="", signing_key="", life=timedelta(hours=2))
    addresses = []
    for hours in (0.0, 23.5, 0.5):
        clock.advance(hours * 3600)
        addresses.append((await resolver.resolve({"a": f"asset:{asset}"}, [asset], since=SINCE))["a"])
        clock.wall_offset = -back
    assert addresses == ["https://api.test/1", "https://api.test/1", "https://api.test/2"]


async def test_without_uploads_small_files_are_inlined_and_large_ones_signed(blobs: BlobStore) -> None:
    small, large = new_id("asset"), new_id("asset")
    await blobs.put(f"assets/{small}/original.png", b"x" * 10, content_type="image/png")
    await blobs.put(f"assets/{large}/original.jpg", b"x" * (INLINE + 1), content_type="image/jpeg")
    given = {"a": f"asset:{small}", "b": f"asset:{large}"}
    resolver = asset_uploads(blobs, NoUploads(), public_url="https://rushes.test/")
    resolved = await resolver.resolve(given, [small, large], since=SINCE)
    assert resolved["a"].startswith("data:image/png;base64,")
    address = urlsplit(resolved["b"])
    assert (address.netloc, address.path) == ("rushes.test", f"/api/v3/assets/{large}/data")
    (token,) = parse_qs(address.query)["token"]
    assert signing.verify("hush", f"asset:{large}", token, now=SINCE) == SINCE + timedelta(hours=2)
    assert await resolver.resolve(given, [small, large], since=SINCE) == resolved
    assert same_input(given, resolved)
    with pytest.raises(Invalid, match="PUBLIC_URL"):
        await asset_uploads(blobs, NoUploads()).resolve(given, [small, large], since=SINCE)


async def test_assets_that_are_not_there_or_no_assets_are_reported(blobs: BlobStore) -> None:
    resolver = asset_uploads(blobs, Uploads())
    with pytest.raises(NotFound, match="was deleted"):
        await resolver.resolve({"a": "x"}, [new_id("asset")], since=SINCE)
    with pytest.raises(Invalid):
        await resolver.resolve({"a": "x"}, [new_id("job")], since=SINCE)


async def test_a_text_that_begins_like_a_file_is_a_text(blobs: BlobStore) -> None:
    text = {"prompt": "asset: a villa", "title": f"asset:{new_id('asset')}"}
    assert await asset_uploads(blobs, NoUploads()).resolve(text, [], since=SINCE) == text
    assert same_input(text, text)
    assert not same_input(text, text | {"prompt": "asset: a boat"})


async def test_a_webhook_adopts_publishes_and_repeats_nothing() -> None:
    world = World()
    generation = world.attempts.add()
    attempt = (await world.attempts.begin(generation)).attempt
    assert attempt is not None
    early = {"id": "p9", "status": "processing", "webhook": f"https://h/api/webhooks/replicate/{attempt.id}"}
    done = early | {"status": "succeeded", "output": "https://x.test/a.mp4"}
    ports = world.ports()
    assert await handle_webhook(ports, attempt.id, json.dumps(early).encode())
    assert world.attempts.generations[generation].attempts[0].prediction_id == "p9"
    assert await handle_webhook(ports, "", json.dumps(done).encode())
    assert not await handle_webhook(ports, attempt.id, json.dumps(done).encode())
    assert not await handle_webhook(ports, attempt.id, json.dumps(early).encode())  # late: out of order
    assert len(world.published(PredictionSucceeded)) == 1
    assert world.woken[attempt.id].is_set()


async def test_a_true_webhook_at_anothers_address_is_refused() -> None:
    world = World()
    one = (await world.attempts.begin(world.attempts.add())).attempt
    two = (await world.attempts.begin(world.attempts.add())).attempt
    assert one is not None
    assert two is not None
    body = {"id": "p1", "status": "succeeded", "output": "https://x/a", "webhook": f"https://h/{one.id}"}
    with pytest.raises(Invalid):
        await handle_webhook(world.ports(), two.id, json.dumps(body).encode())
    await handle_webhook(world.ports(), one.id, json.dumps({"id": "p1", "status": "processing"}).encode())
    with pytest.raises(Invalid):  # also without the echo: the prediction has its owner
        await handle_webhook(world.ports(), two.id, json.dumps({"id": "p1", "status": "processing"}).encode())
    with pytest.raises(NotFound):
        await handle_webhook(world.ports(), "", json.dumps({"id": "p2", "status": "processing"}).encode())


@pytest.mark.parametrize("body", [b"", b"no json", b"[]", b"{}", b'{"id": 5}', b"[" * 100_000])
async def test_bodies_that_are_no_prediction_are_invalid(body: bytes) -> None:
    with pytest.raises(Invalid):
        await handle_webhook(World().ports(), new_id("attempt"), body)
