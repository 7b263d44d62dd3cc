"""A folder of one's own: kept from the living, cleared of the dead, whoever starts at the same moment."""

from __future__ import annotations

import asyncio
import fcntl
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from servicekit.errors import Unavailable
from servicekit.process import scratch_dir
from servicekit.process.scratch_dir import ScratchDir

TAKE = """
import asyncio, os, sys
from pathlib import Path
from servicekit.process.scratch_dir import ScratchDir
asyncio.run(ScratchDir(Path(sys.argv[1]), setting="X_DIR").start())
os.kill(os.getpid(), 9)
"""


def folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir())


async def test_it_is_there_from_start_to_stop(tmp_path: Path) -> None:
    own = ScratchDir(tmp_path / "root", setting="X_DIR")
    await own.stop()
    with pytest.raises(Unavailable, match="not started"):
        _ = own.path
    await own.start()
    path = own.path
    await own.start()
    assert own.path == path
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o700, 0o700)
    (path / "work").write_text("in hand")
    await own.stop()
    await own.stop()
    assert folders(tmp_path / "root") == []


async def test_what_the_dead_left_goes_and_what_the_living_use_stays(tmp_path: Path) -> None:
    killed = await asyncio.create_subprocess_exec(sys.executable, "-c", TAKE, str(tmp_path))
    assert await killed.wait() == -9
    (left,) = folders(tmp_path)
    living, later = ScratchDir(tmp_path, setting="X_DIR"), ScratchDir(tmp_path, setting="X_DIR")
    with capture_logs() as lines:
        await living.start()
    assert not left.exists()
    assert [line["folder"] for line in lines] == [str(left)]
    await later.start()
    assert folders(tmp_path) == sorted([living.path, later.path])
    await later.stop()
    await living.stop()


async def test_one_that_died_before_its_lock_goes_too(tmp_path: Path) -> None:
    (tmp_path / "replica-1-00").mkdir()
    own = ScratchDir(tmp_path, setting="X_DIR")
    await own.start()
    assert folders(tmp_path) == [own.path]
    await own.stop()


async def test_other_peoples_things_stay(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "house.jpg").write_text("x")
    own = ScratchDir(tmp_path, setting="X_DIR")
    await own.start()
    await own.stop()
    assert (tmp_path / "photos" / "house.jpg").exists()


def test_many_that_start_at_once_do_not_take_each_others_folders(tmp_path: Path) -> None:
    script = """
import asyncio, sys
from pathlib import Path
from servicekit.process.scratch_dir import ScratchDir

async def main():
    for _ in range(40):
        own = ScratchDir(Path(sys.argv[1]), setting="X_DIR")
        await own.start()
        await asyncio.sleep(0)
        (own.path / "work").write_text("in hand")  # FileNotFoundError: another has swept it
        await own.stop()

asyncio.run(main())
"""

    def run(_: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", script, str(tmp_path)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    with ThreadPoolExecutor(4) as pool:
        ended = list(pool.map(run, range(4)))
    assert [each.returncode for each in ended] == [0] * 4, [each.stderr[-500:] for each in ended]
    assert folders(tmp_path) == []


async def test_an_unusable_root_is_reported_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match=r"file/below cannot be used: Not a directory; .* in X_DIR"):
        await ScratchDir(tmp_path / "file" / "below", setting="X_DIR").start()


async def test_without_a_root_it_is_the_user_s_in_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    own = ScratchDir(Path(), setting="X_DIR")
    await own.start()
    assert own.path.parent == tmp_path / f"rushes-x-dir-{os.getuid()}"
    await own.stop()


async def test_no_usable_temporary_folder_is_reported_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "none")])
    with pytest.raises(Unavailable, match=r"No usable temporary directory .* in X_DIR"):
        await ScratchDir(Path(), setting="X_DIR").start()


async def test_a_root_locked_for_ever_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch_dir, "PATIENCE", 0.1)
    with (tmp_path / "lock").open("wb") as locked:
        fcntl.flock(locked, fcntl.LOCK_EX)
        with pytest.raises(Unavailable, match=r"another process holds .*/lock for 0\.1 s now"):
            await ScratchDir(tmp_path, setting="X_DIR").start()
    assert folders(tmp_path) == []
