"""What every use case needs from outside: blobs, a probe for media files, thumbnails, a folder to work in."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from stitcher.core.media.domain import FileFacts


class Unreadable(Exception):  # noqa: N818  # says what the file is
    """A file that is not the media it should be; the message says why."""


class StoredBlob(Protocol):
    """What the store knows of a blob."""

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    @property
    def metadata(self) -> Mapping[str, str]:
        """The pairs that it was stored with."""
        ...


class Blobs(Protocol):
    """The blob store. Every method raises `NotFound` for a missing key and `Unavailable` when it is away."""

    async def stat(self, key: str) -> StoredBlob: ...

    async def get_file(self, key: str, path: Path) -> StoredBlob:
        """Copy a blob into a file."""
        ...

    async def put(
        self, key: str, data: bytes, *, content_type: str, metadata: Mapping[str, str] | None = ...
    ) -> StoredBlob:
        """Store the bytes, whole or not at all."""
        ...

    async def put_file(
        self, key: str, path: Path, *, content_type: str, metadata: Mapping[str, str] = ...
    ) -> StoredBlob:
        """Store a file, whole or not at all."""
        ...

    async def delete(self, key: str) -> None:
        """Remove a blob; absent is fine."""
        ...


class Prober(Protocol):
    """Measures media files."""

    async def probe(self, path: Path, *, thoroughly: bool = False) -> FileFacts:
        """Measure a file; `thoroughly` also decodes all of its sound for the levels, and hashes the file.

        Raises:
            Unreadable: it is not media that we know, or broken.
        """
        ...


class Workspace(Protocol):
    """Gives folders to work in."""

    def folder(self) -> AbstractAsyncContextManager[Path]:
        """An empty folder, removed on leaving. `Unavailable` when the disk refuses work in it."""
        ...


class ThumbnailRenderer(Protocol):
    """Turns media files into encoded thumbnails."""

    async def of_video(self, path: Path, *, width: int, content_type: str) -> bytes:
        """A telling frame of a video, at most `width` pixels wide. Raises `Unreadable`."""
        ...

    async def of_image(self, path: Path, *, width: int, content_type: str) -> bytes:
        """An image scaled down and upright, at most `width` pixels wide. Raises `Unreadable`."""
        ...
