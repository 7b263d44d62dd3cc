"""FetchFile over real gRPC: what people name by address, through the same guard."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from downloader.edges.fetch_file import DownloaderServicer, filename
from rushes.common.v1.media_pb2 import MEDIA_KIND_IMAGE, MEDIA_KIND_VIDEO
from rushes.downloader.v1.downloader_pb2 import FetchFileRequest
from rushes.downloader.v1.downloader_pb2_grpc import DownloaderServiceStub
from servicekit.clock import SystemClock
from servicekit.errors import Invalid, Limited, Unavailable
from servicekit.grpc.client import open_channel
from servicekit.grpc.server import GrpcServer


class FakeClaims:
    """Claims without other replicas, unless `is_ours` is False."""

    is_ours = True

    @asynccontextmanager
    async def claim(self, stem: str) -> AsyncIterator[bool]:
        yield self.is_ours


@pytest.fixture
def claims() -> FakeClaims:
    return FakeClaims()


@pytest_asyncio.fixture
async def stub(harness, claims) -> AsyncIterator[DownloaderServiceStub]:
    servicer = DownloaderServicer(harness.fetcher, claims)
    server = GrpcServer("127.0.0.1:0", [servicer], clock=SystemClock(), service="downloader")
    await server.start()
    channel = open_channel(f"127.0.0.1:{server.port}")
    yield DownloaderServiceStub(channel)
    await channel.close()
    await server.stop()


def fetch_request(url: str, **fields) -> FetchFileRequest:
    return FetchFileRequest(**{"source_url": url, "blob_key_stem": "assets/ast_1/original"} | fields)


async def test_a_file_by_its_address(harness, stub, origin, media) -> None:
    url = origin.serve(media["png"], "/photos/My%20house.PNG")
    answer = await stub.FetchFile(fetch_request(url + "?size=full", kind=MEDIA_KIND_IMAGE))
    assert answer.blob_key == "assets/ast_1/original.png"
    assert (answer.facts.width, answer.facts.height) == (320, 200)
    assert answer.facts.content_type == "image/png"
    assert answer.filename == "My house.png"
    again = await stub.FetchFile(fetch_request(url, kind=MEDIA_KIND_IMAGE))
    assert again.facts == answer.facts
    assert len(origin.requests) == 1


async def test_a_private_address_is_refused_by_field(stub) -> None:
    with pytest.raises(Invalid) as caught:
        await stub.FetchFile(fetch_request("http://169.254.169.254/latest"))
    assert caught.value.code == "private_address"
    assert [problem.field for problem in caught.value.fields] == ["source_url"]


async def test_a_person_gets_the_answer_at_once(harness, stub, origin) -> None:
    with pytest.raises(Invalid, match="404") as caught:
        await stub.FetchFile(fetch_request(origin.url("/none")))
    assert caught.value.code == "gone"
    with pytest.raises(Unavailable, match="503"):
        await stub.FetchFile(fetch_request(origin.answer_with(origin.whole_of(b"", status=503))))
    assert harness.clock.slept == []


async def test_a_picture_that_breaks_off_is_refused_and_not_to_be_tried_again(stub, origin, media) -> None:
    url = origin.serve(media["jpg"][: len(media["jpg"]) // 2], "/a.jpg")
    with pytest.raises(Invalid, match="truncated") as caught:
        await stub.FetchFile(fetch_request(url, kind=MEDIA_KIND_IMAGE))
    assert caught.value.code == "truncated"


@pytest.mark.parametrize("name", ["PNG", "GIF", "JPEG", "WEBP"])
async def test_a_photo_of_a_few_bytes_is_taken(stub, origin, media, name) -> None:
    """That under 1 kB nothing is real holds for what is paid for, not for what people have."""
    small = media.image(name, (8, 8))
    assert len(small) < 1024
    answer = await stub.FetchFile(fetch_request(origin.serve(small, "/a"), kind=MEDIA_KIND_IMAGE))
    assert (answer.facts.width, answer.facts.size_bytes) == (8, len(small))


async def test_the_wrong_kind_and_too_many_bytes(stub, origin, media) -> None:
    url = origin.serve(media["png"], "/a.png")
    with pytest.raises(Invalid, match="image"):
        await stub.FetchFile(fetch_request(url, kind=MEDIA_KIND_VIDEO))
    with pytest.raises(Invalid, match="at most 2000") as caught:
        await stub.FetchFile(fetch_request(url, max_bytes=2000))
    assert caught.value.code == "too_big"


@pytest.mark.parametrize("stem", ["../etc/passwd", "/abs/x", "a", "a/../b", "a/b.png", "a//b", "a/b/"])
async def test_a_stem_that_is_no_key(stub, stem) -> None:
    with pytest.raises(Invalid) as caught:
        await stub.FetchFile(fetch_request("https://example.org/x", blob_key_stem=stem))
    assert [problem.field for problem in caught.value.fields] == ["blob_key_stem"]


async def test_another_request_is_fetching_it(stub, claims, origin, media) -> None:
    claims.is_ours = False
    with pytest.raises(Limited) as caught:
        await stub.FetchFile(fetch_request(origin.serve(media["png"])))
    assert caught.value.retry_after == 2.0


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://a.org/x/photo.jpeg?y=1", "photo.png"),
        ("https://a.org/", "file.png"),
        ("https://a.org/..%2F..%2Fetc", "etc.png"),
        ("https://a.org/a%00b%0Ac.jpg", "a_b_c.png"),
        ("data:image/png;base64,AAAA/secret.jpg", "file.png"),
        ("https://a.org/v1.2-final", "v1.2-final.png"),
    ],
)
def test_the_file_name_an_address_suggests(url, name) -> None:
    assert filename(url, "png") == name
