"""The store of the core over the shared blob store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from downloader.core.containers.domain import BY_EXTENSION
from downloader.core.fetching.ports import Found
from downloader.core.orphans.orphan_sweep import OWNER_KEY, StoredBlob
from servicekit.blobs import BlobStore
from servicekit.blobs.upload import Upload
from servicekit.errors import NotFound, Unavailable


class BlobUpload:
    """A file on its way into the store."""

    def __init__(self, upload: Upload) -> None:
        self._upload = upload

    async def write(self, data: bytes | bytearray) -> None:
        """The next bytes."""
        await self._upload.write(data)

    async def complete(self) -> None:
        """Make it visible, whole."""
        await self._upload.complete()

    async def abort(self) -> None:
        """Leave nothing behind."""
        await self._upload.abort()


class Blobs:
    """See `core.ports.Store` and `core.sweep.BlobList`."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    async def find(self, stem: str) -> Sequence[Found]:
        """What lies under `<stem>.<an accepted extension>`: one listing, not a look at each of them."""
        return [
            Found(blob.key, blob.size)
            async for blob in self._blobs.list(f"{stem}.")
            if blob.key.removeprefix(f"{stem}.") in BY_EXTENSION
        ]

    async def upload(self, key: str, content_type: str) -> BlobUpload:
        """Begin to store a file."""
        return BlobUpload(self._blobs.upload(key, content_type=content_type))

    async def read(self, key: str, path: Path) -> None:
        """Copy a file from the store to the path."""
        try:
            await self._blobs.get_file(key, path)
        except OSError as error:
            raise Unavailable(f"cannot write in the spool folder {path.parent}: {error.strerror}") from error

    async def list(self, *, after: str) -> AsyncIterator[StoredBlob]:
        """Every blob after a key, by key."""
        async for blob in self._blobs.list(after=after):
            yield StoredBlob(blob.key, blob.size, blob.modified_at)

    async def owner(self, system: str) -> str:
        """The system that the store belongs to; the one that asks, when it belonged to none."""
        try:
            return (await self._blobs.get(OWNER_KEY, limit=1000)).decode()
        except NotFound:
            await self._blobs.put(OWNER_KEY, system.encode(), content_type="text/plain")
            return system

    async def exists(self, key: str) -> bool:
        """Whether there is such a blob."""
        try:
            await self._blobs.stat(key)
        except NotFound:
            return False
        return True

    async def delete(self, key: str) -> None:
        """Remove it; absent is fine."""
        await self._blobs.delete(key)
