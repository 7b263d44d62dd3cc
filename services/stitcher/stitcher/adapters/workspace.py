"""Folders for work in hand: emptied after use, inside the one that this process owns."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from servicekit.own_folder import OwnFolder


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
        """An empty folder, removed on leaving; Unavailable when not started or stopping."""
        path = self._own.path / secrets.token_hex(6)
        path.mkdir()
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)  # not awaited: it must also happen when we are cancelled
