"""Uploads one blob: visible whole after `complete`, or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, TypeVar

from minio.datatypes import Part

from servicekit.blobs.client import BlobInfo, S3Client, from_headers
from servicekit.errors import AppError, Internal, Unavailable

T = TypeVar("T")

_AT_ONCE = 3
"""Parts being sent at the same time."""

_COMPARE_MD5 = 1024 * 1024
"""Bytes up to which MD5 takes less time than another request."""

_PART_SIZE = 8 * 1024 * 1024
"""Bytes of a part; S3 takes no part but the last below 5 MiB. A smaller blob is one PUT."""

_ABORT_BUDGET = 10.0
"""Seconds; what cannot be aborted in time is left to `abort_stale_uploads`."""


class Upload:
    """An async context manager: `write` chunks, then `complete`. Leaving without `complete` aborts.

    At most four parts are in memory: the one being filled and three being sent (while the store finishes
    one, it receives others); `write` waits for the store when it is slower than the source. A blob
    that fits in one part is a single PUT.

    What is verified: the store refuses a part whose bytes do not arrive as they were sent (which checksum:
    `minio_private.Multipart`). The whole is then compared by its size, or by its MD5 where that takes less
    time. Nobody reads the bytes back: from there on the store answers for them.
    """

    def __init__(
        self,
        client: S3Client,
        key: str,
        headers: dict[str, str],
        stat: Callable[[str], Awaitable[BlobInfo]],
    ) -> None:
        self._client = client
        self._key = key
        self._headers = headers
        self._stat = stat
        self._buffer = bytearray()
        self._size = 0
        self._upload = ""
        self._parts: list[Part] = []
        self._sending: deque[asyncio.Task[Part]] = deque()
        self._ended = False

    async def __aenter__(self) -> Upload:
        return self

    async def __aexit__(self, *_: object) -> None:
        if not self._ended:
            await self.abort()

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._size

    async def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Take the bytes; returns when there is room for more."""
        if self._ended:
            raise Internal(f"upload of {self._key} has ended: begin another")
        view = memoryview(chunk)
        self._size += len(view)
        while view:
            room = _PART_SIZE - len(self._buffer)
            self._buffer += view[:room]
            view = view[room:]
            if len(self._buffer) == _PART_SIZE and view:
                await self._send()

    async def complete(self) -> BlobInfo:
        """Make it visible. Unavailable when the store has not stored all of it: then nothing is visible."""
        if self._upload:
            if self._buffer:
                await self._send()
            await self._wait_for_parts()
            tag = await self._call(self._client.multipart.complete, self._key, self._upload, self._parts)
        else:
            data = self._buffer
            tag = await self._call(self._client.multipart.put, self._key, data, dict(self._headers))
            # Most stores tag it with its MD5, which proves more than the size and saves the request for it.
            if len(data) <= _COMPARE_MD5 and tag == hashlib.md5(data, usedforsecurity=False).hexdigest():
                return self._done(tag)
        self._ended = True
        self._buffer = bytearray()
        info = await self._stat(self._key)
        if info.size != self._size:
            await self._remove_incomplete(info, tag)
            raise Unavailable(
                f"the store has {info.size} bytes of the blob {self._key}, {self._size} were written: "
                "write it again"
            )
        return info

    async def _remove_incomplete(self, info: BlobInfo, tag: str) -> None:
        """Remove a blob that is too short, unless somebody has written another since: that may be whole."""
        if info.etag != tag:
            return
        # A store that fails here too leaves it visible: readers check sizes anyway.
        with contextlib.suppress(AppError):
            await self._call(self._client.minio.remove_object, self._client.bucket, self._key)

    def _done(self, tag: str) -> BlobInfo:
        self._ended = True
        self._buffer = bytearray()
        return BlobInfo(
            key=self._key,
            size=self._size,
            etag=tag,
            content_type=self._headers["Content-Type"],
            modified_at=datetime.now(UTC),
            metadata=from_headers(self._headers),
        )

    async def abort(self) -> None:
        """Discard what was written; nothing was ever visible. Fine twice and after `complete`."""
        if self._ended:
            return
        self._ended = True
        self._buffer = bytearray()
        if not self._upload:
            return
        # A part that arrives after the abort would begin the upload anew: wait for it.
        with contextlib.suppress(AppError, TimeoutError):
            await asyncio.wait_for(self._wait_until_sent(), _ABORT_BUDGET)
        with contextlib.suppress(AppError, TimeoutError):
            aborting = self._call(self._client.multipart.abort, self._key, self._upload)
            await asyncio.wait_for(aborting, _ABORT_BUDGET)

    async def _send(self) -> None:
        """Send the buffer as the next part, once fewer than `_AT_ONCE` are being sent."""
        if not self._upload:
            self._upload = await self._call(self._client.multipart.create, self._key, dict(self._headers))
        await self._wait_for_parts(leave=_AT_ONCE - 1)
        data, self._buffer = self._buffer, bytearray()
        number = len(self._parts) + len(self._sending) + 1
        sending = self._call(self._client.multipart.part, self._key, data, self._upload, number)
        self._sending.append(asyncio.get_running_loop().create_task(sending))

    async def _wait_for_parts(self, *, leave: int = 0) -> None:
        """Wait for the parts being sent, the oldest first, until so many are left."""
        while len(self._sending) > leave:
            part = await asyncio.shield(self._sending[0])
            self._sending.popleft()
            self._parts.append(part)

    async def _wait_until_sent(self) -> None:
        """Wait for the parts being sent, whether they arrive or fail."""
        if self._sending:
            await asyncio.wait(self._sending)
        for sent in self._sending:
            if not sent.cancelled():
                sent.exception()  # retrieved, or asyncio would log it; the upload is aborted anyway

    def _call(self, work: Callable[..., T], *args: object) -> Coroutine[Any, Any, T]:
        return self._client.call(work, *args, key=self._key)
