"""Content-Encodings that nobody requested: taken as plain, unpacked, or refused."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.core.fetching.domain.content_encoding import Unpacker, compressions
from downloader.core.fetching.domain.fetch_errors import ErrorCode, FetchError


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACKERS = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress}


@pytest.mark.parametrize(
    "encoding", ["aws-chunked", "UTF-8", "binary", "identity", "", "none", "aws-chunked, utf-8", "x-unknown"]
)
async def test_an_encoding_that_is_no_compression_means_nothing(harness, origin, media, encoding) -> None:
    url = origin.answer_with(origin.whole_of(media["mp4"], Content_Encoding=encoding))
    await harness.expect_stored(harness.request(url), media["mp4"])


@pytest.mark.parametrize("encoding", ["gzip", "X-GZIP", "deflate", "aws-chunked, gzip", "gzip,utf-8"])
async def test_what_is_compressed_is_unpacked(harness, origin, media, encoding) -> None:
    pack = PACKERS["deflate" if "deflate" in encoding else "gzip"]
    url = origin.answer_with(origin.whole_of(pack(media["mp4"]), Content_Encoding=encoding))
    await harness.expect_stored(harness.request(url), media["mp4"])


async def test_deflate_without_its_header_and_two_layers_are_unpacked(harness, origin, media) -> None:
    data = media["mp4"]
    bare = origin.whole_of(raw_deflate(data), Content_Encoding="deflate")
    await harness.expect_stored(harness.request(origin.at("/bare", bare)), data)
    await harness.blobs.delete("media/gen_1/0.mp4")
    twice = origin.whole_of(gzip.compress(zlib.compress(data)), Content_Encoding="deflate, gzip")
    await harness.expect_stored(harness.request(origin.at("/twice", twice)), data)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "gzip, gzip"])
@pytest.mark.parametrize("extension", ["mp4", "mp3", "png"])
async def test_a_compression_that_was_not_applied_means_nothing(
    harness, origin, media, encoding, extension
) -> None:
    url = origin.answer_with(origin.whole_of(media[extension], Content_Encoding=encoding))
    await harness.expect_stored(harness.request(url, None), media[extension], extension)


@pytest.mark.parametrize("encoding", ["br", "zstd", "aws-chunked, BR", "gzip, gzip, gzip"])
async def test_a_compression_that_cannot_be_unpacked_is_refused(harness, origin, media, encoding) -> None:
    url = origin.answer_with(origin.whole_of(media["mp4"], Content_Encoding=encoding))
    assert (await harness.refusal_of(url)).code is ErrorCode.ENCODED


@pytest.mark.parametrize("damage", ["cut", "broken", "no gzip"])
async def test_a_broken_compression_is_refused(harness, origin, media, damage) -> None:
    packed = gzip.compress(media["mp4"])
    body = {
        "cut": packed[: len(packed) // 2],
        "broken": packed[:500] + bytes(100) + packed[600:],
        "no gzip": b"<html>" * 1000,
    }[damage]
    error = await harness.refusal_of(origin.answer_with(origin.whole_of(body, Content_Encoding="gzip")))
    assert error.code is ErrorCode.ENCODED


async def test_a_bomb_is_refused_once_it_is_too_big(harness, origin, media) -> None:
    """300 MB of zeros in 0.3 MB: no more than the limit and a piece is unpacked."""
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    packed = packer.compress(media["mp4"])
    for _ in range(300):
        packed += packer.compress(bytes(1_000_000))
    packed += packer.flush()
    url = origin.answer_with(origin.whole_of(packed, Content_Encoding="gzip"))
    assert (await harness.refusal_of(url, max_bytes=2_000_000)).code is ErrorCode.TOO_BIG


async def test_what_was_compressed_starts_again_when_it_breaks(harness, origin, media) -> None:
    """A place in the compressed bytes is none in the file, so there is nothing to resume."""
    packed = gzip.compress(media["mp4"])
    encoded = {"Content_Encoding": "gzip", "ETag": '"v1"'}
    url = origin.answer_in_turn(origin.half_of(packed, **encoded), origin.whole_of(packed, **encoded))
    await harness.expect_stored(harness.request(url), media["mp4"])
    assert [request.start for request in origin.requests] == [None, None]


async def test_a_compressed_rest_is_not_appended(harness, origin, media) -> None:
    data = media["mp4"]
    url = origin.answer_in_turn(
        origin.half_of(data, ETag='"v1"'),
        origin.rest_of(data, ETag='"v1"', Content_Encoding="gzip"),
        origin.whole_of(data),
    )
    await harness.expect_stored(harness.request(url), data)


@given(
    members=st.lists(st.binary(min_size=1, max_size=5000), min_size=1, max_size=3),
    sizes=st.lists(st.integers(1, 3000), min_size=1, max_size=5),
    tail=st.sampled_from([b"", b"\0", b"padding"]),
)
def test_members_in_pieces_of_any_size_are_put_together(members, sizes, tail) -> None:
    packed = b"".join(map(gzip.compress, members)) + tail
    unpacker, found, place, turn = Unpacker(("gzip",)), b"", 0, 0
    while place < len(packed):
        size = sizes[turn % len(sizes)]
        found += b"".join(unpacker.unpack(packed[place : place + size]))
        place, turn = place + size, turn + 1
    found += b"".join(unpacker.finish())
    assert found == b"".join(members)


@given(st.binary(max_size=6000), st.sampled_from(["gzip", "deflate"]))
def test_any_bytes_unpack_or_are_refused(data, coding) -> None:
    unpacker = Unpacker((coding,))
    assert code_of(lambda: [*unpacker.unpack(data), *unpacker.finish()]) in (None, ErrorCode.ENCODED)


@given(st.text(max_size=80))
def test_any_header_is_read(header) -> None:
    assert code_of(lambda: compressions(header)) in (None, ErrorCode.ENCODED)


def code_of(work: Callable[[], object]) -> ErrorCode | None:
    try:
        work()
    except FetchError as error:
        return error.code
    return None
