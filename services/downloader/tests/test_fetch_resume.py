"""Connections that break and content that changes, over the real store."""

from __future__ import annotations

import hashlib

import pytest

from downloader.core.containers.domain import Kind
from downloader.core.fetching.domain.fetch_errors import Code
from downloader.core.fetching.domain.ssrf_guard import parse_allowed


async def test_stores_a_file_whole_with_its_facts(bench, origin, media) -> None:
    found = await bench.fetcher.fetch(bench.wanted(origin.serve(media["mp4"])))
    assert found.content_type == "video/mp4"
    assert found.sha256 == hashlib.sha256(media["mp4"]).hexdigest()
    assert (found.measured.kind, found.measured.width, found.measured.height) == (Kind.VIDEO, 320, 240)
    assert found.measured.codecs == ("h264", "aac")
    assert found.measured.duration_s == pytest.approx(2.0, abs=0.1)
    assert found.measured.fps == pytest.approx(24, abs=0.01)
    assert (await bench.blobs.stat(found.key)).content_type == "video/mp4"


async def test_sends_neither_token_nor_cookies_and_asks_for_no_encoding(bench, origin, media) -> None:
    await bench.fetcher.fetch(bench.wanted(origin.serve(media["mp4"])))
    (asked,) = origin.asked
    assert set(asked.headers) == {"host", "accept", "user-agent", "accept-encoding"}
    assert asked.headers["accept-encoding"] == "identity"


# Broken connections ---------------------------------------------------------------------------------
async def test_resumes_where_the_connection_broke(bench, origin, media) -> None:
    data = media["mp4"]
    url = origin.in_turn(origin.half_of(data, ETag='"v1"'), origin.rest_of(data, ETag='"v1"'))
    await bench.stores(bench.wanted(url), data)
    _, second = origin.asked
    assert second.start == len(data) // 2
    assert second.headers["if-range"] == '"v1"'
    assert bench.clock.slept == [2.0]


async def test_resumes_after_a_reset(bench, origin, media) -> None:
    data = media["mp4"]

    async def reset(asked, reply) -> None:
        await reply.head(200, Content_Length=len(data), ETag='"v1"')
        await reply.send(data[:10_000])
        reply.reset()

    await bench.stores(bench.wanted(origin.in_turn(reset, origin.rest_of(data, ETag='"v1"'))), data)


async def test_a_range_in_several_answers_is_put_together(bench, origin, media) -> None:
    data = media["mp4"]

    async def some(asked, reply) -> None:
        piece = data[asked.start : asked.start + 5000]
        where = f"bytes {asked.start}-{asked.start + len(piece) - 1}/{len(data)}"
        await reply.whole(piece, 206, Content_Range=where, ETag='"v1"')

    url = origin.in_turn(origin.half_of(data, ETag='"v1"'), some, some, origin.rest_of(data, ETag='"v1"'))
    await bench.stores(bench.wanted(url), data)
    assert bench.clock.slept == [2.0]


async def test_a_host_is_there_with_each_answer_that_brings_something_new(bench, origin, media) -> None:
    """As often as it brings what no answer before it had, and not with every piece of it."""
    data, told = media["mp4"], []
    url = origin.in_turn(*[origin.half_of(data)] * 2, origin.whole_of(data))
    await bench.fetcher.fetch(bench.wanted(url), answered=lambda: told.append(len(origin.asked)))
    assert told == [1, 3]


@pytest.mark.parametrize(
    "headers", [{}, {"ETag": 'W/"v1"'}, {"Last_Modified": "Sat, 01 Jan 2022 00:00:00 GMT"}]
)
async def test_without_a_strong_validator_it_starts_again(bench, origin, media, headers) -> None:
    data = media["mp4"]
    await bench.stores(
        bench.wanted(origin.in_turn(origin.half_of(data, **headers), origin.whole_of(data))), data
    )
    assert origin.asked[1].start is None


async def test_a_truncating_origin_is_found_out(bench, origin, media) -> None:
    failure = await bench.refused(bench.wanted(origin.does(origin.half_of(media["mp4"]))))
    assert failure.code is Code.TRUNCATED
    assert failure.is_retryable
    assert len(origin.asked) == 4


async def test_an_origin_that_is_down_is_tried_four_times(bench, origin) -> None:
    failure = await bench.refused(bench.wanted(origin.does(origin.whole_of(b"no", status=503))))
    assert failure.code is Code.ORIGIN_ERROR
    assert bench.clock.slept == [2.0, 4.0, 8.0]


async def test_an_origin_that_asks_for_time_gets_it(bench, origin, media) -> None:
    busy = origin.whole_of(b"", status=429, Retry_After="7")
    await bench.stores(bench.wanted(origin.in_turn(busy, origin.whole_of(media["mp4"]))), media["mp4"])
    assert bench.clock.slept == [7.0]


async def test_nobody_there(bench, origin) -> None:
    closed = await origin.free_port()
    bench.fetcher._allowed = bench.origin._allowed = parse_allowed(["127.0.0.1"])
    failure = await bench.refused(bench.wanted(f"http://127.0.0.1:{closed}/x"))
    assert failure.code is Code.UNREACHABLE


# Content that changes -------------------------------------------------------------------------------
async def test_content_swapped_during_resume_starts_again(bench, origin, media) -> None:
    old, new = media["mp4"], media["mov"]
    url = origin.in_turn(
        origin.half_of(old, ETag='"v1"'), origin.rest_of(new, ETag='"v2"'), origin.whole_of(new, ETag='"v2"')
    )
    await bench.stores(bench.wanted(url), new, "mov")
    assert [asked.start for asked in origin.asked] == [None, len(old) // 2, None]


async def test_a_200_for_a_range_is_the_whole_again(bench, origin, media) -> None:
    old, new = media["mp4"], media["webm"]
    url = origin.in_turn(origin.half_of(old, ETag='"v1"'), origin.whole_of(new, ETag='"v2"'))
    await bench.stores(bench.wanted(url), new, "webm")


async def test_a_416_asks_for_the_whole(bench, origin, media) -> None:
    data = media["mp4"]
    url = origin.in_turn(
        origin.half_of(data, ETag='"v1"'), origin.whole_of(b"", status=416), origin.whole_of(data)
    )
    await bench.stores(bench.wanted(url), data)
    assert [asked.start for asked in origin.asked] == [None, len(data) // 2, None]


@pytest.mark.parametrize(
    "content_range",
    ["bytes 0-9/100", "bytes {half}-{last}/*", "bytes {half}-{last}/{more}", "nonsense", None],
)
async def test_a_range_that_is_not_the_rest_asks_for_the_whole(bench, origin, media, content_range) -> None:
    data = media["mp4"]
    numbers = {"half": len(data) // 2, "last": len(data) - 1, "more": len(data) + 1}
    headers = {} if content_range is None else {"Content_Range": content_range.format(**numbers)}
    odd = origin.whole_of(data[len(data) // 2 :], status=206, ETag='"v1"', **headers)
    url = origin.in_turn(origin.half_of(data, ETag='"v1"'), odd, origin.whole_of(data))
    await bench.stores(bench.wanted(url), data)


async def test_content_that_never_stays_the_same_is_given_up(bench, origin, media) -> None:
    data = media["mp4"]

    async def shifting(asked, reply) -> None:
        tag = f'"{len(origin.asked)}"'
        await (origin.rest_of(data, ETag=tag) if asked.start else origin.half_of(data, ETag=tag))(
            asked, reply
        )

    failure = await bench.refused(bench.wanted(origin.does(shifting)))
    assert failure.code in (Code.CHANGING, Code.TRUNCATED)
