"""Temporary files for what is being checked, in a folder that only this replica uses."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import structlog

from servicekit.errors import Unavailable

_LOCK = "lock"


class FolderSpool:
    """A Part: owns a sub-folder of `folder` under a lock, and removes those whose owners have died."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own: Path | None = None
        self._lock: int | None = None

    async def start(self) -> None:
        """Make the sub-folder and clear what others left. Unavailable when the folder cannot be written."""
        with _disk(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._sweep()
            name = f"{os.getpid()}-{secrets.token_hex(4)}"
            new = self._folder / f"new-{name}"  # no sweep looks at it before it is locked
            new.mkdir()
            self._lock = os.open(new / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            self._own = new.rename(self._folder / f"replica-{name}")

    async def stop(self) -> None:
        """Remove the sub-folder."""
        own, self._own = self._own, None
        lock, self._lock = self._lock, None
        if own is not None:
            shutil.rmtree(own, ignore_errors=True)
        if lock is not None:
            os.close(lock)

    def open(self) -> SpooledFile:
        """A fresh, empty file."""
        if self._own is None:
            raise Unavailable("the spool is not started")
        return SpooledFile(self._own / secrets.token_hex(8))

    def _sweep(self) -> None:
        for stale in self._folder.glob("replica-*"):
            with contextlib.suppress(FileNotFoundError), _alone(stale / _LOCK) as alone:
                if alone:
                    structlog.get_logger(__name__).info(
                        "removing what a dead replica left", folder=stale.name
                    )
                    shutil.rmtree(stale, ignore_errors=True)


class SpooledFile:
    """One temporary file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with _disk(path.parent):
            self._file: BinaryIO = path.open("xb", buffering=0)

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self._path

    def append(self, data: bytes | bytearray) -> None:
        """The next bytes, readable at `path` at once. Unavailable when the disk is full or refuses."""
        with _disk(self._path.parent):
            view = memoryview(data)
            while view:
                view = view[self._file.write(view) or 0 :]

    def clear(self) -> None:
        """Back to empty."""
        with _disk(self._path.parent):
            self._file.seek(0)
            self._file.truncate()

    def remove(self) -> None:
        """Leave nothing behind."""
        self._file.close()
        self._path.unlink(missing_ok=True)


@contextlib.contextmanager
def _disk(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"cannot write in the spool folder {folder}: {error.strerror or error}; "
            "free some space, or name another folder in SPOOL_DIR"
        ) from error


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[bool]:
    """Whether nobody holds the lock; a folder without one is being removed."""
    try:
        handle = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        yield True
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(handle)
