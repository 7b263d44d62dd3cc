"""Ranges and preconditions of RFC 9110, as a table and as properties; no server."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.bytes.domain.byte_ranges import WHOLE, ByteRange, Unsatisfiable, select_ranges
from gateway.core.bytes.domain.byte_responses import Representation, attachment, respond
from gateway.core.bytes.domain.preconditions import http_date, parse_date

DATA = bytes(range(100))
TAG = '"abc"'
MODIFIED = datetime(2026, 3, 4, 5, 6, 7, 500_000, tzinfo=UTC)
DATE, EARLIER, LATER = (
    "Wed, 04 Mar 2026 05:06:07 GMT",
    "Wed, 04 Mar 2026 05:06:06 GMT",
    "Wed, 04 Mar 2026 05:06:08 GMT",
)
STORED = Representation(100, "video/mp4", TAG, MODIFIED)
ALL = (0, 99)

CASES = [
    # Range alone
    ({}, 200, ALL),
    ({"range": "bytes=0-0"}, 206, (0, 0)),
    ({"range": "bytes=0-9"}, 206, (0, 9)),
    ({"range": "bytes=10-19"}, 206, (10, 19)),
    ({"range": "bytes=0-99"}, 206, ALL),
    ({"range": "bytes=0-100"}, 206, ALL),
    ({"range": "bytes=50-"}, 206, (50, 99)),
    ({"range": "bytes=99-"}, 206, (99, 99)),
    ({"range": "bytes=0-"}, 206, ALL),
    ({"range": "bytes=-1"}, 206, (99, 99)),
    ({"range": "bytes=-30"}, 206, (70, 99)),
    ({"range": "bytes=-100"}, 206, ALL),
    ({"range": "bytes=-1000"}, 206, ALL),
    ({"range": "bytes=90-99999999999999999999999999"}, 206, (90, 99)),
    ({"range": "bytes= 5-9 "}, 206, (5, 9)),
    ({"range": "BYTES=5-9"}, 206, (5, 9)),
    ({"range": "bytes=5-9,"}, 206, (5, 9)),
    ({"range": "bytes=,5-9"}, 206, (5, 9)),
    # Nothing of it exists
    ({"range": "bytes=100-"}, 416, None),
    ({"range": "bytes=100-200"}, 416, None),
    ({"range": "bytes=99999999999999999999999-"}, 416, None),
    ({"range": "bytes=-0"}, 416, None),
    ({"range": "bytes=100-,200-300"}, 416, None),
    # Not well-formed, and so ignored
    ({"range": "bytes=9-5"}, 200, ALL),
    ({"range": "bytes="}, 200, ALL),
    ({"range": "bytes=,"}, 200, ALL),
    ({"range": "bytes=-"}, 200, ALL),
    ({"range": "bytes=a-b"}, 200, ALL),
    ({"range": "bytes=1"}, 200, ALL),
    ({"range": "bytes=--1"}, 200, ALL),
    ({"range": "bytes=1-2-3"}, 200, ALL),
    ({"range": "bytes 0-9"}, 200, ALL),
    ({"range": "items=0-9"}, 200, ALL),
    ({"range": "bytes=0-9;5-9"}, 200, ALL),
    ({"range": "bytes=+1-9"}, 200, ALL),
    ({"range": "bytes=1-٣"}, 200, ALL),
    ({"range": "bytes=0-9,junk"}, 200, ALL),
    ({"range": ""}, 200, ALL),
    # Several
    ({"range": "bytes=0-9,20-29"}, 206, [(0, 9), (20, 29)]),
    ({"range": "bytes=20-29,0-9"}, 206, [(20, 29), (0, 9)]),
    ({"range": "bytes=0-9,5-19"}, 206, (0, 19)),
    ({"range": "bytes=0-9,10-19"}, 206, (0, 19)),
    ({"range": "bytes=50-59,0-9,5-19"}, 206, [(0, 19), (50, 59)]),
    ({"range": "bytes=0-9,-10"}, 206, [(0, 9), (90, 99)]),
    ({"range": "bytes=0-9,200-300"}, 206, (0, 9)),
    ({"range": "bytes=0-,0-"}, 200, ALL),
    ({"range": "bytes=0-98,1-99"}, 200, ALL),
    ({"range": "bytes=" + ",".join(["0-0"] * 100)}, 206, (0, 0)),
    ({"range": "bytes=" + ",".join(["0-0"] * 101)}, 200, ALL),
    # If-Range: strong comparison, or the very date
    ({"range": "bytes=0-9", "if-range": TAG}, 206, (0, 9)),
    ({"range": "bytes=0-9", "if-range": f"W/{TAG}"}, 200, ALL),
    ({"range": "bytes=0-9", "if-range": '"other"'}, 200, ALL),
    ({"range": "bytes=0-9", "if-range": DATE}, 206, (0, 9)),
    ({"range": "bytes=0-9", "if-range": LATER}, 200, ALL),
    ({"range": "bytes=0-9", "if-range": EARLIER}, 200, ALL),
    ({"range": "bytes=0-9", "if-range": "nonsense"}, 200, ALL),
    ({"range": "bytes=200-", "if-range": '"other"'}, 200, ALL),
    ({"if-range": '"other"'}, 200, ALL),
    # Not modified
    ({"if-none-match": TAG}, 304, None),
    ({"if-none-match": f"W/{TAG}"}, 304, None),
    ({"if-none-match": f'"x", {TAG}'}, 304, None),
    ({"if-none-match": "*"}, 304, None),
    ({"if-none-match": '"x"'}, 200, ALL),
    ({"if-none-match": "abc"}, 200, ALL),
    ({"if-none-match": '"x"', "if-modified-since": DATE}, 200, ALL),
    ({"if-none-match": TAG, "range": "bytes=0-9"}, 304, None),
    ({"if-modified-since": DATE}, 304, None),
    ({"if-modified-since": LATER}, 304, None),
    ({"if-modified-since": EARLIER}, 200, ALL),
    ({"if-modified-since": "yesterday"}, 200, ALL),
    ({"if-modified-since": "Wednesday, 04-Mar-26 05:06:07 GMT"}, 304, None),
    ({"if-modified-since": "Wed Mar  4 05:06:07 2026"}, 304, None),
    # What must hold
    ({"if-match": TAG}, 200, ALL),
    ({"if-match": "*"}, 200, ALL),
    ({"if-match": f'"x" , {TAG}'}, 200, ALL),
    ({"if-match": f"W/{TAG}"}, 412, None),
    ({"if-match": '"x"'}, 412, None),
    ({"if-match": '"x"', "if-none-match": TAG}, 412, None),
    ({"if-match": TAG, "if-unmodified-since": EARLIER}, 200, ALL),
    ({"if-match": TAG, "if-none-match": TAG}, 304, None),
    ({"if-match": TAG, "range": "bytes=0-9"}, 206, (0, 9)),
    ({"if-unmodified-since": DATE}, 200, ALL),
    ({"if-unmodified-since": LATER}, 200, ALL),
    ({"if-unmodified-since": EARLIER}, 412, None),
    ({"if-unmodified-since": "whenever"}, 200, ALL),
    ({"if-match": '"x"', "range": "bytes=200-"}, 412, None),
]


@pytest.mark.parametrize(("headers", "status", "sent"), CASES)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_table(method: str, headers: dict[str, str], status: int, sent: object) -> None:
    made = respond(method, headers, STORED, cache_control="private", boundary="BOUNDARY")
    body = b"".join(DATA[p.start : p.stop] if isinstance(p, ByteRange) else p for p in made.body)
    sent_headers = made.headers
    assert made.status == status
    assert sent_headers["ETag"] == TAG
    if status != 304:
        assert sent_headers["Accept-Ranges"] == "bytes"
    if status in (304, 412, 416):
        assert body == b""
        assert sent_headers.get("Content-Range") == ("bytes */100" if status == 416 else None)
        assert ("Content-Length" in sent_headers) == (status != 304)
        return
    assert sent_headers["Last-Modified"] == DATE
    if method == "HEAD":
        assert body == b""
    else:
        assert sent_headers["Content-Length"] == str(len(body))
    if isinstance(sent, list):
        assert sent_headers["Content-Type"] == "multipart/byteranges; boundary=BOUNDARY"
        assert "Content-Range" not in sent_headers
        if method == "GET":
            assert _parts(body) == [
                (f"bytes {first}-{last}/100", DATA[first : last + 1]) for first, last in sent
            ]
        return
    first, last = sent  # type: ignore[misc]
    assert sent_headers["Content-Type"] == "video/mp4"
    assert sent_headers["Content-Length"] == str(last - first + 1)
    assert sent_headers.get("Content-Range") == (f"bytes {first}-{last}/100" if status == 206 else None)
    if method == "GET":
        assert body == DATA[first : last + 1]


@pytest.mark.parametrize("header", [None, "bytes=0-", "bytes=-5", "bytes=0-0,5-"])
def test_a_range_of_nothing_is_ignored(header: str | None) -> None:
    made = respond(
        "GET",
        {} if header is None else {"range": header},
        Representation(0, "a/b", TAG, MODIFIED),
        cache_control="",
        boundary="x",
    )
    assert (made.status, made.body, made.headers["Content-Length"]) == (200, (), "0")


@given(
    st.integers(1, 2000),
    st.lists(st.tuples(st.integers(0, 2500), st.integers(0, 2500)), min_size=1, max_size=8),
)
def test_every_requested_byte_is_sent_once_and_no_other(size: int, requested: list[tuple[int, int]]) -> None:
    requested = [(min(pair), max(pair)) for pair in requested]
    header = "bytes=" + ",".join(f"{first}-{last}" for first, last in requested)
    wanted = {byte for first, last in requested for byte in range(first, min(last + 1, size))}
    try:
        ranges = select_ranges(header, size)
    except Unsatisfiable:
        assert not wanted
        return
    if ranges == WHOLE:
        assert sum(max(0, min(last + 1, size) - first) for first, last in requested) > size
        return
    sent = [byte for each in ranges for byte in range(each.start, each.stop)]
    assert sorted(sent) == sorted(wanted)


@given(st.text(), st.integers(0, 1000))
def test_no_header_breaks_it(text: str, size: int) -> None:
    try:
        for each in select_ranges("bytes=" + text, size):
            assert 0 <= each.start < each.stop <= size
    except Unsatisfiable:
        assert size > 0
    for name in (
        "if-match",
        "if-none-match",
        "if-range",
        "if-modified-since",
        "if-unmodified-since",
        "range",
    ):
        assert respond("GET", {name: text}, STORED, cache_control="", boundary="x").status in (
            200,
            206,
            304,
            412,
            416,
        )


@given(st.datetimes(datetime(1994, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_dates_round_trip(moment: datetime) -> None:
    assert parse_date(http_date(moment)) == moment.replace(microsecond=0)


def test_names_of_downloads() -> None:
    assert attachment('a/../b "c".mp4') == (
        "attachment; filename=\"b _c_.mp4\"; filename*=UTF-8''b%20%22c%22.mp4"
    )
    assert attachment("Süden\r\nX: y.mp4") == (
        "attachment; filename=\"S_den__X_ y.mp4\"; filename*=UTF-8''S%C3%BCden%0D%0AX%3A%20y.mp4"
    )


def _parts(body: bytes) -> list[tuple[str, bytes]]:
    assert body.startswith(b"--BOUNDARY\r\n")
    assert body.endswith(b"\r\n--BOUNDARY--\r\n")
    found = []
    for part in body.removesuffix(b"\r\n--BOUNDARY--\r\n").split(b"\r\n--BOUNDARY\r\n"):
        head, _, data = part.removeprefix(b"--BOUNDARY\r\n").partition(b"\r\n\r\n")
        assert b"Content-Type: video/mp4" in head
        found.append((re.search(rb"Content-Range: (.*)", head)[1].decode(), data))  # type: ignore[index]
    return found
