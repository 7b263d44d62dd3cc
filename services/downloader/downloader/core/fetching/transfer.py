"""What has been received so far, on its way to spool, hash, store and decoder at the same time."""

from __future__ import annotations

import asyncio
import hashlib

from downloader.core.containers.domain import HEAD, Container, Kind, Measured, recognise
from downloader.core.fetching.domain.fetch_errors import Code, FetchFailed
from downloader.core.fetching.domain.resume import Entity
from downloader.core.fetching.ports import Prober, SpoolFile, Store, Upload

BLOCK = 1024 * 1024
"""Bytes handed on at once: large enough that a thread is worth its switch, small enough to bound memory."""

EARLY_FROM = 64 * 1024 * 1024
"""Bytes received from which the start is decoded while the rest arrives: of smaller files it is soon done."""


class Transfer:
    """One content. Memory: two blocks, and what the upload holds (four parts: servicekit.blobs.Upload).

    The upload begins when the first bytes show what the file is, for they give it its extension.
    """

    def __init__(
        self,
        store: Store,
        prober: Prober,
        file: SpoolFile,
        stem: str,
        kind: Kind | None,
        max_bytes: int,
    ) -> None:
        self._store = store
        self._prober = prober
        self._file = file
        self._stem = stem
        self._kind = kind
        self._max_bytes = max_bytes
        self._block = bytearray()
        self._hash = hashlib.sha256()
        self._upload: Upload | None = None
        self._passing: asyncio.Task[None] | None = None
        self._begins: asyncio.Task[bool] | None = None
        self._spooled = 0
        self.offset = 0
        self.entity: Entity | None = None
        self.container: Container | None = None

    @property
    def key(self) -> str:
        """Where it will lie."""
        return f"{self._stem}.{self._known.extension}"

    @property
    def sha256(self) -> str:
        """Of all that was flushed, in lower-case hexadecimal."""
        return self._hash.hexdigest()

    def announce(self, entity: Entity) -> None:
        """Say which content follows; refuses one that is too big before its first byte."""
        self.entity = entity
        self._check_size(entity.total or 0)

    async def write(self, data: bytes) -> None:
        """The next bytes. Raises FetchFailed `too_big`, `not_media`, `wrong_kind`; Unavailable of ours."""
        self.offset += len(data)
        self._check_size(self.offset)
        if not self._block and self.container is not None and len(data) >= BLOCK:
            await self._hand_on(data)  # large enough by itself: no copy
            return
        self._block += data
        if self.container is None and len(self._block) >= HEAD:
            await self._begin(whole=False)
        if len(self._block) >= BLOCK:
            await self._pass_on()

    async def end(self) -> None:
        """All is here: wait until spool, hash and upload have it."""
        if self.container is None:
            await self._begin(whole=True)
        block, self._block = self._block, bytearray()
        await self._hand_on(block, last=True)
        await self._settle()

    async def measure(self) -> Measured:
        """Decode what was flushed, but for a start that was decoded on the way. Raises as `Prober` does."""
        begun = self._begins is not None and await self._begins
        return await self._prober.probe(self._file.path, self._known, begun=begun)

    async def hold(self, container: Container) -> None:
        """Upload what was flushed again, under the extension of what it turned out to be."""
        await self.abort()
        self.container = container
        self._upload = await self._store.upload(self.key, container.content_type)
        reader = await asyncio.to_thread(self._file.path.open, "rb")
        with reader:
            while block := await asyncio.to_thread(reader.read, BLOCK):
                await self._upload.write(block)

    async def publish(self) -> None:
        """Make it visible in the store, whole. Unavailable when the store has not kept all of it."""
        if self._upload is None:
            raise RuntimeError("publish comes after end")
        await self._upload.complete()

    async def restart(self) -> None:
        """Throw away what there is."""
        await self.abort()
        await asyncio.to_thread(self._file.clear)
        self._block.clear()
        self._hash = hashlib.sha256()
        self._spooled = self.offset = 0
        self.entity, self.container = None, None

    async def abort(self) -> None:
        """Leave nothing in the store, unless it was published."""
        under_way = {task for task in (self._passing, self._begins) if task is not None}
        self._passing = self._begins = None
        for task in under_way:
            task.cancel()
        if under_way:
            await asyncio.wait(under_way)
        upload, self._upload = self._upload, None
        if upload is not None:
            await upload.abort()

    @property
    def _known(self) -> Container:
        if self.container is None:
            raise RuntimeError("what it is shows only with its first bytes")
        return self.container

    def _check_size(self, size: int) -> None:
        if size > self._max_bytes:
            raise FetchFailed(
                Code.TOO_BIG, f"it has {size} bytes or more; at most {self._max_bytes} are accepted"
            )

    async def _begin(self, *, whole: bool) -> None:
        self.container = recognise(bytes(self._block[:HEAD]), whole=whole, expected=self._kind)
        self._upload = await self._store.upload(self.key, self.container.content_type)

    async def _pass_on(self) -> None:
        """Hand the block on, while the next one is being received."""
        block, self._block = self._block, bytearray()
        await self._hand_on(block)

    async def _hand_on(self, block: bytes | bytearray, *, last: bool = False) -> None:
        await self._settle()
        self._passing = asyncio.create_task(self._absorb(block, last))

    async def _settle(self) -> None:
        passing, self._passing = self._passing, None
        if passing is not None:
            await passing

    async def _absorb(self, block: bytes | bytearray, last: bool) -> None:
        if self._upload is None:
            raise RuntimeError("the upload begins with the first bytes")
        spooling = asyncio.create_task(asyncio.to_thread(self._keep, block, last))
        try:
            await self._upload.write(block)
        finally:
            # The thread cannot be stopped: wait for it, so that nobody clears the file under its hands.
            await asyncio.wait({spooling})
        spooling.result()
        self._spooled += len(block)
        if self._begins is None and self._spooled >= EARLY_FROM and not last:
            self._begins = asyncio.create_task(self._prober.begins_well(self._file.path, self._known))

    def _keep(self, block: bytes | bytearray, last: bool) -> None:
        self._hash.update(block)
        self._file.append(block)
        if last:
            self._file.flush()
