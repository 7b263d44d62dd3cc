"""Everything an origin may answer that must not be stored: outcome, reason, and nothing partial."""

from __future__ import annotations

import asyncio
import base64
import errno
import gzip
from pathlib import Path

import pytest

from downloader.adapters.fetching.spool import SpooledFile, _disk
from downloader.core.containers.domain import Kind
from downloader.core.fetching.domain.fetch_errors import Code
from servicekit.errors import Unavailable
from servicekit.testing import tcp_server

STEM = "media/gen_1/0"


# What is not media ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"<!DOCTYPE html><html>" + b"Sorry, try again. " * 100, "an HTML page"),
        (b'{"detail": "not found"}' * 100, "JSON"),
        (b"<?xml version='1.0'?><Error>" + b"NoSuchKey " * 200, "XML"),
        (b"just some words " * 100, "text"),
        (bytes(range(1, 256)) * 10, "unknown format"),
        (b"", "empty"),
    ],
)
async def test_what_is_not_media_is_refused_with_what_it_is(bench, origin, body, what) -> None:
    failure = await bench.refused(bench.wanted(origin.does(origin.whole_of(body, Content_Type="video/mp4"))))
    assert failure.code is Code.NOT_MEDIA
    assert what in failure.message
    assert bench.clock.slept == [2.0, 4.0]


async def test_under_1_kb_is_refused(bench, origin) -> None:
    url = origin.at("/x", origin.whole_of(b"\x89PNG\r\n\x1a\n" + bytes(900)))
    failure = await bench.refused(bench.wanted(url, Kind.IMAGE))
    assert failure.code is Code.TOO_SMALL


async def test_a_picture_for_a_video_is_refused_at_once(bench, origin, media) -> None:
    failure = await bench.refused(bench.wanted(origin.serve(media["png"])))
    assert failure.code is Code.WRONG_KIND
    assert not failure.is_retryable
    assert len(origin.asked) == 1


async def test_sound_in_a_video_container_is_no_video(bench, origin, media) -> None:
    failure = await bench.refused(bench.wanted(origin.serve(media["m4a"].replace(b"M4A ", b"isom"))))
    assert failure.code is Code.WRONG_KIND


async def test_a_film_is_no_music_whatever_its_brand(bench, origin, media) -> None:
    """Its upload begins as M4A, and ends with what the decoder finds."""
    for film in (media["mp4"], branded(media["mp4"], b"M4A ")):
        failure = await bench.refused(bench.wanted(origin.serve(film), Kind.AUDIO))
        assert failure.code is Code.WRONG_KIND


@pytest.mark.parametrize("brand", [b"isom", b"mp42", b"M4A "])
@pytest.mark.parametrize("said", [Kind.AUDIO, None])
async def test_sound_in_mp4_is_stored_as_what_it_is(bench, origin, media, brand, said) -> None:
    """Also when nobody had said what to expect; and it is found again, and measured as the same."""
    music = branded(media["m4a"], brand)
    order = bench.wanted(origin.serve(music), said)
    await bench.stores(order, music, "m4a")
    again = await bench.fetcher.stored(order)
    assert (again.content_type, again.measured.kind) == ("audio/mp4", Kind.AUDIO)
    assert (await bench.blobs.stat(again.key)).content_type == "audio/mp4"


@pytest.mark.parametrize("said", [Kind.VIDEO, None])
async def test_a_film_with_the_brand_of_sound_is_stored_as_a_film(bench, origin, media, said) -> None:
    film = branded(media["mp4"], b"M4A ")
    order = bench.wanted(origin.serve(film), said)
    await bench.stores(order, film, "mp4")
    assert (await bench.fetcher.stored(order)).content_type == "video/mp4"


async def test_music_stored_as_mp4_before_is_told_as_what_it_is(bench, media) -> None:
    await bench.blobs.put(f"{STEM}.mp4", media["m4a"], content_type="video/mp4")
    found = await bench.fetcher.stored(bench.wanted("http://gone.example/a.mp4", Kind.AUDIO))
    assert (found.key, found.content_type) == (f"{STEM}.mp4", "audio/mp4")


def branded(data: bytes, brand: bytes) -> bytes:
    """The same file with another brand in front."""
    assert data[4:8] == b"ftyp"
    return data[:8] + brand + data[12:]


async def test_a_hiccup_is_forgiven(bench, origin, media) -> None:
    url = origin.in_turn(origin.whole_of(b"<html>" + b"a" * 2000), origin.whole_of(media["mp4"]))
    await bench.stores(bench.wanted(url), media["mp4"])


async def test_deleted_or_expired(bench, origin) -> None:
    for status in (403, 404, 410):
        origin.asked.clear()
        failure = await bench.refused(bench.wanted(origin.does(origin.whole_of(b"gone", status=status))))
        assert failure.code is Code.GONE
        assert str(status) in failure.message
        assert len(origin.asked) == 3


async def test_compressed_though_nobody_asked(bench, origin, media) -> None:
    packed = origin.whole_of(gzip.compress(media["mp4"]), Content_Encoding="gzip")
    assert (await bench.refused(bench.wanted(origin.does(packed)))).code is Code.ENCODED


# Sizes and times ------------------------------------------------------------------------------------
async def test_announced_too_short(bench, origin, media) -> None:
    data = media["mp4"]

    async def script(asked, reply) -> None:
        await reply.head(200, Content_Length=len(data) // 2)
        await reply.send(data)

    failure = await bench.refused(bench.wanted(origin.does(script)))
    assert failure.code in (Code.TRUNCATED, Code.UNDECODABLE)


@pytest.mark.parametrize("chunked", [True, False])
async def test_without_a_length(bench, origin, media, chunked) -> None:
    data = media["mp4"]

    async def script(asked, reply) -> None:
        if chunked:
            await reply.head(200, Transfer_Encoding="chunked")
            await reply.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data))
        else:
            await reply.head(200)
            await reply.send(data)

    await bench.stores(bench.wanted(origin.does(script)), data)


async def test_chunks_that_break_off(bench, origin, media) -> None:
    async def script(asked, reply) -> None:
        await reply.head(200, Transfer_Encoding="chunked")
        await reply.send(b"%x\r\n%b" % (len(media["mp4"]), media["mp4"][:9000]))

    assert (await bench.refused(bench.wanted(origin.does(script)))).code is Code.TRUNCATED


async def test_too_big_by_its_announcement(bench, origin, media) -> None:
    failure = await bench.refused(bench.wanted(origin.serve(media["mp4"]), max_bytes=20_000))
    assert failure.code is Code.TOO_BIG
    assert len(origin.asked) == 1


async def test_too_big_without_announcement(bench, origin, media) -> None:
    async def script(asked, reply) -> None:
        await reply.head(200)
        await reply.send(media["mp4"])

    failure = await bench.refused(bench.wanted(origin.does(script), max_bytes=20_000))
    assert failure.code is Code.TOO_BIG


async def test_a_slow_drip_is_given_up(bench, origin, media) -> None:
    async def drip(asked, reply) -> None:
        await reply.head(200, Content_Length=len(media["mp4"]))
        for place in range(0, 2000, 10):
            await reply.send(media["mp4"][place : place + 10])
            await asyncio.sleep(0.02)

    failure = await bench.refused(bench.wanted(origin.does(drip), patient=False))
    assert failure.code is Code.TOO_SLOW


async def test_silence_is_given_up(bench, origin, media) -> None:
    async def silent(asked, reply) -> None:
        await reply.head(200, Content_Length=len(media["mp4"]))
        await reply.send(media["mp4"][:5000])
        await asyncio.sleep(3)

    failure = await bench.refused(bench.wanted(origin.does(silent), patient=False))
    assert failure.code is Code.TOO_SLOW
    assert "nothing for 0.5 seconds" in failure.message


# Where it leads -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/x",
        "http://[::1]/x",
        "http://[::ffff:127.0.0.1]/x",
        "http://localhost:{other}/x",
        "http://127.0.0.1:{other}/x",
        "http://2130706433:{other}/x",
    ],
)
async def test_a_redirect_to_a_private_address_is_refused(bench, origin, location) -> None:
    asked: list[bytes] = []

    async def private(reader, writer) -> None:
        asked.append(b"!")
        writer.close()

    async with tcp_server(private) as other:
        failure = await bench.refused(bench.wanted(origin.does(origin.to(location.format(other=other)))))
    assert failure.code is Code.PRIVATE_ADDRESS
    assert asked == []
    assert len(origin.asked) == 1


@pytest.mark.parametrize("location", ["ftp://example.org/x", "file:///etc/passwd", "http://u:p@127.0.0.1/"])
async def test_a_redirect_to_another_scheme_is_refused(bench, origin, location) -> None:
    assert (await bench.refused(bench.wanted(origin.does(origin.to(location))))).code is Code.BAD_ADDRESS


async def test_five_redirects_are_followed_and_six_are_not(bench, origin, media) -> None:
    for number in range(6):
        origin.at(f"/{number}", origin.to(f"/{number + 1}"))
    failure = await bench.refused(bench.wanted(origin.url("/0")))
    assert failure.code is Code.REDIRECTS
    assert len(origin.asked) == 6
    origin.serve(media["mp4"], "/6")
    await bench.stores(bench.wanted(origin.url("/1")), media["mp4"])


async def test_a_redirect_nowhere(bench, origin) -> None:
    async def nowhere(asked, reply) -> None:
        await reply.whole(b"", 302)

    assert (await bench.refused(bench.wanted(origin.does(nowhere)))).code is Code.REDIRECTS


# Inside the address ---------------------------------------------------------------------------------
@pytest.mark.parametrize("extension", ["png", "webp", "mp4"])
async def test_an_output_inside_its_address(bench, media, extension) -> None:
    url = "data:application/octet-stream;base64," + base64.b64encode(media[extension]).decode()
    kind = Kind.VIDEO if extension == "mp4" else Kind.IMAGE
    await bench.stores(bench.wanted(url, kind), media[extension], extension)


async def test_a_data_address_that_is_not_base64(bench) -> None:
    assert (await bench.refused(bench.wanted("data:image/png;base64,!!!", None))).code is Code.BAD_ADDRESS


# Our own parts --------------------------------------------------------------------------------------
async def test_a_full_disk_is_said_and_leaves_nothing(bench, origin, media, monkeypatch) -> None:
    url = origin.serve(media["mp4"])
    monkeypatch.setattr(bench.spool._own, "_own", Path("/dev/full-is-no-folder"))
    with pytest.raises(Unavailable, match="SPOOL_DIR"):
        await bench.fetcher.fetch(bench.wanted(url))
    monkeypatch.undo()

    def full(self, data: bytes) -> None:
        with _disk(self.path.parent):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(SpooledFile, "append", full)
    with pytest.raises(Unavailable, match="No space left"):
        await bench.fetcher.fetch(bench.wanted(url))
    assert await bench.keys() == []
    assert bench.spooled() == []


async def test_what_is_stored_already_is_measured_and_not_fetched(bench, origin, media) -> None:
    order = bench.wanted(origin.serve(media["mp4"]))
    assert await bench.fetcher.stored(order) is None
    first = await bench.fetcher.fetch(order)
    assert await bench.fetcher.stored(order) == first
    assert len(origin.asked) == 1


async def test_two_who_race_store_one(bench, origin, media) -> None:
    order = bench.wanted(origin.serve(media["mp4"]))
    one, two = await asyncio.gather(bench.fetcher.fetch(order), bench.fetcher.fetch(order))
    assert one == two
    assert await bench.keys() == [f"{STEM}.mp4"]
    assert bench.spooled() == []
