"""Passes what is received on to the hash, the spool file, the upload and the decoder at the same time."""

from __future__ import annotations

import asyncio
import hashlib

from downloader.core.fetching.domain.fetch_errors import ErrorCode, FetchError
from downloader.core.fetching.domain.media import FetchRequest, recognise
from downloader.core.fetching.domain.responses import Representation
from downloader.core.fetching.ports import Prober, SpoolFile, Storage, Upload
from mediakit.facts import Facts
from mediakit.formats import HEAD, Format, by_content
from servicekit.concurrency import end

BLOCK = 1024 * 1024
"""Bytes passed on at once: large enough that a thread is worth its switch, small enough to bound memory."""

EARLY_DECODE_FROM = 64 * 1024 * 1024
"""Bytes received from which the start is decoded while the rest arrives. Smaller files are decoded in no
time once they are complete."""


class Transfer:
    """One content on its way. Memory: two blocks, and what the upload holds (four parts, see
    `servicekit.blobs.Upload`).

    The upload begins when the first bytes show what the file is, because its key ends with the extension.
    """

    def __init__(
        self, storage: Storage, prober: Prober, file: SpoolFile, request: FetchRequest, *, max_bytes: int
    ) -> None:
        self._storage = storage
        self._prober = prober
        self._file = file
        self._request = request
        self._max_bytes = max_bytes
        self._block = bytearray()
        self._hash = hashlib.sha256()
        self._upload: Upload | None = None
        self._writing: asyncio.Task[None] | None = None
        self._early_decode: asyncio.Task[bool] | None = None
        self._spooled = 0
        self._recognised: Format | None = None
        self.offset = 0
        self.representation: Representation | None = None

    @property
    def key(self) -> str:
        return f"{self._request.stem}.{self.container.extension}"

    @property
    def container(self) -> Format:
        if self._recognised is None:
            raise RuntimeError("the container shows only with the first bytes")
        return self._recognised

    @property
    def sha256(self) -> str:
        """Of all that was written, in lower-case hexadecimal; complete after `finish`."""
        return self._hash.hexdigest()

    def announce(self, representation: Representation) -> None:
        """Name the content that follows. Refuses one that is too big before its first byte."""
        self.representation = representation
        self._check_size(representation.total or 0)

    async def write(self, data: bytes) -> None:
        """Take the next bytes.

        Raises:
            FetchError: `too_big`, `too_small`, `not_media`, `wrong_kind`.
            Unavailable: the spool or the store is in trouble.
        """
        self.offset += len(data)
        self._check_size(self.offset)
        if not self._block and self._recognised is not None and len(data) >= BLOCK:
            await self._pass_on(data)  # large enough by itself: no copy
            return
        self._block += data
        if self._recognised is None and len(self._block) >= HEAD:
            self._start_upload(is_whole=False)
        if len(self._block) >= BLOCK:
            block, self._block = self._block, bytearray()
            await self._pass_on(block)

    async def finish(self) -> None:
        """All is received: wait until spool, hash and upload have it."""
        if self._recognised is None:
            self._start_upload(is_whole=True)
        block, self._block = self._block, bytearray()
        await self._pass_on(block, is_last=True)
        await self._wait_for_block()

    async def probe(self) -> Facts:
        """Decode what was received, without the start if that was decoded on the way. Raises as `Prober`."""
        start_decoded = self._early_decode is not None and await self._early_decode
        return await self._prober.probe(self._file.path, self.container, start_decoded=start_decoded)

    async def upload_as(self, container: Format) -> None:
        """Upload it again from the spool, under the extension of what it turned out to be."""
        await self.abort()
        self._recognised = container
        self._upload = self._storage.upload(self.key, container.content_type)
        reader = await asyncio.to_thread(self._file.path.open, "rb")
        with reader:
            while block := await asyncio.to_thread(reader.read, BLOCK):
                await self._upload.write(block)

    async def publish(self) -> None:
        """Make it visible in the store, whole. Unavailable when the store has not stored all of it."""
        if self._upload is None:
            raise RuntimeError("publish comes after finish")
        await self._upload.complete()

    async def restart(self) -> None:
        """Throw away what was received."""
        await self.abort()
        await asyncio.to_thread(self._file.clear)
        self._block.clear()
        self._hash = hashlib.sha256()
        self._spooled = self.offset = 0
        self.representation, self._recognised = None, None

    async def abort(self) -> None:
        """Leave nothing in the store, unless it was published."""
        running = [task for task in (self._writing, self._early_decode) if task is not None]
        self._writing = self._early_decode = None
        await end(*running)
        upload, self._upload = self._upload, None
        if upload is not None:
            await upload.abort()

    def _check_size(self, size: int) -> None:
        if size > self._max_bytes:
            message = f"it has {size} bytes or more; at most {self._max_bytes} are accepted"
            raise FetchError(ErrorCode.TOO_BIG, message)

    def _start_upload(self, *, is_whole: bool) -> None:
        head, required = bytes(self._block[:HEAD]), self._request.required_kind
        container = recognise(head, is_whole=is_whole, required=required, min_bytes=self._request.min_bytes)
        kind = required or self._request.likely_kind
        self._recognised = container if kind is None else by_content(container, kind)
        self._upload = self._storage.upload(self.key, self._recognised.content_type)

    async def _pass_on(self, block: bytes | bytearray, *, is_last: bool = False) -> None:
        """Write the block while the next one is being received."""
        await self._wait_for_block()
        self._writing = asyncio.create_task(self._write_block(block, is_last))

    async def _wait_for_block(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            await writing

    async def _write_block(self, block: bytes | bytearray, is_last: bool) -> None:
        if self._upload is None:
            raise RuntimeError("the upload begins with the first bytes")
        spooling = asyncio.create_task(asyncio.to_thread(self._hash_and_spool, block, is_last))
        try:
            await self._upload.write(block)
        finally:
            # The thread cannot be stopped: wait for it, so that nobody clears the file that it writes to.
            await asyncio.wait({spooling})
        spooling.result()
        self._spooled += len(block)
        if self._early_decode is None and self._spooled >= EARLY_DECODE_FROM and not is_last:
            self._early_decode = asyncio.create_task(
                self._prober.start_decodes(self._file.path, self.container)
            )

    def _hash_and_spool(self, block: bytes | bytearray, is_last: bool) -> None:
        self._hash.update(block)
        self._file.append(block)
        if is_last:
            self._file.flush()
