"""The pure rules: what a response continues, when to try again, who goes first, what counts as media."""

from __future__ import annotations

import asyncio
import io
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.core.fetching.domain import data_urls
from downloader.core.fetching.domain.data_urls import decode_data_url
from downloader.core.fetching.domain.fetch_errors import ErrorCode, FetchError, GiveUp
from downloader.core.fetching.domain.responses import (
    BodyUse,
    Representation,
    ResponseHead,
    evaluate_response,
    request_headers,
    validator,
)
from downloader.core.scheduling.domain.retry_policy import LAST_TRY_S, QuickRetries, expiry, redelivery_delay
from downloader.core.scheduling.slot_scheduler import SlotScheduler
from mediakit.errors import MediaError
from mediakit.formats import FORMATS, HEAD, sniff
from mediakit.structure import check_structure

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "etag",
            "content-range",
            "content-length",
            "last-modified",
            "date",
            "content-encoding",
            "retry-after",
        ]
    ),
    st.one_of(
        st.text(max_size=20),
        st.sampled_from(
            [
                '"v1"',
                'W/"v1"',
                '"caf\xe9"',
                "bytes 5-9/10",
                "bytes 0-9/10",
                "bytes */10",
                "identity",
                "10",
                "9" * 5000,
            ]
        ),
    ),
)


@given(
    status=st.integers(100, 599),
    headers=HEADERS,
    offset=st.integers(0, 20),
    total=st.none() | st.integers(0, 20),
    tag=st.none() | st.just('"v1"'),
)
def test_only_the_proven_rest_of_the_same_is_appended(status, headers, offset, total, tag) -> None:
    representation = Representation(total, tag)
    sent = request_headers(offset, representation)
    refusal = None
    try:
        use, found = evaluate_response(ResponseHead(status, headers), offset, representation)
    except FetchError as error:
        refusal = error.code
    if refusal is not None:
        assert refusal in (ErrorCode.GONE, ErrorCode.ORIGIN_ERROR, ErrorCode.ENCODED, ErrorCode.REDIRECTS)
        return
    if use is BodyUse.APPEND:
        assert status == 206
        assert offset > 0
        assert sent["If-Range"] == tag == headers["etag"].strip()
        assert headers["content-range"].strip().startswith(f"bytes {offset}-")
        assert found == representation
        assert total is None or headers["content-range"].strip().endswith(f"/{total}")
    elif use is BodyUse.REPLACE:
        assert status in (200, 203) or headers["content-range"].strip() == "bytes 0-9/10"
    else:
        assert "Range" in sent


@given(HEADERS)
def test_a_validator_is_strong(headers) -> None:
    found = validator(ResponseHead(200, headers))
    assert found is None or (found.startswith('"') and found.endswith('"')) or "etag" not in headers
    assert found is None or found.isascii()


def test_a_date_is_a_validator_once_it_is_old_enough() -> None:
    dates = {"last-modified": "Thu, 01 Jan 2026 11:00:00 GMT", "date": "Thu, 01 Jan 2026 12:00:00 GMT"}
    assert validator(ResponseHead(200, dates)) == dates["last-modified"]
    assert validator(ResponseHead(200, dates | {"date": "Thu, 01 Jan 2026 11:00:30 GMT"})) is None
    assert validator(ResponseHead(200, {"last-modified": dates["last-modified"]})) is None
    assert validator(ResponseHead(200, dates | {"etag": 'W/"weak"'})) is None


# The retry policy -----------------------------------------------------------------------------------
def test_quick_retries_start_anew_with_progress() -> None:
    tries = QuickRetries()
    waits = [tries.next_delay(GiveUp.AT_EXPIRY, progressed=False) for _ in range(4)]
    assert waits == [2.0, 4.0, 8.0, None]
    tries = QuickRetries()
    assert [tries.next_delay(GiveUp.AT_EXPIRY, progressed=True) for _ in range(9)] == [2.0] * 9
    tries = QuickRetries()
    assert [tries.next_delay(GiveUp.AFTER_FEW_TRIES, progressed=True) for _ in range(3)] == [2.0, 4.0, None]
    assert QuickRetries().next_delay(GiveUp.AT_ONCE, progressed=True) is None


@given(deliveries=st.integers(0, 1000), left=st.floats(0, 7200), retry_after=st.none() | st.floats(0, 3600))
def test_a_redelivery_comes_before_the_expiry(deliveries, left, retry_after) -> None:
    delay = redelivery_delay(
        deliveries, now=NOW, expires_at=NOW + timedelta(seconds=left), retry_after=retry_after
    )
    assert delay >= 1.0
    assert delay <= max(left - LAST_TRY_S, 1.0) + 1e-3
    assert delay <= max(60.0, retry_after or 0.0)


def test_expiry_is_as_announced_or_an_hour_after_the_end() -> None:
    later = NOW + timedelta(minutes=5)
    assert expiry(later, NOW, NOW, NOW) == later
    assert expiry(None, later, NOW, NOW) == later + timedelta(hours=1)
    assert expiry(None, None, later, NOW) == later + timedelta(hours=1)
    assert expiry(None, None, None, NOW) == NOW + timedelta(hours=1)


async def test_the_earliest_expiry_goes_first() -> None:
    scheduler, finished = SlotScheduler(1), []

    async def work(minutes: int) -> None:
        async with scheduler.permit(NOW + timedelta(minutes=minutes)):
            finished.append(minutes)
            await asyncio.sleep(0)

    async with scheduler.permit(NOW):
        waiting = [asyncio.create_task(work(minutes)) for minutes in (40, 10, 30, 20)]
        await asyncio.sleep(0)
        waiting[1].cancel()
        await asyncio.sleep(0)
    await asyncio.gather(*waiting, return_exceptions=True)
    assert finished == [20, 30, 40]
    async with scheduler.permit(NOW):  # nothing was lost by the one who left
        pass


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=12))
async def test_slots_are_never_lost_nor_doubled(waiters) -> None:
    scheduler, inside, most = SlotScheduler(2), 0, 0

    async def work(minutes: int) -> None:
        nonlocal inside, most
        async with scheduler.permit(NOW + timedelta(minutes=minutes)):
            inside += 1
            most = max(most, inside)
            try:
                await asyncio.sleep(0)
            finally:
                inside -= 1

    tasks = [(asyncio.create_task(work(minutes)), leaves) for minutes, leaves in waiters]
    await asyncio.sleep(0)
    for task, leaves in tasks:
        if leaves:
            task.cancel()
    await asyncio.gather(*(task for task, _ in tasks), return_exceptions=True)
    assert most <= 2
    assert scheduler._free == 2


# Media ----------------------------------------------------------------------------------------------
def test_every_container_is_recognised_by_its_first_bytes(media) -> None:
    assert {sniff(media[c.extension][:HEAD]) for c in FORMATS} == set(FORMATS)
    for container in FORMATS:
        assert sniff(media[container.extension][:HEAD]) is container


@given(st.binary(max_size=200))
def test_sniffing_never_fails(head) -> None:
    found = sniff(head)
    assert found is None or found in FORMATS


@pytest.mark.parametrize(
    "head", [b"\x00\x00\x00\x1cftypavif" + bytes(100), b"\xff\xfb" + bytes(1000), b"RIFF1234ABCD"]
)
def test_near_misses(head) -> None:
    assert sniff(head) is None


def test_the_structure_check_finds_every_cut_of_iso_media(media) -> None:
    from mediakit.formats import MP4

    data = media["mp4"]
    check_structure(io.BytesIO(data), len(data), MP4)
    for size in range(1024, len(data), 997):
        with pytest.raises(MediaError):
            check_structure(io.BytesIO(data[:size]), size, MP4)


def test_the_check_of_magic_and_structure_takes_under_a_millisecond(media) -> None:
    """Not a measurement (that is bench/'s), a tripwire: it reads heads, never the whole."""
    from mediakit.formats import MP4

    class Counting(io.BytesIO):
        taken = 0

        def read(self, size=-1):
            data = super().read(size)
            Counting.taken += len(data)
            return data

    data = media["mp4"]
    file = Counting(data)
    began = time.perf_counter()
    sniff(data[:HEAD])
    check_structure(file, len(data), MP4)
    assert time.perf_counter() - began < 0.05
    assert Counting.taken < 200


# data: addresses -------------------------------------------------------------------------------------
@given(st.binary(max_size=3000))
def test_data_urls_give_back_what_went_in(content) -> None:
    import base64
    from urllib.parse import quote_from_bytes

    encoded = base64.b64encode(content).decode()
    assert b"".join(decode_data_url("data:image/png;base64," + encoded)) == content
    assert b"".join(decode_data_url("data:image/png;base64," + encoded.rstrip("="))) == content
    assert b"".join(decode_data_url("data:," + quote_from_bytes(content))) == content


def test_a_large_data_url_comes_in_pieces(monkeypatch) -> None:
    import base64

    monkeypatch.setattr(data_urls, "_PIECE", 1024)
    content = bytes(range(256)) * 40
    lines = base64.encodebytes(content).decode()
    pieces = list(decode_data_url("data:;base64," + lines))
    assert b"".join(pieces) == content
    assert max(map(len, pieces)) <= 1024
    escaped = "%00" * 3000
    assert b"".join(decode_data_url("data:," + escaped)) == bytes(3000)
