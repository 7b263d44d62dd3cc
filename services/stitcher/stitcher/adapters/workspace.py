"""Folders for work in hand: emptied after use, inside the one that this process owns."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from servicekit.errors import Unavailable
from servicekit.own_folder import OwnFolder

_REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


class WorkFolders:
    """A `Part` that gives folders below one of its own; several replicas may share the root."""

    def __init__(self, root: Path | None = None) -> None:
        # By user: in the system's temporary folder the first one to come owns the name.
        usual = Path(tempfile.gettempdir()) / f"rushes-stitcher-{os.getuid()}"
        self._own = OwnFolder(root or usual, setting="STITCHER_WORK_DIR")

    async def start(self) -> None:
        """Clear what the dead left and take a folder; Unavailable when the root cannot be written."""
        await self._own.start()

    async def stop(self) -> None:
        """Remove the folder."""
        await self._own.stop()

    @contextlib.asynccontextmanager
    async def folder(self) -> AsyncIterator[Path]:
        """An empty folder, removed on leaving.

        Raises:
            Unavailable: not started or stopping; or the disk refuses what is done in it: then another
                replica, or we later, may succeed.
        """
        path = self._own.path / secrets.token_hex(6)
        try:
            path.mkdir()
            yield path
        except OSError as error:
            if error.errno not in _REFUSALS:
                raise
            raise Unavailable(
                f"cannot write in the work folder {path.parent}: {error.strerror}; "
                "free some space, or name another folder in STITCHER_WORK_DIR"
            ) from error
        finally:
            shutil.rmtree(path, ignore_errors=True)  # not awaited: it must also happen when we are cancelled
