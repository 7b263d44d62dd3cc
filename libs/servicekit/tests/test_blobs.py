"""Blobs against a real S3 store: whole or not at all, in ranges, with bounded memory."""

from __future__ import annotations

import asyncio
import hashlib
import re
import threading
import tracemalloc
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import urllib3
from minio.error import S3Error

from servicekit.blobs import BlobInfo, BlobStore
from servicekit.blobs.errors import translate_errors
from servicekit.errors import AppError, Internal, Invalid, NotFound, Precondition, Unavailable
from servicekit.testing import S3Server, eventually, s3_store, tcp_server

MIB = 1024 * 1024


def bytes_of(size: int) -> bytes:
    return (hashlib.sha256(b"seed").digest() * (size // 32 + 1))[:size]


async def source(data: bytes, chunk: int = 300_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), chunk):
        yield data[start : start + chunk]


async def collect(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


@pytest.mark.parametrize("size", [0, 1, 300_000, 8 * MIB, 8 * MIB + 1, 20 * MIB])
async def test_what_is_put_is_read(blobs: BlobStore, size: int) -> None:
    data = bytes_of(size)
    info = await blobs.put(
        "a/b.bin", source(data), content_type="video/mp4", metadata={"Sha": "é".encode().hex()}
    )
    assert (info.key, info.size, info.content_type) == ("a/b.bin", size, "video/mp4")
    assert info.metadata == {"sha": "c3a9"}
    assert abs(info.modified_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert await collect(blobs.read("a/b.bin")) == data
    stored = await blobs.stat("a/b.bin")
    assert stored == replace(info, modified_at=stored.modified_at)


@pytest.mark.parametrize(
    ("start", "length"),
    [
        (0, 1),
        (5, 10),
        (8 * MIB - 3, 6),
        (9 * MIB - 1, 1),
        (9 * MIB - 1, 99),
        (1_000_000, None),
        (0, None),
        (3, 0),
    ],
)
async def test_ranges(blobs: BlobStore, start: int, length: int | None) -> None:
    data = bytes_of(9 * MIB)
    await blobs.put("x", data, content_type="video/mp4")
    end = None if length is None else start + length
    assert await collect(blobs.read("x", start=start, length=length)) == data[start:end]


async def test_however_many_callers_there_are_a_store_that_hangs_gets_one_check() -> None:
    checks, answers = [], asyncio.Event()

    async def hanging(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            checks.append(1)
            await answers.wait()
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    async with tcp_server(hanging) as port:
        store = BlobStore(f"http://127.0.0.1:{port}", "key", "secret", "bucket")
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await asyncio.gather(store.check_ready(), store.check_ready())
        checking = asyncio.create_task(store.check_ready())
        await eventually(lambda: checks)
        assert len(checks) == 1
        answers.set()
        await checking
        await store.check_ready()
        assert len(checks) == 2, "an answer holds for those that waited for it, not for later ones"
        await store.stop()


async def test_a_range_behind_the_end_is_refused(blobs: BlobStore) -> None:
    await blobs.put("x", b"abc", content_type="text/plain")
    with pytest.raises(Invalid, match="ends before"):
        await collect(blobs.read("x", start=10))


async def test_absent(blobs: BlobStore, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no/such"):
        await blobs.stat("no/such")
    with pytest.raises(NotFound):
        await collect(blobs.read("no/such"))
    with pytest.raises(NotFound):
        await collect(blobs.read("no/such", length=0))
    with pytest.raises(NotFound):
        await blobs.get_file("no/such", tmp_path / "f")
    await blobs.delete("no/such")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [1000, 9 * MIB, 20 * MIB])
async def test_a_source_that_fails_leaves_nothing(blobs: BlobStore, size: int) -> None:
    async def breaks() -> AsyncIterator[bytes]:
        yield bytes_of(size)
        raise ConnectionError("the provider hung up")

    with pytest.raises(ConnectionError):
        await blobs.put("x", breaks(), content_type="video/mp4")
    with pytest.raises(NotFound):
        await blobs.stat("x")
    assert await blobs.abort_stale_uploads(timedelta(0)) == 0, "the parts are gone too"


async def test_nothing_is_visible_before_complete_and_the_old_stays(blobs: BlobStore) -> None:
    await blobs.put("x", b"old", content_type="text/plain")
    async with blobs.upload("x", content_type="video/mp4") as upload:
        await upload.write(bytes_of(17 * MIB))
        assert await blobs.get("x", limit=10) == b"old"
        await upload.complete()
    assert (await blobs.stat("x")).size == 17 * MIB
    async with blobs.upload("x", content_type="video/mp4") as upload:
        await upload.write(bytes_of(17 * MIB))
    assert (await blobs.stat("x")).size == 17 * MIB


async def test_a_cancelled_upload_is_aborted(blobs: BlobStore) -> None:
    started = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield bytes_of(17 * MIB)
        started.set()
        await asyncio.Event().wait()

    putting = asyncio.create_task(blobs.put("x", endless(), content_type="video/mp4"))
    await started.wait()
    putting.cancel()
    await asyncio.wait([putting])
    assert putting.cancelled()
    assert await blobs.abort_stale_uploads(timedelta(0)) == 0


async def test_stale_uploads_are_swept(blobs: BlobStore) -> None:
    upload = blobs.upload("left/behind", content_type="video/mp4")
    await upload.write(bytes_of(9 * MIB))
    await upload._wait_for_parts()
    assert await blobs.abort_stale_uploads(timedelta(hours=1)) == 0
    assert await blobs.abort_stale_uploads(timedelta(0)) == 1
    assert await blobs.abort_stale_uploads(timedelta(0)) == 0


async def test_files(blobs: BlobStore, tmp_path: Path) -> None:
    data = bytes_of(9 * MIB)
    (tmp_path / "in").write_bytes(data)
    await blobs.put_file("f", tmp_path / "in", content_type="video/mp4")
    info = await blobs.get_file("f", tmp_path / "out")
    assert info == await blobs.stat("f")
    assert info.size == len(data)
    assert (tmp_path / "out").read_bytes() == data
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out"}
    with pytest.raises(Invalid, match="more than 10 bytes"):
        await blobs.get("f", limit=10)


async def test_a_file_that_the_disk_refuses(blobs: BlobStore, tmp_path: Path) -> None:
    await blobs.put("f", b"abc", content_type="text/plain")
    with pytest.raises(FileNotFoundError):
        await blobs.get_file("f", tmp_path / "no such folder" / "out")


async def test_a_download_that_nobody_waits_for_ends(
    blobs: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await blobs.put("f", bytes_of(MIB), content_type="video/mp4")
    reached, go_on = threading.Event(), threading.Event()
    get_object = blobs._client.minio.get_object

    def halting(*args: str) -> Any:
        response = get_object(*args)
        read = response.read

        def read_on_demand(size: int) -> bytes:
            reached.set()
            assert go_on.wait(10)
            return read(size)

        monkeypatch.setattr(response, "read", read_on_demand)
        return response

    monkeypatch.setattr(blobs._client.minio, "get_object", halting)
    getting = asyncio.create_task(blobs.get_file("f", tmp_path / "out"))
    assert await asyncio.to_thread(reached.wait, 10)
    getting.cancel()
    await asyncio.wait([getting])
    assert any(tmp_path.iterdir())
    go_on.set()
    await eventually(lambda: not any(tmp_path.iterdir()))


async def test_the_size_is_read_from_a_store_with_tags_that_are_no_md5(
    blobs: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: list[str] = []
    stat = blobs.stat

    async def noted(key: str) -> BlobInfo:
        requests.append(key)
        return await stat(key)

    monkeypatch.setattr(blobs, "stat", noted)
    assert (await blobs.put("a", b"abc", content_type="text/plain")).size == 3
    assert requests == []
    put = blobs._client.multipart.put
    monkeypatch.setattr(blobs._client.multipart, "put", lambda *args: put(*args) and "encrypted-otherwise")
    assert (await blobs.put("a", b"abcd", content_type="text/plain")).size == 4
    assert requests == ["a"]


@pytest.mark.parametrize("size", [6 * MIB, 9 * MIB])
async def test_a_blob_stored_short_is_removed(
    blobs: BlobStore, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """In one request, and in parts: nobody sees what is short, and it may be written again."""
    data, multipart = bytes_of(size), blobs._client.multipart
    put, part = multipart.put, multipart.part
    with monkeypatch.context() as broken:
        broken.setattr(multipart, "put", lambda key, data, *rest: put(key, data[:-1], *rest))
        broken.setattr(multipart, "part", lambda key, data, *rest: part(key, data[:-1], *rest))
        with pytest.raises(Unavailable, match=f"{size} were written"):
            await blobs.put("a", data, content_type="text/plain")
    with pytest.raises(NotFound):
        await blobs.stat("a")
    assert (await blobs.put("a", data, content_type="text/plain")).size == size


@pytest.mark.parametrize("size", [1, 6 * MIB, 9 * MIB])
async def test_bytes_that_arrive_damaged_are_refused(
    blobs: BlobStore, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """A bit that turns on the way to the store: one request, and parts."""
    data, http = bytes_of(size), blobs._client.minio._http
    urlopen = http.urlopen

    def turn_a_bit(method: str, url: str, body: bytes | None = None, **rest: Any) -> Any:
        damaged = bytes([body[0] ^ 1]) + body[1:] if method == "PUT" and body else body
        return urlopen(method, url, body=damaged, **rest)

    with monkeypatch.context() as broken:
        broken.setattr(http, "urlopen", turn_a_bit)
        with pytest.raises(Unavailable, match="arrived damaged"):
            await blobs.put("a", data, content_type="text/plain")
    with pytest.raises(NotFound):
        await blobs.stat("a")
    await blobs.put("a", data, content_type="text/plain")
    assert await blobs.get("a", limit=size) == data


async def test_what_somebody_else_has_written_meanwhile_is_not_taken_back(
    blobs: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, theirs = blobs._client.multipart.put, bytes_of(2 * MIB)

    def then_theirs(key: str, data: bytes, headers: dict[str, str]) -> str:
        tag = put(key, data, headers)
        put(key, theirs, headers)
        return tag

    monkeypatch.setattr(blobs._client.multipart, "put", then_theirs)
    with pytest.raises(Unavailable, match="2097152 bytes"):
        await blobs.put("a", bytes_of(3 * MIB), content_type="text/plain")
    assert await blobs.get("a", limit=3 * MIB) == theirs


async def test_list_by_prefix(blobs: BlobStore) -> None:
    for key in ("a/1", "a/2", "a/b/3", "c/4"):
        await blobs.put(key, key.encode(), content_type="text/plain")
    assert [(info.key, info.size) async for info in blobs.list("a/")] == [
        ("a/1", 3),
        ("a/2", 3),
        ("a/b/3", 5),
    ]
    assert [info.key async for info in blobs.list()] == ["a/1", "a/2", "a/b/3", "c/4"]
    await blobs.delete("a/1")
    assert [info.key async for info in blobs.list("a/")] == ["a/2", "a/b/3"]


async def test_presigned_addresses_open_for_anybody(blobs: BlobStore) -> None:
    await blobs.put("x", b"hello", content_type="text/plain")
    address = await blobs.presign("x", ttl=timedelta(minutes=5))

    def fetch() -> bytes:
        with urllib.request.urlopen(address) as answer:
            return bytes(answer.read())

    assert await asyncio.to_thread(fetch) == b"hello"


async def test_closing_a_reader_early_frees_its_connection(s3: S3Server) -> None:
    store = BlobStore(s3.endpoint, s3.access_key, s3.secret_key, "early", threads=2)
    await store.start()
    await store.put("x", bytes_of(20 * MIB), content_type="video/mp4")
    for _ in range(6):  # three times as many as there are threads and connections
        reader = store.read("x")
        assert len(await anext(reader)) == 256 * 1024
        await reader.aclose()  # type: ignore[attr-defined]
    assert (await store.stat("x")).size == 20 * MIB
    await store.stop()


async def test_memory_is_bounded_however_large_the_blob(blobs: BlobStore) -> None:
    chunk = bytes_of(MIB)

    async def large() -> AsyncIterator[bytes]:
        for _ in range(96):
            yield chunk

    tracemalloc.start()
    try:
        info = await blobs.put("large", large(), content_type="video/mp4")
        read = 0
        async for piece in blobs.read("large"):
            read += len(piece)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert info.size == read == 96 * MIB
    assert peak < 36 * MIB, f"{peak / MIB:.1f} MiB: four parts of 8 MiB, and change"


async def test_a_store_that_dies_is_named_and_one_that_returns_is_used() -> None:
    async with s3_store() as s3:
        store = BlobStore(s3.endpoint, s3.access_key, s3.secret_key, "bucket")
        await store.start()
        await store.put("kept", bytes_of(9 * MIB), content_type="video/mp4")
        s3.kill()
        with pytest.raises(Unavailable, match=s3.endpoint):
            await store.put("x", b"1", content_type="text/plain")
        await s3.start()
        await store.put("x", b"1", content_type="text/plain")
        assert (await store.stat("kept")).size == 9 * MIB

        reader = store.read("kept")
        await anext(reader)
        s3.kill()
        with pytest.raises(Unavailable):
            await collect(reader)
        await store.stop()


async def test_a_missing_store_at_start_is_reported_with_the_way_out() -> None:
    store = BlobStore("http://127.0.0.1:9", "a", "b", "bucket", start_within=0.2)
    with pytest.raises(Unavailable, match=r"http://127\.0\.0\.1:9 within 0\.2 s: start it"):
        await store.start()
    await store.stop()


@pytest.mark.parametrize(("access", "secret"), [("nobody", "rushes-local"), ("rushes", "wrong")])
async def test_wrong_keys_are_reported_as_such(s3: S3Server, access: str, secret: str) -> None:
    store = BlobStore(s3.endpoint, access, secret, "bucket")
    with pytest.raises(Precondition, match="BLOB_"):
        await asyncio.wait_for(store.start(), 5)
    await store.stop()


@pytest.mark.parametrize(
    ("status", "code", "kind", "message"),
    [
        (400, "XAmzContentChecksumMismatch", Unavailable, "arrived damaged"),
        (503, "XMinioServerNotInitialized", Unavailable, "XMinioServerNotInitialized: {words}"),
        (507, "XMinioStorageFull", Unavailable, "XMinioStorageFull: {words}"),
        (400, "XMinioInvalidObjectName", Internal, "XMinioInvalidObjectName: {words}"),
    ],
)
def test_codes_of_one_store_alone_are_tried_again_when_the_fault_is_the_stores(
    status: int, code: str, kind: type[AppError], message: str
) -> None:
    body = f"<Error><Code>{code}</Code><Message>{{words}}</Message></Error>"
    answer = urllib3.HTTPResponse(body.encode(), status=status)
    with pytest.raises(kind, match=re.escape(message)), translate_errors("http://store", "bucket", "key"):
        raise S3Error.fromxml(answer)


async def test_two_replicas_may_start_at_once(s3: S3Server) -> None:
    stores = [BlobStore(s3.endpoint, s3.access_key, s3.secret_key, "together") for _ in range(4)]
    await asyncio.gather(*(store.start() for store in stores))
    await eventually(lambda: True)
    await asyncio.gather(*(store.stop() for store in stores))
