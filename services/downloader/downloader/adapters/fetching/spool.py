"""Temporary files for what is being checked, in a folder that only this replica uses."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import secrets
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from servicekit.errors import Unavailable
from servicekit.own_folder import OwnFolder

DIRECT_FROM = 64 * 1024 * 1024
"""Bytes that are written through the page cache: of a file that is not larger, every packet is read again.

What follows goes straight to the disk. Little of it is read, and a gigabyte of cache that lives for ten
seconds costs more processor than all hashing (fresh pages), and takes the place of what others read.
"""

WINDOW = 1024 * 1024

_DIRECT = getattr(os, "O_DIRECT", 0)  # not everywhere


class FolderSpool:
    """A Part: gives files in a sub-folder of `folder` that only this replica uses."""

    def __init__(self, folder: Path) -> None:
        self._own = OwnFolder(folder, setting="SPOOL_DIR")

    async def start(self) -> None:
        """Clear what the dead left and take a sub-folder; Unavailable when the folder cannot be written."""
        await self._own.start()

    async def stop(self) -> None:
        """Remove the sub-folder."""
        await self._own.stop()

    def open(self) -> SpooledFile:
        """A fresh, empty file; Unavailable when not started."""
        return SpooledFile(self._own.path / secrets.token_hex(8))


class SpooledFile:
    """One temporary file: its first `DIRECT_FROM` bytes in the page cache, what follows on the disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._window: mmap.mmap | None = None
        self._held = 0
        with _disk(path.parent):
            self._file: FileIO = path.open("xb", buffering=0)

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self._path

    def append(self, data: bytes | bytearray) -> None:
        """The next bytes; see `flush`. Unavailable when the disk is full or refuses."""
        view = memoryview(data)
        with _disk(self._path.parent):
            if self._window is None:
                room = max(DIRECT_FROM - self._file.tell(), 0)
                self._write(view[:room])
                view = view[room:]
                if view and not self._go_direct():
                    self._write(view)
                    return
            while view and self._window is not None:
                taken = min(len(view), WINDOW - self._held)
                self._window[self._held : self._held + taken] = view[:taken]
                view = view[taken:]
                self._held += taken
                if self._held == WINDOW:
                    self._write_window()
            self._write(view)

    def flush(self) -> None:
        """All that was appended is readable at `path` now. Unavailable when the disk is full or refuses."""
        with _disk(self._path.parent):
            if self._window is not None:
                self._go_buffered()

    def clear(self) -> None:
        """Back to empty."""
        with _disk(self._path.parent):
            if self._window is not None:
                self._held = 0
                self._go_buffered()
            self._file.seek(0)
            self._file.truncate()

    def remove(self) -> None:
        """Leave nothing behind."""
        self._file.close()
        self._path.unlink(missing_ok=True)

    def _write(self, data: memoryview) -> None:
        while data:
            data = data[self._file.write(data) or 0 :]

    def _write_window(self) -> None:
        """Write the full window; where the disk takes no such writes after all, the usual way."""
        assert self._window is not None  # noqa: S101  # for the type checker: the caller has looked
        place = self._file.tell()
        try:
            written = self._file.write(self._window)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            written = 0
        if written == WINDOW:
            self._held = 0
            return
        self._file.seek(place)
        self._go_buffered()

    def _go_direct(self) -> bool:
        """Past the page cache from here on; False where that is not to be had, or not from this place."""
        if not _DIRECT or self._file.tell() % WINDOW:
            return False
        try:
            fcntl.fcntl(self._file, fcntl.F_SETFL, fcntl.fcntl(self._file, fcntl.F_GETFL) | _DIRECT)
        except OSError:  # a file system in memory, or over the network
            return False
        self._window = mmap.mmap(-1, WINDOW)  # begins at a page, as such writes must
        return True

    def _go_buffered(self) -> None:
        """The usual way from here on, beginning with what the window holds."""
        fcntl.fcntl(self._file, fcntl.F_SETFL, fcntl.fcntl(self._file, fcntl.F_GETFL) & ~_DIRECT)
        window, self._window = self._window, None
        held, self._held = self._held, 0
        if window is not None:
            with window, memoryview(window) as view, view[:held] as rest:
                self._write(rest)


@contextlib.contextmanager
def _disk(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"cannot write in the spool folder {folder}: {error.strerror or error}; "
            "free some space, or name another folder in SPOOL_DIR"
        ) from error
