"""Work folders go when work is over, and what a killed process left goes at the next start."""

from __future__ import annotations

import asyncio
import sys
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
    assert list(tmp_path.iterdir()) == []


async def test_what_the_dead_left_is_cleared_and_what_the_living_use_stays(tmp_path: Path) -> None:
    script = f"""
import asyncio, os
from pathlib import Path
from stitcher.adapters.workspace import WorkFolders
asyncio.run(WorkFolders(Path({str(tmp_path)!r})).start())
os.kill(os.getpid(), 9)
"""
    killed = await asyncio.create_subprocess_exec(sys.executable, "-c", script)
    assert await killed.wait() == -9
    (left,) = tmp_path.iterdir()
    living, next_one = WorkFolders(tmp_path), WorkFolders(tmp_path)
    await living.start()
    assert not left.exists()
    async with living.folder() as used:
        await next_one.start()
        assert used.exists()
    await next_one.stop()
    await living.stop()


async def test_a_root_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="STITCHER_WORK_DIR"):
        await WorkFolders(tmp_path / "file" / "below").start()


async def test_before_the_start_there_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="not started"):
        async with WorkFolders(tmp_path).folder():
            pass
