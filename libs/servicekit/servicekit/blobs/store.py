"""The blob store: one bucket of an S3 store, for all services."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import os
import threading
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Mapping
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import structlog
import urllib3.exceptions

from servicekit.blobs.client import BlobInfo, S3Client, from_headers, to_headers
from servicekit.blobs.upload import Upload
from servicekit.errors import Invalid, NotFound, Precondition, Unavailable
from servicekit.shared_settings import BlobSettings

CHUNK = 256 * 1024
"""Bytes that `read` hands over at once."""

_PAGE = 500
"""Entries that `list` fetches at once."""

_START_BUDGET = 30.0


class BlobStore:
    """Blobs by key: "media/gen_…/0.mp4". A Part; usable once started.

    Args:
        endpoint: "http://127.0.0.1:8333" or "https://s3.example.org".
        threads: requests in flight at once.
        start_within: seconds that `start` waits for the store.
    """

    def __init__(
        self,
        endpoint: str,
        access_key: str,
        secret_key: str,
        bucket: str,
        *,
        region: str = "us-east-1",
        threads: int = 16,
        start_within: float = _START_BUDGET,
    ) -> None:
        self._client = S3Client(endpoint, access_key, secret_key, bucket, region=region, threads=threads)
        self._start_within = start_within
        self._log = structlog.get_logger("servicekit.blobs")

    @classmethod
    def of(cls, settings: BlobSettings) -> BlobStore:
        """The store that the settings of a service name."""
        return cls(
            settings.blob_endpoint,
            settings.blob_access_key,
            settings.blob_secret_key,
            settings.blob_bucket,
            region=settings.blob_region,
        )

    # Lifecycle ----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Wait for the store and make the bucket where there is none.

        Raises:
            Unavailable: the store does not answer in time.
            Precondition: it refuses our keys; the message names which.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._start_within
        while True:
            try:
                await asyncio.wait_for(self._client.call(self._make_bucket), self._start_within)
            except (Unavailable, TimeoutError) as error:
                if "BLOB_" in str(error):  # refused keys stay refused
                    raise Precondition(str(error)) from error
                if loop.time() > deadline:
                    raise Unavailable(
                        f"no blob store answers at {self._client.endpoint} within {self._start_within:g} s: "
                        "start it (rushes up), or correct BLOB_ENDPOINT"
                    ) from error
                await asyncio.sleep(0.2)
            else:
                return

    async def stop(self) -> None:
        self._client.close()

    async def check_ready(self) -> None:
        """Unavailable unless the store answers."""
        with contextlib.suppress(NotFound):  # no such blob: but the store has answered
            await self.stat("readiness")

    def _make_bucket(self) -> None:
        minio, bucket = self._client.minio, self._client.bucket
        if not minio.bucket_exists(bucket):
            try:
                minio.make_bucket(bucket)
            except Exception:  # another replica was faster: then it exists now
                if not minio.bucket_exists(bucket):
                    raise

    # Writing ------------------------------------------------------------------------------------

    def upload(self, key: str, *, content_type: str, metadata: Mapping[str, str] | None = None) -> Upload:
        """A blob to be written piece by piece; see `Upload`."""
        return Upload(self._client, key, to_headers(content_type, metadata or {}), self.stat)

    async def put(
        self,
        key: str,
        data: bytes | AsyncIterable[bytes],
        *,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
    ) -> BlobInfo:
        """Store the bytes, or all that the source yields: whole, or (when it raises) not at all."""
        async with self.upload(key, content_type=content_type, metadata=metadata) as upload:
            if isinstance(data, bytes | bytearray | memoryview):
                await upload.write(data)
            else:
                async for chunk in data:
                    await upload.write(chunk)
            return await upload.complete()

    async def put_file(
        self, key: str, path: Path, *, content_type: str, metadata: Mapping[str, str] | None = None
    ) -> BlobInfo:
        async def chunks() -> AsyncIterator[bytes]:
            with await asyncio.to_thread(path.open, "rb") as file:
                while chunk := await asyncio.to_thread(file.read, 1024 * 1024):
                    yield chunk

        return await self.put(key, chunks(), content_type=content_type, metadata=metadata)

    # Reading ------------------------------------------------------------------------------------

    async def read(self, key: str, *, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from `start`, `length` of them or to the end, in chunks of at most 256 KiB.

        Nothing is fetched ahead of the reader. Closing it early (`aclose`) drops the connection.

        Raises:
            NotFound: no such blob.
            Invalid: the range begins behind the end.
            Unavailable: the store went away; also in the middle. What came before is right.
        """
        if length is not None and length <= 0:
            await self.stat(key)
            return
        opening = self._client.submit(
            lambda: self._client.minio.get_object(self._client.bucket, key, offset=start, length=length or 0),
            key,
        )
        pending: Future[Any] = opening
        try:
            response = await asyncio.wrap_future(opening)
            while True:
                pending = self._client.submit(lambda: response.read(CHUNK), key)
                chunk: bytes = await asyncio.wrap_future(pending)
                if not chunk:
                    break
                yield chunk
        finally:
            # Cancelled while a thread still reads: close after it has finished, never meanwhile.
            opening.add_done_callback(lambda _: pending.add_done_callback(lambda _: _close(opening)))

    async def get(self, key: str, *, limit: int) -> bytes:
        """A small blob as bytes; Invalid when it has more than `limit`."""
        data = bytearray()
        async for chunk in self.read(key):
            data += chunk
            if len(data) > limit:
                raise Invalid(f"blob {key} has more than {limit} bytes")
        return bytes(data)

    async def get_file(self, key: str, path: Path) -> BlobInfo:
        """Write the blob to `path`: whole, or (when it fails) not at all. OSError when the disk refuses."""
        stopped = threading.Event()
        try:
            return await self._client.call(self._get_file, key, path, stopped, key=key)
        except _DiskError as error:
            raise error.reason from error
        finally:
            stopped.set()  # when cancelled, the thread ends with its next chunk

    def _get_file(self, key: str, path: Path, stopped: threading.Event) -> BlobInfo:
        response = self._client.minio.get_object(self._client.bucket, key)
        info = _info_of(key, response.headers)
        partial = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            with _disk(), partial.open("wb", buffering=0) as file:
                while not stopped.is_set() and (chunk := response.read(CHUNK)):
                    file.write(chunk)
                if stopped.is_set() or file.tell() != info.size:
                    raise Unavailable(f"the blob {key} ended after {file.tell()} of {info.size} bytes")
                partial.replace(path)
            return info
        finally:
            partial.unlink(missing_ok=True)
            response.close()
            response.release_conn()

    async def stat(self, key: str) -> BlobInfo:
        """What the store knows about a blob; NotFound when there is none."""
        found = await self._client.call(self._client.minio.stat_object, self._client.bucket, key, key=key)
        return _info_of(key, found.metadata or {})

    async def list(self, prefix: str = "", *, after: str = "") -> AsyncIterator[BlobInfo]:
        """Every blob whose key begins with `prefix` and comes after `after`, by key."""
        found = self._client.minio.list_objects(
            self._client.bucket, prefix=prefix, recursive=True, start_after=after or None
        )
        while page := await self._client.call(lambda: list(itertools.islice(found, _PAGE)), key=prefix):
            for entry in page:
                yield BlobInfo(
                    key=entry.object_name or "",
                    size=entry.size or 0,
                    etag=(entry.etag or "").strip('"'),
                    content_type="",
                    modified_at=(entry.last_modified or datetime.now(UTC)).astimezone(UTC),
                )

    async def presign(self, key: str, *, ttl: timedelta, disposition: str = "") -> str:
        """An address that anybody may GET the blob at until `ttl` has passed (at most 7 days).

        `disposition` is the `Content-Disposition` that the store answers there.
        """
        headers: dict[str, Any] | None = (
            {"response-content-disposition": disposition} if disposition else None
        )
        sign = functools.partial(
            self._client.minio.presigned_get_object, expires=ttl, response_headers=headers
        )
        address: str = await self._client.call(sign, self._client.bucket, key, key=key)
        return address

    # Removing -----------------------------------------------------------------------------------

    async def delete(self, key: str) -> None:
        """Remove it; absent is fine."""
        await self._client.call(self._client.minio.remove_object, self._client.bucket, key, key=key)

    async def abort_stale_uploads(self, older_than: timedelta) -> int:
        """Abort the uploads begun that long ago and never completed; answers how many."""
        stale = await self._client.call(self._client.multipart.stale, datetime.now(UTC) - older_than)
        for key, upload in stale:
            await self._client.call(self._client.multipart.abort, key, upload, key=key)
        if stale:
            self._log.info("stale uploads aborted", count=len(stale))
        return len(stale)


def _info_of(key: str, headers: Mapping[str, str]) -> BlobInfo:
    """What the headers of a GET or HEAD tell about its blob."""
    modified = headers.get("Last-Modified")
    return BlobInfo(
        key=key,
        size=int(headers.get("Content-Length", 0)),
        etag=headers.get("ETag", "").strip('"'),
        content_type=headers.get("Content-Type", ""),
        modified_at=(parsedate_to_datetime(modified) if modified else datetime.now(UTC)).astimezone(UTC),
        metadata=from_headers(headers),
    )


class _DiskError(Exception):
    """An error of our own disk, apart from the OSErrors that the store's client raises."""

    def __init__(self, reason: OSError) -> None:
        super().__init__(str(reason))
        self.reason = reason


@contextlib.contextmanager
def _disk() -> Iterator[None]:
    try:
        yield
    except urllib3.exceptions.HTTPError:  # some are OSErrors too: the store's
        raise
    except OSError as error:
        raise _DiskError(error) from error


def _close(opening: Future[Any]) -> None:
    """Give the connection back to the pool; urllib3 drops it when there is more to come on it."""
    if not opening.cancelled() and opening.exception() is None:
        response = opening.result()
        response.close()
        response.release_conn()
