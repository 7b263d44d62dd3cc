"""Keeps temporary files for what is being checked, in a folder that only this replica uses."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import mmap
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from io import FileIO
from pathlib import Path

from servicekit.errors import Unavailable
from servicekit.process.scratch_dir import ScratchDir

DIRECT_FROM = 64 * 1024 * 1024
"""Bytes that are written through the page cache: of a file that is not larger, the check reads every packet.

What follows goes straight to the disk. Little of it is read again, and a gigabyte of cache that lives for
ten seconds costs more processor time than all hashing (fresh pages), and evicts what others read.
"""

WINDOW = 1024 * 1024

_DIRECT = getattr(os, "O_DIRECT", 0)  # not everywhere


class FolderSpool:
    """A Part, and `core.fetching.ports.Spool`: its files lie in a sub-folder that only this replica uses."""

    def __init__(self, folder: Path) -> None:
        self._folder = ScratchDir(folder, setting="SPOOL_DIR")

    async def start(self) -> None:
        """Clear what dead replicas left, and take a sub-folder. Unavailable when it cannot be written."""
        await self._folder.start()

    async def stop(self) -> None:
        await self._folder.stop()

    @asynccontextmanager
    async def file(self) -> AsyncIterator[SpooledFile]:
        path = self._folder.path / secrets.token_hex(8)
        file = await asyncio.to_thread(SpooledFile, path)
        try:
            yield file
        finally:
            await asyncio.to_thread(file.remove)


class SpooledFile:
    """One temporary file: its first `DIRECT_FROM` bytes in the page cache, what follows on the disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._window: mmap.mmap | None = None
        self._filled = 0
        with _disk_errors(path.parent):
            self._file: FileIO = path.open("xb", buffering=0)

    @property
    def path(self) -> Path:
        return self._path

    def append(self, data: bytes | bytearray) -> None:
        """See `flush`."""
        view = memoryview(data)
        with _disk_errors(self._path.parent):
            if self._window is None:
                room = max(DIRECT_FROM - self._file.tell(), 0)
                self._write(view[:room])
                view = view[room:]
                if view and not self._go_direct():
                    self._write(view)
                    return
            while view and self._window is not None:
                taken = min(len(view), WINDOW - self._filled)
                self._window[self._filled : self._filled + taken] = view[:taken]
                view = view[taken:]
                self._filled += taken
                if self._filled == WINDOW:
                    self._write_window()
            self._write(view)

    def flush(self) -> None:
        """Make all that was appended readable at `path`."""
        with _disk_errors(self._path.parent):
            if self._window is not None:
                self._go_buffered()

    def clear(self) -> None:
        with _disk_errors(self._path.parent):
            if self._window is not None:
                self._filled = 0
                self._go_buffered()
            self._file.seek(0)
            self._file.truncate()

    def remove(self) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def _write(self, data: memoryview) -> None:
        while data:
            data = data[self._file.write(data) or 0 :]

    def _write_window(self) -> None:
        """Write the full window; through the page cache where the disk refuses direct writes after all."""
        assert self._window is not None  # noqa: S101  # for the type checker: the caller has looked
        place = self._file.tell()
        try:
            written = self._file.write(self._window)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            written = 0
        if written == WINDOW:
            self._filled = 0
            return
        self._file.seek(place)
        self._go_buffered()

    def _go_direct(self) -> bool:
        """Bypass the page cache from here on; False where that is impossible, or not from this position."""
        if not _DIRECT or self._file.tell() % WINDOW:
            return False
        try:
            fcntl.fcntl(self._file, fcntl.F_SETFL, fcntl.fcntl(self._file, fcntl.F_GETFL) | _DIRECT)
        except OSError:  # a file system in memory, or over the network
            return False
        self._window = mmap.mmap(-1, WINDOW)  # begins at a page, as direct writes must
        return True

    def _go_buffered(self) -> None:
        """Write through the page cache from here on, beginning with what the window holds."""
        fcntl.fcntl(self._file, fcntl.F_SETFL, fcntl.fcntl(self._file, fcntl.F_GETFL) & ~_DIRECT)
        window, self._window = self._window, None
        filled, self._filled = self._filled, 0
        if window is not None:
            with window, memoryview(window) as view, view[:filled] as rest:
                self._write(rest)


@contextlib.contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"cannot write in the spool folder {folder}: {error.strerror or error}; "
            "free some space, or name another folder in SPOOL_DIR"
        ) from error
