"""The S3 client: `minio` with our timeouts, driven from asyncio through a bounded thread pool."""

from __future__ import annotations

import asyncio
import base64
import functools
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import urllib3
from isal import isal_zlib
from minio import Minio
from minio.datatypes import Part

from servicekit.blobs.failures import translated
from servicekit.errors import Invalid

T = TypeVar("T")

MIN_PART = 5 * 1024 * 1024
"""S3: every part but the last has at least 5 MiB."""

_META = "x-amz-meta-"
_SUM = "x-amz-checksum-crc32"


class S3Client:
    """One bucket of one store. Every method runs in the pool and raises our errors.

    Args:
        endpoint: "http://host:port" or "https://host".
        threads: requests in flight; more wait their turn.
    """

    def __init__(
        self, endpoint: str, access_key: str, secret_key: str, bucket: str, *, region: str, threads: int
    ) -> None:
        address = urlsplit(endpoint)
        if address.scheme not in {"http", "https"} or not address.netloc:
            raise Invalid(f"BLOB_ENDPOINT {endpoint!r} is no address: http://host:port or https://host")
        self.endpoint = endpoint
        self.bucket = bucket
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self._http = urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=5, read=60),
            maxsize=threads,
            # A store that is busy with its first volumes answers 500 for some seconds; one that is gone
            # is said to be gone at once, and whoever waits for it decides how long.
            retries=urllib3.Retry(
                total=8,
                connect=2,
                read=2,
                status=7,
                backoff_factor=0.2,
                backoff_max=2.0,
                status_forcelist=[500, 502, 503, 504],
            ),
        )
        self.minio = _Client(
            address.netloc,
            access_key=access_key,
            secret_key=secret_key,
            secure=address.scheme == "https",
            region=region,  # known, so that no request asks for it
            http_client=self._http,
        )
        self.multipart = _Multipart(self.minio, bucket, summed=address.scheme == "http")

    def close(self) -> None:
        """Let go of threads and connections."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)
        self._http.clear()

    def submit(self, work: Callable[[], T], key: str = "") -> Future[T]:
        """Start `work` in the pool."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="blobs")

        def translate() -> T:
            with translated(self.endpoint, self.bucket, key):
                return work()

        return self._pool.submit(translate)

    async def call(self, work: Callable[..., T], *args: Any, key: str = "", **kwargs: Any) -> T:
        """Do `work(*args, **kwargs)` in the pool. When cancelled, the thread finishes by itself."""
        return await asyncio.wrap_future(self.submit(functools.partial(work, *args, **kwargs), key))


def to_headers(content_type: str, metadata: dict[str, str]) -> dict[str, str]:
    """What is stored beside the bytes, as request headers."""
    return {
        "Content-Type": content_type,
        **{f"{_META}{name.lower()}": value for name, value in metadata.items()},
    }


def from_headers(headers: dict[str, str]) -> dict[str, str]:
    """The metadata in answered headers, under lower-case names."""
    lower = {name.lower(): value for name, value in headers.items()}
    return {name.removeprefix(_META): value for name, value in lower.items() if name.startswith(_META)}


class _Client(Minio):
    """`Minio`, which leaves a body unsigned where its CRC-32 goes with it.

    A SHA-256 of every part over http, which not every store looks at, took as long as the rest of sending it.
    Over https the client signs no body either.
    """

    def _build_headers(
        self,
        host: str,
        headers: Any = None,
        body: bytes | None = None,
        creds: Any = None,
    ) -> tuple[Any, datetime]:
        if not body or not creds or _SUM not in (headers or {}):
            return super()._build_headers(host, headers, body, creds)
        built, date = super()._build_headers(host, headers, None, creds)
        return built | {"Content-Length": str(len(body)), "x-amz-content-sha256": "UNSIGNED-PAYLOAD"}, date


class _Multipart:
    """S3's multipart calls and the single PUT with headers.

    The client has them as private methods only: its public `put_object` pulls from a blocking file
    object and keeps three parts in memory. This class alone touches them, so an upgrade that moves them
    breaks here, and the tests of this package tell.

    What arrives is checked by the store. Over https the client sends a Content-MD5. Over http it would sign a
    SHA-256, which MinIO checks and SeaweedFS takes unseen: `summed` sends a CRC-32 instead, which both check
    and which costs a thirtieth. (S3 itself takes that only of uploads that were begun for it; its address is
    https.)
    """

    def __init__(self, minio: Minio, bucket: str, *, summed: bool) -> None:
        self._minio: Any = minio
        self._bucket = bucket
        self._summed = summed

    def put(self, key: str, data: bytes | bytearray, headers: dict[str, str]) -> str:
        """Its entity tag, without quotes."""
        sent = headers | self._sum(data)
        return str(self._minio._put_object(self._bucket, key, data, sent).etag)  # noqa: SLF001  # see the class

    def create(self, key: str, headers: dict[str, str]) -> str:
        upload: str = self._minio._create_multipart_upload(self._bucket, key, headers)  # noqa: SLF001  # see the class
        return upload

    def part(self, key: str, data: bytes | bytearray, upload: str, number: int) -> Part:
        sent = self._sum(data)
        etag = self._minio._upload_part(self._bucket, key, data, sent, upload, number)  # noqa: SLF001  # see the class
        return Part(number, etag)

    def _sum(self, data: bytes | bytearray) -> dict[str, str]:
        if not self._summed:
            return {}
        return {_SUM: base64.b64encode(isal_zlib.crc32(data).to_bytes(4, "big")).decode()}

    def complete(self, key: str, upload: str, parts: list[Part]) -> str:
        """Its entity tag, without quotes."""
        done = self._minio._complete_multipart_upload(self._bucket, key, upload, parts)  # noqa: SLF001  # see the class
        return str(done.etag or "").strip('"')

    def abort(self, key: str, upload: str) -> None:
        self._minio._abort_multipart_upload(self._bucket, key, upload)  # noqa: SLF001  # see the class

    def stale(self, before: datetime) -> list[tuple[str, str]]:
        """(key, upload) of every upload begun before that time."""
        found: list[tuple[str, str]] = []
        key_marker: str | None = None
        upload_marker: str | None = None
        while True:
            page = self._minio._list_multipart_uploads(  # noqa: SLF001  # see the class
                self._bucket, key_marker=key_marker, upload_id_marker=upload_marker
            )
            found.extend(
                (upload.object_name, upload.upload_id)
                for upload in page.uploads
                if upload.initiated_time is None or upload.initiated_time < before
            )
            if not page.is_truncated:
                return found
            key_marker, upload_marker = page.next_key_marker, page.next_upload_id_marker
