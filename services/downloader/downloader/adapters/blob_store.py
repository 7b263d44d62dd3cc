"""Stores and lists files in the shared blob store, for fetching and for the orphan sweep."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from downloader.core.orphans.orphan_sweep import OWNER_KEY, ListedBlob
from mediakit.formats import BY_EXTENSION
from servicekit.blobs import BlobStore
from servicekit.blobs.upload import Upload
from servicekit.errors import NotFound, Unavailable


class BlobStorage:
    """See `core.fetching.ports.Storage` and `core.orphans.orphan_sweep.BlobInventory`."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    async def find(self, stem: str) -> Sequence[str]:
        """With one listing, and not a request for each extension."""
        return [
            blob.key
            async for blob in self._blobs.list(f"{stem}.")
            if blob.key.removeprefix(f"{stem}.") in BY_EXTENSION
        ]

    def upload(self, key: str, content_type: str) -> Upload:
        return self._blobs.upload(key, content_type=content_type)

    async def read(self, key: str, path: Path) -> None:
        try:
            await self._blobs.get_file(key, path)
        except OSError as error:
            raise Unavailable(f"cannot write in the spool folder {path.parent}: {error.strerror}") from error

    async def list(self, *, after: str) -> AsyncIterator[ListedBlob]:
        async for blob in self._blobs.list(after=after):
            yield ListedBlob(blob.key, blob.size, blob.modified_at)

    async def owner(self, system: str) -> str:
        try:
            return (await self._blobs.get(OWNER_KEY, limit=1000)).decode()
        except NotFound:
            await self._blobs.put(OWNER_KEY, system.encode(), content_type="text/plain")
            return system

    async def exists(self, key: str) -> bool:
        try:
            await self._blobs.stat(key)
        except NotFound:
            return False
        return True

    async def delete(self, key: str) -> None:
        await self._blobs.delete(key)
