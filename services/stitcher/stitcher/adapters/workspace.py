"""Folders for work in hand: emptied after use, and at the start cleared of what a killed process left."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO

from servicekit.errors import Unavailable


class WorkFolders:
    """A `Part` that owns one folder of this process under `root`, held by a lock that dies with the process.

    Several replicas may share a root: only folders whose lock nobody holds are cleared.
    """

    def __init__(self, root: Path | None = None) -> None:
        self._root = root or Path(tempfile.gettempdir()) / "rushes-stitcher"
        self._own: Path | None = None
        self._lock: IO[bytes] | None = None

    async def start(self) -> None:
        """Clear what was left behind and take a folder.

        Raises:
            Unavailable: the root cannot be written.
        """
        if self._own is not None:
            return
        try:
            await asyncio.to_thread(self._clear)
            own = self._root / f"{os.getpid()}-{secrets.token_hex(4)}"
            own.mkdir()
            self._lock = _locked(own)
            self._own = own
        except OSError as error:
            raise Unavailable(
                f"the work folder {self._root} cannot be used: {error.strerror}; set STITCHER_WORK_DIR to a "
                "folder that can be written"
            ) from error

    async def stop(self) -> None:
        """Remove the folder."""
        own, self._own = self._own, None
        lock, self._lock = self._lock, None
        if own is not None:
            await asyncio.to_thread(shutil.rmtree, own, ignore_errors=True)
        if lock is not None:
            lock.close()

    @contextlib.asynccontextmanager
    async def folder(self) -> AsyncIterator[Path]:
        """An empty folder, removed on leaving."""
        if self._own is None:
            raise Unavailable("the work folder is not there: the service is not started or is stopping")
        path = self._own / secrets.token_hex(6)
        path.mkdir()
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)  # not awaited: it must also happen when we are cancelled

    def _clear(self) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        for left in self._root.iterdir():
            if left.is_dir() and (lock := _locked(left)) is not None:
                shutil.rmtree(left, ignore_errors=True)
                lock.close()


def _locked(folder: Path) -> IO[bytes] | None:
    """The folder's lock, taken; None when another process holds it or the folder has just gone."""
    try:
        lock = (folder / "lock").open("ab")
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock
