"""Thumbnails: upright, of a telling frame, made once, over events and gRPC."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image

from mediakit.formats import Kind
from rushes.common.v1 import media_pb2
from rushes.events.v1 import events_pb2
from rushes.stitcher.v1 import stitcher_pb2, stitcher_pb2_grpc
from servicekit.blobs import BlobStore
from servicekit.clock import SystemClock
from servicekit.errors import Invalid, NotFound
from servicekit.events import Event
from servicekit.grpc.client import open_channel
from servicekit.grpc.server import GrpcServer
from stitcher.adapters.probe import AvProber
from stitcher.adapters.thumbnails import PillowThumbnailRenderer
from stitcher.adapters.workspace import WorkFolders
from stitcher.core.thumbnails.make_thumbnail import MakeThumbnail
from stitcher.edges.events import ThumbnailEvents
from stitcher.edges.grpc import StitcherServicer


@pytest_asyncio.fixture
async def make(blobs: BlobStore, tmp_path: Path) -> AsyncIterator[MakeThumbnail]:
    work = WorkFolders(tmp_path / "work")
    await work.start()
    yield MakeThumbnail(blobs=blobs, renderer=PillowThumbnailRenderer(), prober=AvProber(), workspace=work)
    await work.stop()


def photo(*, orientation: int = 1, mode: str = "RGB", kind: str = "JPEG") -> bytes:
    """Left half red, right half blue, 800x400 as stored."""
    image = Image.new(mode, (800, 400), (255, 0, 0) if mode == "RGB" else (255, 0, 0, 255))
    image.paste((0, 0, 255) if mode == "RGB" else (0, 0, 255, 0), (400, 0, 800, 400))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = io.BytesIO()
    image.save(data, kind, exif=exif)
    return data.getvalue()


async def picture(blobs: BlobStore, key: str) -> Image.Image:
    image = Image.open(io.BytesIO(await blobs.get(key, limit=1_000_000)))
    image.load()
    return image


async def test_a_rotated_photo_is_turned_upright(blobs: BlobStore, make: MakeThumbnail) -> None:
    await blobs.put("a", photo(orientation=6), content_type="image/jpeg")  # turn it clockwise to show it
    made = await make.run("a", "thumbs/a.webp", kind=Kind.IMAGE, width=100)
    assert made is not None
    small = await picture(blobs, made.key)
    assert (made.content_type, small.format, small.size) == ("image/webp", "WEBP", (100, 200))
    assert small.convert("RGB").getpixel((50, 20))[0] > 200  # red, the left half, is at the top now
    assert small.convert("RGB").getpixel((50, 180))[2] > 200


async def test_transparent_pictures_become_white_in_jpeg(blobs: BlobStore, make: MakeThumbnail) -> None:
    await blobs.put("a", photo(mode="RGBA", kind="PNG"), content_type="image/png")
    await make.run("a", "a.jpg", kind=Kind.IMAGE)
    small = await picture(blobs, "a.jpg")
    assert (small.format, small.size) == ("JPEG", (480, 240))
    assert min(small.getpixel((400, 120))) > 240


async def test_a_video_shows_a_frame_worth_seeing(
    blobs: BlobStore, make: MakeThumbnail, clip: Callable[..., Path]
) -> None:
    late = clip(pattern=True, seconds=3, filters="drawbox=t=fill:c=black:enable='lt(t,1.2)'")
    await blobs.put_file("v", late, content_type="video/mp4")
    await make.run("v", "thumbs/v.webp")
    small = (await picture(blobs, "thumbs/v.webp")).convert("L")
    assert small.size == (320, 180)
    assert small.getextrema()[1] > 150


async def test_a_video_in_an_unknown_format_is_refused(
    blobs: BlobStore, make: MakeThumbnail, clip: Callable[..., Path]
) -> None:
    await blobs.put("v", clip(color="red").read_bytes().replace(b"avc1", b"zzzz"), content_type="video/mp4")
    with pytest.raises(Invalid, match="v cannot be shown: its picture is in a format that we do not know"):
        await make.run("v", "v.webp", kind=Kind.VIDEO)


async def test_a_long_strip_is_scaled_to_what_the_format_can_hold(
    blobs: BlobStore, make: MakeThumbnail
) -> None:
    strip = io.BytesIO()
    Image.new("RGB", (100, 20_000), "red").save(strip, "PNG")
    await blobs.put("s", strip.getvalue(), content_type="image/png")
    await make.run("s", "s.webp", kind=Kind.IMAGE)
    assert (await picture(blobs, "s.webp")).size == (20, 4096)


async def test_sound_has_no_thumbnail(blobs: BlobStore, make: MakeThumbnail, music: Path) -> None:
    await blobs.put_file("m", music, content_type="audio/wav")
    assert await make.run("m", "m.webp") is None
    assert await make.run("m", "m.webp", kind=Kind.AUDIO) is None


async def test_it_is_made_once(blobs: BlobStore, make: MakeThumbnail) -> None:
    await blobs.put("a", photo(), content_type="image/jpeg")
    first = await make.run("a", "a.webp", kind=Kind.IMAGE)
    await blobs.delete("a")
    assert await make.run("a", "a.webp", kind=Kind.IMAGE) == first


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"just words, no picture at all", "not a JPEG"), (photo()[:2000], "does not decode")],
)
async def test_a_file_that_cannot_be_shown_is_refused_with_the_reason(
    blobs: BlobStore, make: MakeThumbnail, data: bytes, message: str
) -> None:
    await blobs.put("a", data, content_type="image/jpeg")
    with pytest.raises(Invalid, match=message):
        await make.run("a", "a.webp")
    with pytest.raises(NotFound):
        await make.run("absent", "absent.webp")
    with pytest.raises(Invalid, match="width: 5"):
        await make.run("a", "a.webp", width=5)


async def test_an_enormous_image_is_refused_before_it_is_decoded(
    blobs: BlobStore, make: MakeThumbnail
) -> None:
    data = io.BytesIO()
    Image.new("1", (20_000, 10_000)).save(data, "PNG")
    await blobs.put("a", data.getvalue(), content_type="image/png")
    with pytest.raises(Invalid, match="20000x10000 pixels"):
        await make.run("a", "a.webp", kind=Kind.IMAGE)


async def test_new_assets_and_media_get_thumbnails(blobs: BlobStore, make: MakeThumbnail) -> None:
    await blobs.put("assets/a/original.jpg", photo(), content_type="image/jpeg")
    image = {"blob_key": "assets/a/original.jpg", "kind": media_pb2.MEDIA_KIND_IMAGE}
    created = events_pb2.AssetCreated(asset_id="a", thumbnail_key="thumbs/a.webp", **image)
    stored = events_pb2.MediaStored(media_id="m", thumbnail_key="thumbs/m.webp", **image)
    handlers = ThumbnailEvents(make).handlers()
    for type_, message in (("asset.created", created), ("media.stored", stored)):
        await handlers[type_](Event(id="1", type=type_, key="a", data=message.SerializeToString()))
    assert [blob.key async for blob in blobs.list("thumbs/")] == ["thumbs/a.webp", "thumbs/m.webp"]


async def test_a_file_deleted_before_its_event_gets_no_thumbnail_and_no_dead_letter(
    blobs: BlobStore, make: MakeThumbnail
) -> None:
    stored = events_pb2.MediaStored(media_id="m", blob_key="media/g/0.png", thumbnail_key="thumbs/m.webp")
    await ThumbnailEvents(make).handlers()["media.stored"](
        Event(id="1", type="media.stored", key="m", data=stored.SerializeToString())
    )
    assert [blob.key async for blob in blobs.list()] == []


async def test_a_file_deleted_while_its_thumbnail_is_made_leaves_none(
    blobs: BlobStore, tmp_path: Path, make: MakeThumbnail
) -> None:
    """Both are removed after the file is read and before the thumbnail is stored."""
    await blobs.put("media/g/0.jpg", photo(), content_type="image/jpeg")

    class Deleting(PillowThumbnailRenderer):
        async def of_image(self, source: Path, *, width: int, content_type: str) -> bytes:
            picture = await super().of_image(source, width=width, content_type=content_type)
            for key in ("media/g/0.jpg", "thumbs/m.webp"):
                await blobs.delete(key)
            return picture

    make = replace(make, renderer=Deleting())
    with pytest.raises(NotFound):
        await make.run("media/g/0.jpg", "thumbs/m.webp", kind=Kind.IMAGE)
    assert [blob.key async for blob in blobs.list()] == []


async def test_the_rpc_makes_a_thumbnail_and_names_a_wrong_field(
    blobs: BlobStore, make: MakeThumbnail
) -> None:
    await blobs.put("a", photo(), content_type="image/jpeg")
    server = GrpcServer("127.0.0.1:0", [StitcherServicer(make)], clock=SystemClock(), service="stitcher")
    await server.start()
    async with open_channel(f"127.0.0.1:{server.port}") as channel:
        stub = stitcher_pb2_grpc.StitcherServiceStub(channel)
        request = stitcher_pb2.MakeThumbnailRequest
        made = await stub.MakeThumbnail(request(blob_key="a", thumbnail_key="a.jpg", width=64))
        assert (made.thumbnail_key, made.content_type) == ("a.jpg", "image/jpeg")
        assert made.size_bytes == (await blobs.stat("a.jpg")).size
        with pytest.raises(NotFound):
            await stub.MakeThumbnail(request(blob_key="absent", thumbnail_key="b.jpg"))
        with pytest.raises(Invalid, match="thumbnail_key"):
            await stub.MakeThumbnail(request(blob_key="a"))
    await server.stop()
