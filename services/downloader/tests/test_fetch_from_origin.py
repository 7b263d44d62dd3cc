"""Every way in which an origin can be wrong over the real store: outcome, reason, nothing partial."""

from __future__ import annotations

import hashlib

import pytest

from downloader.core.fetch import Wanted
from downloader.core.media import Kind
from downloader.core.refusals import FetchFailed

STEM = "media/gen_1/0"


def wanted(url: str, kind: Kind | None = Kind.VIDEO, *, patient: bool = True, max_bytes: int = 0) -> Wanted:
    return Wanted(url, STEM, kind, max_bytes=max_bytes, patient=patient)


async def refused(bench, order: Wanted) -> FetchFailed:
    """The refusal; and nothing of it is visible anywhere."""
    with pytest.raises(FetchFailed) as caught:
        await bench.fetcher.fetch(order)
    assert await bench.keys() == []
    assert await bench.open_uploads() == 0
    assert bench.spooled() == []
    return caught.value


async def stored(bench, order: Wanted, data: bytes, extension: str = "mp4") -> None:
    found = await bench.fetcher.fetch(order)
    assert found.key == f"{STEM}.{extension}"
    assert (found.size, found.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert await bench.blobs.get(found.key, limit=2**30) == data
    assert await bench.open_uploads() == 0
    assert bench.spooled() == []


async def test_stores_a_file_whole_with_its_facts(bench, origin, media) -> None:
    found = await bench.fetcher.fetch(wanted(origin.serve(media["mp4"])))
    assert found.content_type == "video/mp4"
    assert found.sha256 == hashlib.sha256(media["mp4"]).hexdigest()
    assert (found.measured.kind, found.measured.width, found.measured.height) == (Kind.VIDEO, 320, 240)
    assert found.measured.codecs == ("h264", "aac")
    assert found.measured.duration_s == pytest.approx(2.0, abs=0.1)
    assert found.measured.fps == pytest.approx(24, abs=0.01)
    assert (await bench.blobs.stat(found.key)).content_type == "video/mp4"


async def test_sends_neither_token_nor_cookies_and_asks_for_no_encoding(bench, origin, media) -> None:
    await bench.fetcher.fetch(wanted(origin.serve(media["mp4"])))
    (asked,) = origin.asked
    assert set(asked.headers) == {"host", "accept", "user-agent", "accept-encoding"}
    assert asked.headers["accept-encoding"] == "identity"
