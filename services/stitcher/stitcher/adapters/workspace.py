"""Gives folders for work in hand, inside the one that this process owns, and removes them after use."""

from __future__ import annotations

import contextlib
import errno
import secrets
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from servicekit.errors import Unavailable
from servicekit.process.scratch_dir import ScratchDir

_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


class WorkFolders(ScratchDir):
    """Gives folders below the one of this process; several replicas may share the root."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, setting="STITCHER_WORK_DIR")

    @contextlib.asynccontextmanager
    async def folder(self) -> AsyncIterator[Path]:
        """An empty folder, removed on leaving.

        Raises:
            Unavailable: not started, or stopping; or the disk refuses work in it, and another replica, or a
                later attempt, may succeed.
        """
        path = self.path / secrets.token_hex(6)
        try:
            path.mkdir()
            yield path
        except OSError as error:
            if error.errno not in _DISK_ERRORS:
                raise
            raise Unavailable(
                f"cannot write in the work folder {path.parent}: {error.strerror}; "
                "free some space, or name another folder in STITCHER_WORK_DIR"
            ) from error
        finally:
            shutil.rmtree(path, ignore_errors=True)  # not awaited: it must also happen when we are cancelled
