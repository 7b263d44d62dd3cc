"""The S3 client: `minio` with our timeouts, driven from asyncio through a bounded thread pool."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import urllib3

from servicekit.blobs.errors import translate_errors
from servicekit.blobs.minio_private import Multipart, UnsignedBodyMinio
from servicekit.errors import Invalid

T = TypeVar("T")

_META = "x-amz-meta-"


@dataclass(frozen=True)
class BlobInfo:
    """A stored blob: `size` in bytes, `etag` without quotes, `modified_at` in UTC.

    `list` gives neither `content_type` ("") nor `metadata` ({}): S3 does not list them.
    """

    key: str
    size: int
    etag: str
    content_type: str
    modified_at: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)


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
            # A store that is busy with its first volumes answers 500 for some seconds: worth repeating. One
            # that is away is reported at once: how long to wait for it is the caller's decision.
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
        self.minio = UnsignedBodyMinio(
            address.netloc,
            access_key=access_key,
            secret_key=secret_key,
            secure=address.scheme == "https",
            region=region,  # given, or the client would send a request for it
            http_client=self._http,
        )
        self.multipart = Multipart(self.minio, bucket, checksum=address.scheme == "http")

    def close(self) -> None:
        """Shut the threads down and drop the connections."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)
        self._http.clear()

    def submit(self, work: Callable[[], T], key: str = "") -> Future[T]:
        """Start `work` in the pool."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="blobs")

        # Taken out by the thread: one that is slow to go on to its next work would keep the part it has sent.
        waiting = [work]

        def translate() -> T:
            with translate_errors(self.endpoint, self.bucket, key):
                return waiting.pop()()

        return self._pool.submit(translate)

    async def call(self, work: Callable[..., T], *args: Any, key: str = "", **kwargs: Any) -> T:
        """Do `work(*args, **kwargs)` in the pool. When cancelled, the thread finishes by itself."""
        return await asyncio.wrap_future(self.submit(functools.partial(work, *args, **kwargs), key))


def to_headers(content_type: str, metadata: Mapping[str, str]) -> dict[str, str]:
    """What is stored beside the bytes, as request headers."""
    return {
        "Content-Type": content_type,
        **{f"{_META}{name.lower()}": value for name, value in metadata.items()},
    }


def from_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The metadata in response headers, under lower-case names."""
    lower = {name.lower(): value for name, value in headers.items()}
    return {name.removeprefix(_META): value for name, value in lower.items() if name.startswith(_META)}
