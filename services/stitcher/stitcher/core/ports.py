"""What the core needs from outside: storage, FFmpeg, eyes and ears, a folder to work in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from stitcher.core.facts import FileFacts
from stitcher.core.plan import Command

Report = Callable[[float, str], Awaitable[None]]
"""Told how far the work is (0 to 100) and what is happening now, in words."""


class CutFailed(Exception):  # noqa: N818  # the word that people read: this cut failed
    """The cut could not be made, with the reason as a person should read it.

    Args:
        code: a short word: "clip", "music", "ffmpeg", "check".
        message: the thing, what is wrong with it and the way out.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


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
        """What it was stored with."""
        ...


class Blobs(Protocol):
    """The blob store. Every method raises `NotFound` for a missing key and `Unavailable` when it is away."""

    async def stat(self, key: str) -> StoredBlob:
        """What is known of a blob."""
        ...

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


class FFmpeg(Protocol):
    """Runs FFmpeg."""

    async def run(
        self, command: Command, folder: Path, progress: Callable[[float], Awaitable[None]] | None = None
    ) -> str:
        """Run it in a folder; answers what it said. `progress` is told percent.

        Raises:
            CutFailed: code "ffmpeg", with what FFmpeg said last.
            OSError: the disk is full.
        """
        ...


class Prober(Protocol):
    """Measures media files."""

    async def probe(self, path: Path, *, thoroughly: bool = False) -> FileFacts:
        """Measure a file; `thoroughly` also listens to all of it and hashes it.

        Raises:
            Unreadable: it is not media that we know, or broken.
        """
        ...


class Posters(Protocol):
    """Makes small pictures."""

    async def of_video(self, path: Path, *, width: int, content_type: str) -> bytes:
        """A good frame of a video, at most `width` pixels wide. Raises `Unreadable`."""
        ...

    async def of_image(self, path: Path, *, width: int, content_type: str) -> bytes:
        """An image smaller and upright, at most `width` pixels wide. Raises `Unreadable`."""
        ...


class Workspace(Protocol):
    """Gives folders to work in."""

    def folder(self) -> AbstractAsyncContextManager[Path]:
        """An empty folder, removed on leaving. `Unavailable` when the disk refuses work in it."""
        ...
