"""Gives this process a folder of its own below a shared root, and removes the folders of dead processes."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import structlog

from servicekit.errors import Unavailable

PATIENCE = 20.0
"""Seconds that a starting process waits for others that start."""

_PREFIX, _LOCK = "replica-", "lock"


class ScratchDir:
    """A `Part` that owns `<root>/replica-<pid>-<random>` under a lock that dies with the process.

    A starting process holds the root's lock meanwhile, so that no other takes a folder which is just being
    made for one that a dead process left. Only folders with that prefix are removed: there may be others.

    Args:
        root: the shared folder; made when it is not there, for this user alone. An empty path: one in the
            system's temporary folder, named after the setting and the user: the first to come owns a name.
        setting: the setting that names another root; it stands in the error when this one cannot be used.
    """

    def __init__(self, root: Path, *, setting: str) -> None:
        self._root = root
        self._setting = setting
        self._own: Path | None = None
        self._lock: int | None = None

    @property
    def path(self) -> Path:
        """The folder; Unavailable before `start` and after `stop`."""
        if self._own is None:
            raise Unavailable(
                f"there is no folder in {self._root}: the service is not started or is stopping"
            )
        return self._own

    async def start(self) -> None:
        """Remove the folders of dead processes and make our own.

        Raises:
            Unavailable: the root cannot be written.
        """
        if self._own is not None:
            return
        try:
            if self._root == Path():
                name = self._setting.lower().replace("_", "-")
                self._root = Path(tempfile.gettempdir()) / f"rushes-{name}-{os.getuid()}"
            await asyncio.to_thread(self._take)
        except OSError as error:
            raise Unavailable(
                f"the folder {self._root} cannot be used: {error.strerror or error}; "
                f"name one that can be written in {self._setting}"
            ) from error

    async def stop(self) -> None:
        own, self._own = self._own, None
        lock, self._lock = self._lock, None
        if own is not None:
            await asyncio.to_thread(shutil.rmtree, own, ignore_errors=True)
        if lock is not None:
            os.close(lock)

    def _take(self) -> None:
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(self._root / _LOCK, wait=PATIENCE):
            self._sweep()
            own = self._root / f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
            own.mkdir(mode=0o700)
            self._lock = _open(own / _LOCK)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._own = own

    def _sweep(self) -> None:
        for left in self._root.glob(f"{_PREFIX}*"):
            with contextlib.suppress(FileNotFoundError, BlockingIOError), _locked(left / _LOCK):
                structlog.get_logger(__name__).info("removing what a dead replica left", folder=str(left))
                shutil.rmtree(left, ignore_errors=True)


@contextlib.contextmanager
def _locked(lock: Path, *, wait: float = 0.0) -> Iterator[None]:
    """Hold a lock for the block; BlockingIOError when another process still has it after `wait` seconds."""
    handle, until = _open(lock), time.monotonic() + wait
    try:
        while not _try_lock(handle):
            if time.monotonic() >= until:
                raise BlockingIOError(errno.EWOULDBLOCK, f"another process holds {lock} for {wait:g} s now")
            time.sleep(0.02)
        yield
    finally:
        os.close(handle)


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _open(lock: Path) -> int:
    return os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
