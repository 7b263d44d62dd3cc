"""The store of the core over the shared blob store."""

from __future__ import annotations

from pathlib import Path

from downloader.core.media import BY_EXTENSION
from downloader.core.ports import Found
from servicekit.blobs import BlobStore
from servicekit.blobs.upload import Upload
from servicekit.errors import Unavailable


class BlobUpload:
    """A file on its way into the store."""

    def __init__(self, upload: Upload) -> None:
        self._upload = upload

    async def write(self, data: bytes | bytearray) -> None:
        """The next bytes."""
        await self._upload.write(data)

    async def complete(self) -> int:
        """Make it visible, whole; its size in bytes."""
        return (await self._upload.complete()).size

    async def abort(self) -> None:
        """Leave nothing behind."""
        await self._upload.abort()


class Blobs:
    """See `core.ports.Store`."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    async def find(self, stem: str) -> Found | None:
        """The file under `<stem>.<an accepted extension>`: one listing, not a look at each of them."""
        async for blob in self._blobs.list(f"{stem}."):
            if blob.key.removeprefix(f"{stem}.") in BY_EXTENSION:
                return Found(blob.key, blob.size)
        return None

    async def upload(self, key: str, content_type: str) -> BlobUpload:
        """Begin to store a file."""
        return BlobUpload(self._blobs.upload(key, content_type=content_type))

    async def read(self, key: str, path: Path) -> None:
        """Copy a file from the store to the path."""
        try:
            await self._blobs.get_file(key, path)
        except OSError as error:
            raise Unavailable(f"cannot write in the spool folder {path.parent}: {error.strerror}") from error

    async def delete(self, key: str) -> None:
        """Remove it; absent is fine."""
        await self._blobs.delete(key)
