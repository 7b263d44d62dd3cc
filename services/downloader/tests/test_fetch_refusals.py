"""Everything that an origin may answer and that must not be stored: error, reason, and nothing partial."""

from __future__ import annotations

import asyncio
import base64
import errno
from pathlib import Path
from urllib.parse import quote

import pytest

from downloader.adapters.fetching.spool import SpooledFile, _disk_errors
from downloader.core.fetching.domain.fetch_errors import ErrorCode
from mediakit.formats import Kind
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
async def test_what_is_not_media_is_refused_with_what_it_is(harness, origin, body, what) -> None:
    error = await harness.refusal_of(origin.answer_with(origin.whole_of(body, Content_Type="video/mp4")))
    assert error.code is ErrorCode.NOT_MEDIA
    assert what in error.message
    assert harness.clock.slept == [2.0, 4.0]


async def test_a_picture_for_a_video_is_refused_at_once(harness, origin, media) -> None:
    error = await harness.refusal_of(origin.serve(media["png"]))
    assert error.code is ErrorCode.WRONG_KIND
    assert not error.is_retryable
    assert len(origin.requests) == 1


async def test_sound_in_a_video_container_is_no_video(harness, origin, media) -> None:
    error = await harness.refusal_of(origin.serve(media["m4a"].replace(b"M4A ", b"isom")))
    assert error.code is ErrorCode.WRONG_KIND


async def test_a_film_is_no_music_whatever_its_brand(harness, origin, media) -> None:
    """Its upload begins as M4A, and ends with what the decoder finds."""
    for film in (media["mp4"], branded(media["mp4"], b"M4A ")):
        error = await harness.refusal_of(origin.serve(film), Kind.AUDIO)
        assert error.code is ErrorCode.WRONG_KIND


@pytest.mark.parametrize("brand", [b"isom", b"mp42", b"M4A "])
@pytest.mark.parametrize("expected", [Kind.AUDIO, None])
async def test_sound_in_mp4_is_stored_as_what_it_is(harness, origin, media, brand, expected) -> None:
    """Also when the model does not say what to expect; and it is found again, and measured as the same."""
    music = branded(media["m4a"], brand)
    request = harness.request(origin.serve(music), expected)
    await harness.expect_stored(request, music, "m4a")
    again = await harness.fetcher.find_stored(request)
    assert (again.content_type, again.facts.kind) == ("audio/mp4", Kind.AUDIO)
    assert (await harness.blobs.stat(again.key)).content_type == "audio/mp4"


@pytest.mark.parametrize("expected", [Kind.VIDEO, None])
async def test_a_film_with_the_brand_of_sound_is_stored_as_a_film(harness, origin, media, expected) -> None:
    film = branded(media["mp4"], b"M4A ")
    request = harness.request(origin.serve(film), expected)
    await harness.expect_stored(request, film, "mp4")
    assert (await harness.fetcher.find_stored(request)).content_type == "video/mp4"


async def test_music_that_was_stored_as_mp4_is_measured_as_what_it_is(harness, media) -> None:
    await harness.blobs.put(f"{STEM}.mp4", media["m4a"], content_type="video/mp4")
    found = await harness.fetcher.find_stored(harness.request("http://gone.example/a.mp4", Kind.AUDIO))
    assert (found.key, found.content_type) == (f"{STEM}.mp4", "audio/mp4")


def branded(data: bytes, brand: bytes) -> bytes:
    """The same file with another brand in front."""
    assert data[4:8] == b"ftyp"
    return data[:8] + brand + data[12:]


async def test_a_hiccup_is_forgiven(harness, origin, media) -> None:
    url = origin.answer_in_turn(origin.whole_of(b"<html>" + b"a" * 2000), origin.whole_of(media["mp4"]))
    await harness.expect_stored(harness.request(url), media["mp4"])


async def test_deleted_or_expired(harness, origin) -> None:
    for status in (403, 404, 410):
        origin.requests.clear()
        error = await harness.refusal_of(origin.answer_with(origin.whole_of(b"gone", status=status)))
        assert error.code is ErrorCode.GONE
        assert str(status) in error.message
        assert len(origin.requests) == 3


# Sizes and times ------------------------------------------------------------------------------------
async def test_announced_too_short(harness, origin, media) -> None:
    data = media["mp4"]

    async def script(request, reply) -> None:
        await reply.head(200, Content_Length=len(data) // 2)
        await reply.send(data)

    error = await harness.refusal_of(origin.answer_with(script))
    assert error.code in (ErrorCode.TRUNCATED, ErrorCode.UNDECODABLE)


@pytest.mark.parametrize("chunked", [True, False])
async def test_without_a_length(harness, origin, media, chunked) -> None:
    data = media["mp4"]

    async def script(request, reply) -> None:
        if chunked:
            await reply.head(200, Transfer_Encoding="chunked")
            await reply.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data))
        else:
            await reply.head(200)
            await reply.send(data)

    await harness.expect_stored(harness.request(origin.answer_with(script)), data)


async def test_chunks_that_break_off(harness, origin, media) -> None:
    async def script(request, reply) -> None:
        await reply.head(200, Transfer_Encoding="chunked")
        await reply.send(b"%x\r\n%b" % (len(media["mp4"]), media["mp4"][:9000]))

    assert (await harness.refusal_of(origin.answer_with(script))).code is ErrorCode.TRUNCATED


async def test_too_big_by_its_announcement(harness, origin, media) -> None:
    error = await harness.refusal_of(origin.serve(media["mp4"]), max_bytes=20_000)
    assert error.code is ErrorCode.TOO_BIG
    assert len(origin.requests) == 1


async def test_too_big_without_announcement(harness, origin, media) -> None:
    async def script(request, reply) -> None:
        await reply.head(200)
        await reply.send(media["mp4"])

    error = await harness.refusal_of(origin.answer_with(script), max_bytes=20_000)
    assert error.code is ErrorCode.TOO_BIG


async def test_a_slow_drip_is_given_up(harness, origin, media) -> None:
    async def drip(request, reply) -> None:
        await reply.head(200, Content_Length=len(media["mp4"]))
        for place in range(0, 2000, 10):
            await reply.send(media["mp4"][place : place + 10])
            await asyncio.sleep(0.02)

    error = await harness.refusal_of(origin.answer_with(drip), retry=False)
    assert error.code is ErrorCode.TOO_SLOW


async def test_silence_is_given_up(harness, origin, media) -> None:
    async def silent(request, reply) -> None:
        await reply.head(200, Content_Length=len(media["mp4"]))
        await reply.send(media["mp4"][:5000])
        await asyncio.sleep(3)

    error = await harness.refusal_of(origin.answer_with(silent), retry=False)
    assert error.code is ErrorCode.TOO_SLOW
    assert "nothing for 0.5 seconds" in error.message


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
async def test_a_redirect_to_a_private_address_is_refused(harness, origin, location) -> None:
    contacted: list[bytes] = []

    async def private(reader, writer) -> None:
        contacted.append(b"!")
        writer.close()

    async with tcp_server(private) as other:
        error = await harness.refusal_of(origin.answer_with(origin.to(location.format(other=other))))
    assert error.code is ErrorCode.PRIVATE_ADDRESS
    assert contacted == []
    assert len(origin.requests) == 1


@pytest.mark.parametrize("location", ["ftp://example.org/x", "file:///etc/passwd", "http://u:p@127.0.0.1/"])
async def test_a_redirect_to_another_scheme_is_refused(harness, origin, location) -> None:
    assert (await harness.refusal_of(origin.answer_with(origin.to(location)))).code is ErrorCode.BAD_ADDRESS


@pytest.mark.parametrize(
    ("location", "requested"),
    [
        ("/видео-café-図.mp4".encode(), "/%D0%B2%D0%B8%D0%B4%D0%B5%D0%BE-caf%C3%A9-%E5%9B%B3.mp4"),
        ("/\N{MAN}\N{ZERO WIDTH JOINER}\N{GIRL}\N{NO-BREAK SPACE}.mp4".encode(), None),
        ("/café.mp4".encode("latin-1"), "/caf%E9.mp4"),
        (b"/my film.mp4 ", "/my%20film.mp4"),
        (b"/caf%C3%A9%2Fx.mp4", "/caf%C3%A9%2Fx.mp4"),
    ],
)
async def test_a_redirect_in_whichever_bytes_is_followed(harness, origin, media, location, requested) -> None:
    requested = requested or quote(location.decode())

    async def redirect(request, reply) -> None:
        await reply.send(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nConnection: close\r\n")
        await reply.send(b"Location: " + location + b"\r\n\r\n")

    origin.serve(media["mp4"], requested)
    await harness.expect_stored(harness.request(origin.answer_with(redirect)), media["mp4"])
    assert origin.requests[-1].path == requested


@pytest.mark.parametrize(
    "host", ["a..example", "x" * 70 + ".example", "xn--.example..", "..", "[2001:4860::1%é]"]
)
async def test_a_host_that_is_no_name_is_refused(harness, host) -> None:
    error = await harness.refusal_of(f"http://{host}/x", retry=False)
    assert error.code in (ErrorCode.BAD_ADDRESS, ErrorCode.UNREACHABLE)


async def test_five_redirects_are_followed_and_six_are_not(harness, origin, media) -> None:
    for number in range(6):
        origin.at(f"/{number}", origin.to(f"/{number + 1}"))
    error = await harness.refusal_of(origin.url("/0"))
    assert error.code is ErrorCode.REDIRECTS
    assert len(origin.requests) == 6
    origin.serve(media["mp4"], "/6")
    await harness.expect_stored(harness.request(origin.url("/1")), media["mp4"])


async def test_a_redirect_nowhere(harness, origin) -> None:
    async def nowhere(request, reply) -> None:
        await reply.whole(b"", 302)

    assert (await harness.refusal_of(origin.answer_with(nowhere))).code is ErrorCode.REDIRECTS


# Inside the address ---------------------------------------------------------------------------------
@pytest.mark.parametrize("extension", ["png", "webp", "mp4"])
async def test_an_output_inside_its_address(harness, media, extension) -> None:
    url = "data:application/octet-stream;base64," + base64.b64encode(media[extension]).decode()
    kind = Kind.VIDEO if extension == "mp4" else Kind.IMAGE
    await harness.expect_stored(harness.request(url, kind), media[extension], extension)


async def test_a_data_address_that_is_not_base64(harness) -> None:
    assert (await harness.refusal_of("data:image/png;base64,!!!", None)).code is ErrorCode.BAD_ADDRESS


# Our own parts --------------------------------------------------------------------------------------
async def test_a_full_disk_is_reported_and_leaves_nothing(harness, origin, media, monkeypatch) -> None:
    url = origin.serve(media["mp4"])
    monkeypatch.setattr(harness.spool._folder, "_own", Path("/dev/full-is-no-folder"))
    with pytest.raises(Unavailable, match="SPOOL_DIR"):
        await harness.fetch(harness.request(url))
    monkeypatch.undo()

    def full(self, data: bytes) -> None:
        with _disk_errors(self.path.parent):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(SpooledFile, "append", full)
    with pytest.raises(Unavailable, match="No space left"):
        await harness.fetch(harness.request(url))
    assert await harness.keys() == []
    assert harness.spooled() == []


async def test_what_is_stored_already_is_measured_and_not_fetched(harness, origin, media) -> None:
    request = harness.request(origin.serve(media["mp4"]))
    assert await harness.fetcher.find_stored(request) is None
    first = await harness.fetch(request)
    assert await harness.fetcher.find_stored(request) == first
    assert len(origin.requests) == 1


async def test_two_who_race_store_one(harness, origin, media) -> None:
    request = harness.request(origin.serve(media["mp4"]))
    one, two = await asyncio.gather(harness.fetch(request), harness.fetch(request))
    assert one == two
    assert await harness.keys() == [f"{STEM}.mp4"]
    assert harness.spooled() == []
