"""FFmpeg as a child process: its progress, its errors, and that it never outlives its parent."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sys
from pathlib import Path

import pytest

from servicekit.testing import eventually
from stitcher.adapters.ffmpeg import FFmpegBinary
from stitcher.core.cuts.domain.ffmpeg_plan import Command
from stitcher.core.cuts.ports import CutFailed

ENDLESS = Command(
    ("-re", "-f", "lavfi", "-i", "testsrc2=s=64x64:r=10", "-f", "null", "endless-marker"), seconds=100
)


def running(folder: Path) -> list[int]:
    """Ids of the processes that work in a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if (
                entry.name.isdigit()
                and (entry / "cwd").readlink() == folder
                and (entry / "cmdline").read_bytes()
            ):
                found.append(int(entry.name))
        except OSError:  # it has ended, or is not ours
            continue
    return found


async def test_progress_is_reported_in_percent(tmp_path: Path) -> None:
    reported: list[float] = []

    async def progress(percent: float) -> None:
        reported.append(percent)

    command = Command(("-f", "lavfi", "-i", "testsrc2=d=2:r=10", "-c:v", "mpeg4", "out.mp4"), seconds=2)
    await FFmpegBinary().run(command, tmp_path, progress)
    assert reported == sorted(reported)
    assert reported[-1] == pytest.approx(100, abs=6)


async def test_an_error_carries_ffmpegs_own_reason(tmp_path: Path) -> None:
    with pytest.raises(
        CutFailed, match=r"exit code 254\): \[in#0\] Error opening input: No such file"
    ) as failed:
        await FFmpegBinary().run(Command(("-i", "absent.mp4", "out.mp4"), seconds=1), tmp_path)
    assert failed.value.code == "ffmpeg"


async def test_cancelling_ends_the_child(tmp_path: Path) -> None:
    task = asyncio.create_task(FFmpegBinary().run(ENDLESS, tmp_path))
    await eventually(lambda: running(tmp_path))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert running(tmp_path) == []


async def test_a_child_killed_from_outside_is_an_error_with_the_signal(tmp_path: Path) -> None:
    task = asyncio.create_task(FFmpegBinary().run(ENDLESS, tmp_path))
    await eventually(lambda: running(tmp_path))
    for pid in running(tmp_path):
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(CutFailed, match="signal 9"):
        await task


async def test_a_hung_child_is_ended(tmp_path: Path) -> None:
    silent = tmp_path / "silent"
    silent.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(60)\n")
    silent.chmod(0o755)
    with pytest.raises(CutFailed, match=r"got no further for 0\.3 s"):
        await FFmpegBinary(str(silent), stalled_after=0.3).run(ENDLESS, tmp_path)
    assert running(tmp_path) == []


async def test_a_child_that_reports_no_progress_is_ended(tmp_path: Path) -> None:
    chatty = tmp_path / "chatty"
    program = "import time\nwhile True:\n    print('out_time_us=40000', flush=True)\n    time.sleep(0.02)\n"
    chatty.write_text(f"#!{sys.executable}\n{program}")
    chatty.chmod(0o755)
    async with asyncio.timeout(10):
        with pytest.raises(CutFailed, match=r"got no further for 0\.3 s"):
            await FFmpegBinary(str(chatty), stalled_after=0.3).run(ENDLESS, tmp_path)
    assert running(tmp_path) == []


async def test_a_full_disk_is_not_the_cuts_fault(tmp_path: Path) -> None:
    command = Command(("-f", "lavfi", "-i", "testsrc2=d=2:r=10", "-f", "rawvideo", "/dev/full"), seconds=2)
    with pytest.raises(OSError, match="No space left on device") as refused:
        await FFmpegBinary().run(command, tmp_path)
    assert refused.value.errno == errno.ENOSPC


async def test_no_orphan_is_left_when_the_parent_is_killed(tmp_path: Path) -> None:
    program = f"""
import asyncio
from pathlib import Path
from stitcher.adapters.ffmpeg import FFmpegBinary
from stitcher.core.cuts.domain.ffmpeg_plan import Command
asyncio.run(FFmpegBinary().run(Command({ENDLESS.arguments!r}, 100), Path({str(tmp_path)!r})))
"""
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    await eventually(lambda: running(tmp_path))
    parent.kill()
    await parent.wait()
    await eventually(lambda: not running(tmp_path), within=3)
