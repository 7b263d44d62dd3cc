"""Connections that break and content that changes, over the real store."""

from __future__ import annotations

import hashlib

import pytest

from downloader.core.fetching.domain.fetch_errors import ErrorCode, FetchError
from downloader.core.fetching.domain.ssrf_guard import parse_allowed_hosts
from mediakit.formats import Kind


async def test_stores_a_file_whole_with_its_facts(harness, origin, media) -> None:
    found = await harness.fetch(harness.request(origin.serve(media["mp4"])))
    assert found.content_type == "video/mp4"
    assert found.sha256 == hashlib.sha256(media["mp4"]).hexdigest()
    assert (found.facts.kind, found.facts.width, found.facts.height) == (Kind.VIDEO, 320, 240)
    assert found.facts.codecs == ("h264", "aac")
    assert found.facts.duration_s == pytest.approx(2.0, abs=0.1)
    assert found.facts.fps == pytest.approx(24, abs=0.01)
    assert (await harness.blobs.stat(found.key)).content_type == "video/mp4"


async def test_sends_neither_token_nor_cookies_and_requests_no_encoding(harness, origin, media) -> None:
    await harness.fetch(harness.request(origin.serve(media["mp4"])))
    (request,) = origin.requests
    assert set(request.headers) == {"host", "accept", "user-agent", "accept-encoding"}
    assert request.headers["accept-encoding"] == "identity"


# Broken connections ---------------------------------------------------------------------------------
class RecordingListener:
    """A `FetchListener` that counts."""

    answers = 0

    def host_answered(self) -> None:
        self.answers += 1

    async def progressed(self, received: int, announced: int) -> None:
        pass


async def test_resumes_where_the_connection_broke(harness, origin, media) -> None:
    data = media["mp4"]
    url = origin.answer_in_turn(origin.half_of(data, ETag='"v1"'), origin.rest_of(data, ETag='"v1"'))
    await harness.expect_stored(harness.request(url), data)
    _, second = origin.requests
    assert second.start == len(data) // 2
    assert second.headers["if-range"] == '"v1"'
    assert harness.clock.slept == [2.0]


async def test_resumes_after_a_reset(harness, origin, media) -> None:
    data = media["mp4"]

    async def reset(request, reply) -> None:
        await reply.head(200, Content_Length=len(data), ETag='"v1"')
        await reply.send(data[:10_000])
        reply.reset()

    await harness.expect_stored(
        harness.request(origin.answer_in_turn(reset, origin.rest_of(data, ETag='"v1"'))), data
    )


async def test_a_range_in_several_answers_is_put_together(harness, origin, media) -> None:
    data = media["mp4"]

    async def some(request, reply) -> None:
        piece = data[request.start : request.start + 5000]
        where = f"bytes {request.start}-{request.start + len(piece) - 1}/{len(data)}"
        await reply.whole(piece, 206, Content_Range=where, ETag='"v1"')

    url = origin.answer_in_turn(
        origin.half_of(data, ETag='"v1"'), some, some, origin.rest_of(data, ETag='"v1"')
    )
    await harness.expect_stored(harness.request(url), data)
    assert harness.clock.slept == [2.0]


async def test_a_host_is_alive_with_each_response_that_brings_new_bytes(harness, origin, media) -> None:
    """Once per response, and not with every piece of it."""
    data, listener = media["mp4"], RecordingListener()
    url = origin.answer_in_turn(*[origin.half_of(data)] * 2, origin.whole_of(data))
    async with harness.fetcher.begin(harness.request(url), listener) as fetch:
        for _ in range(2):
            with pytest.raises(FetchError):
                await fetch.try_once()
            assert listener.answers == 1  # the second response brings what the first one had
        await fetch.try_once()
    assert listener.answers == 2


@pytest.mark.parametrize(
    "headers",
    [{}, {"ETag": 'W/"v1"'}, {"ETag": '"café"'}, {"Last_Modified": "Sat, 01 Jan 2022 00:00:00 GMT"}],
)
async def test_without_a_strong_validator_it_starts_again(harness, origin, media, headers) -> None:
    data = media["mp4"]
    await harness.expect_stored(
        harness.request(origin.answer_in_turn(origin.half_of(data, **headers), origin.whole_of(data))), data
    )
    assert origin.requests[1].start is None


async def test_a_truncating_origin_is_found_out(harness, origin, media) -> None:
    error = await harness.refusal_of(origin.answer_with(origin.half_of(media["mp4"])))
    assert error.code is ErrorCode.TRUNCATED
    assert error.is_retryable
    assert len(origin.requests) == 4


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize(("extension", "kind"), [("jpg", Kind.IMAGE), ("mp4", Kind.VIDEO)])
async def test_a_file_that_breaks_off_though_all_is_here_is_truncated(
    harness, origin, media, announced, extension, kind
) -> None:
    """The connection is in order and the same bytes come again, so it is no use to wait until it expires."""
    half = media[extension][: len(media[extension]) // 2]

    async def without_length(request, reply) -> None:
        await reply.head(200)
        await reply.send(half)

    url = origin.serve(half) if announced else origin.answer_with(without_length)
    error = await harness.refusal_of(url, kind)
    assert error.code is ErrorCode.TRUNCATED
    assert harness.clock.slept == [2.0, 4.0]


async def test_an_origin_that_is_down_is_tried_four_times(harness, origin) -> None:
    error = await harness.refusal_of(origin.answer_with(origin.whole_of(b"no", status=503)))
    assert error.code is ErrorCode.ORIGIN_ERROR
    assert harness.clock.slept == [2.0, 4.0, 8.0]


async def test_an_origin_that_wants_time_gets_it(harness, origin, media) -> None:
    busy = origin.whole_of(b"", status=429, Retry_After="7")
    await harness.expect_stored(
        harness.request(origin.answer_in_turn(busy, origin.whole_of(media["mp4"]))), media["mp4"]
    )
    assert harness.clock.slept == [7.0]


async def test_nobody_there(harness, origin) -> None:
    closed = await origin.free_port()
    harness.fetcher.allowed = harness.origin._allowed = parse_allowed_hosts(["127.0.0.1"])
    error = await harness.refusal_of(f"http://127.0.0.1:{closed}/x")
    assert error.code is ErrorCode.UNREACHABLE


# Content that changes -------------------------------------------------------------------------------
async def test_content_swapped_during_resume_starts_again(harness, origin, media) -> None:
    old, new = media["mp4"], media["mov"]
    url = origin.answer_in_turn(
        origin.half_of(old, ETag='"v1"'), origin.rest_of(new, ETag='"v2"'), origin.whole_of(new, ETag='"v2"')
    )
    await harness.expect_stored(harness.request(url), new, "mov")
    assert [request.start for request in origin.requests] == [None, len(old) // 2, None]


async def test_a_200_for_a_range_is_the_whole_again(harness, origin, media) -> None:
    old, new = media["mp4"], media["webm"]
    url = origin.answer_in_turn(origin.half_of(old, ETag='"v1"'), origin.whole_of(new, ETag='"v2"'))
    await harness.expect_stored(harness.request(url), new, "webm")


@pytest.mark.parametrize("status", [203, 206])
async def test_another_status_that_brings_the_whole_is_stored(harness, origin, media, status) -> None:
    """Also when it breaks, and the same status brings the rest."""
    data = media["mp4"]
    headers = {"ETag": '"v1"'}
    if status == 206:
        headers["Content_Range"] = f"bytes 0-{len(data) - 1}/{len(data)}"
    whole = origin.whole_of(data, status=status, **headers)
    await harness.expect_stored(harness.request(origin.at("/whole", whole)), data)
    await harness.blobs.delete("media/gen_1/0.mp4")

    async def half(request, reply) -> None:
        await reply.head(status, Content_Length=len(data), **headers)
        await reply.send(data[: len(data) // 2])

    broken = origin.answer_in_turn(half, whole)
    await harness.expect_stored(harness.request(broken), data)
    assert [request.start for request in origin.requests] == [None, None, len(data) // 2]


async def test_a_part_that_nobody_requested_is_not_taken_for_the_whole(harness, origin, media) -> None:
    data = media["mp3"]  # a part of it would decode as well
    part = origin.whole_of(data[:5000], status=206, Content_Range=f"bytes 0-4999/{len(data)}")
    error = await harness.refusal_of(origin.answer_with(part), Kind.AUDIO)
    assert error.code is ErrorCode.ORIGIN_ERROR
    unknown = origin.whole_of(data[:5000], status=206)
    error = await harness.refusal_of(origin.answer_with(unknown), Kind.AUDIO)
    assert error.code is ErrorCode.ORIGIN_ERROR


async def test_a_416_leads_to_a_request_for_the_whole(harness, origin, media) -> None:
    data = media["mp4"]
    url = origin.answer_in_turn(
        origin.half_of(data, ETag='"v1"'), origin.whole_of(b"", status=416), origin.whole_of(data)
    )
    await harness.expect_stored(harness.request(url), data)
    assert [request.start for request in origin.requests] == [None, len(data) // 2, None]


@pytest.mark.parametrize(
    "content_range",
    ["bytes 0-9/100", "bytes {half}-{last}/*", "bytes {half}-{last}/{more}", "nonsense", None],
)
async def test_a_range_that_is_not_the_rest_leads_to_a_request_for_the_whole(
    harness, origin, media, content_range
) -> None:
    data = media["mp4"]
    numbers = {"half": len(data) // 2, "last": len(data) - 1, "more": len(data) + 1}
    headers = {} if content_range is None else {"Content_Range": content_range.format(**numbers)}
    odd = origin.whole_of(data[len(data) // 2 :], status=206, ETag='"v1"', **headers)
    url = origin.answer_in_turn(origin.half_of(data, ETag='"v1"'), odd, origin.whole_of(data))
    await harness.expect_stored(harness.request(url), data)


async def test_content_that_never_stays_the_same_is_given_up(harness, origin, media) -> None:
    data = media["mp4"]

    async def shifting(request, reply) -> None:
        tag = f'"{len(origin.requests)}"'
        await (origin.rest_of(data, ETag=tag) if request.start else origin.half_of(data, ETag=tag))(
            request, reply
        )

    error = await harness.refusal_of(origin.answer_with(shifting))
    assert error.code in (ErrorCode.CHANGING, ErrorCode.TRUNCATED)
