"""Work folders are removed after use; what a killed process left goes with its own folder (`ScratchDir`)."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from servicekit.errors import Unavailable
from stitcher.adapters.workspace import WorkFolders


async def test_a_folder_is_there_while_it_is_used(tmp_path: Path) -> None:
    work = WorkFolders(tmp_path)
    await work.start()
    async with work.folder() as folder:
        (folder / "clip").write_bytes(b"x")
    assert not folder.exists()
    with pytest.raises(ZeroDivisionError):
        async with work.folder() as folder:
            raise ZeroDivisionError
    assert not folder.exists()
    await work.stop()
    await work.stop()
    assert not [left for left in tmp_path.iterdir() if left.is_dir()]


async def test_an_unusable_root_is_refused_by_its_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="STITCHER_WORK_DIR"):
        await WorkFolders(tmp_path / "file" / "below").start()


async def test_before_the_start_there_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="not started"):
        async with WorkFolders(tmp_path).folder():
            pass


async def test_a_full_disk_is_an_error_with_the_way_out_and_leaves_nothing(tmp_path: Path) -> None:
    work = WorkFolders(tmp_path)
    await work.start()
    with pytest.raises(Unavailable, match=r"No space left on device; free some space, .* STITCHER_WORK_DIR"):
        async with work.folder() as folder:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert not folder.exists()
    with pytest.raises(ConnectionResetError):
        async with work.folder():
            raise ConnectionResetError(errno.ECONNRESET, "not the disk's")
    await work.stop()
