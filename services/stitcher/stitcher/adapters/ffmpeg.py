"""Runs FFmpeg as a child: progress while it works, its last words when it fails, no orphan when we end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path

import imageio_ffmpeg

from servicekit.child import bound
from stitcher.core.plan import Command
from stitcher.core.ports import CutFailed

Progress = Callable[[float], Awaitable[None]]

STALLED_AFTER = 120.0
"""Seconds without progress after which FFmpeg is taken for hung. It tells where it is twice a second; that it
says something is not enough.
"""
_LOG_LINES, _REASON_LINES = 400, 6
_FULL = os.strerror(errno.ENOSPC)


class FFmpegBinary:
    """FFmpeg, by default the one that comes with the package imageio-ffmpeg."""

    def __init__(self, binary: str = "", *, stalled_after: float = STALLED_AFTER) -> None:
        self._binary = binary or imageio_ffmpeg.get_ffmpeg_exe()
        self._stalled_after = stalled_after

    async def run(self, command: Command, folder: Path, progress: Progress | None = None) -> str:
        """Run it in a folder; answers what it said on standard error.

        Raises:
            CutFailed: code "ffmpeg": it failed or hung, with what it said last.
            OSError: the disk is full, which is no fault of the cut.
        """
        for name, text in command.files.items():
            (folder / name).write_text(text)
        process = await self._start(command, folder)
        log: deque[str] = deque(maxlen=_LOG_LINES)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_listen(process, log))
                tasks.create_task(self._follow(process, command.seconds, progress))
            code = await process.wait()
        except* TimeoutError as stalled:
            said = f"FFmpeg got no further for {self._stalled_after:g} s and was ended: {_reason(log)}"
            raise CutFailed("ffmpeg", said) from stalled
        finally:
            await _end(process)
        if code != 0 and any(_FULL in line for line in log):
            raise OSError(errno.ENOSPC, _FULL, str(folder))
        if code != 0:
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            raise CutFailed("ffmpeg", f"FFmpeg failed ({how}): {_reason(log)}")
        return "\n".join(log)

    async def _start(self, command: Command, folder: Path) -> asyncio.subprocess.Process:
        words = ["-hide_banner", "-nostdin", "-y", "-v", "info", "-nostats"]
        words += ["-progress", "pipe:1", "-stats_period", "0.5"]
        words += ["-max_error_rate", "0.05"]  # the default accepts two broken frames of three
        return await asyncio.create_subprocess_exec(
            *bound([self._binary]),
            *words,
            *command.arguments,
            cwd=folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for us: we end it in order
        )

    async def _follow(
        self, process: asyncio.subprocess.Process, seconds: float, progress: Progress | None
    ) -> None:
        """Read `key=value` lines until the end; `out_time_us` is the position in the output.

        Raises:
            TimeoutError: the position has not moved for too long.
        """
        assert process.stdout is not None  # noqa: S101  # asked for above
        loop, reached = asyncio.get_running_loop(), -1
        patience = loop.time() + self._stalled_after
        while True:
            async with asyncio.timeout_at(patience):
                line = await process.stdout.readline()
            if not line:
                return
            key, _, value = line.decode(errors="replace").strip().partition("=")
            if key != "out_time_us" or not value.isdigit() or int(value) <= reached:
                continue
            reached = int(value)
            if progress is not None:
                await progress(min(100.0, 100 * reached / 1_000_000 / seconds))
            patience = loop.time() + self._stalled_after  # it was not stalled while we were


async def _listen(process: asyncio.subprocess.Process, log: deque[str]) -> None:
    assert process.stderr is not None  # noqa: S101  # asked for at the start
    while line := await process.stderr.readline():
        log.append(line.decode(errors="replace").rstrip())


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill it if it still runs: what it has written is thrown away, so nothing is gained by asking."""
    with contextlib.suppress(ProcessLookupError):
        if process.returncode is None:
            process.kill()
    await process.wait()


def _reason(log: deque[str]) -> str:
    """The lines that say what went wrong, without FFmpeg's listing of what it opened."""
    telling = [line for line in log if any(word in line.lower() for word in _TELLING)]
    last = (telling or list(log))[-_REASON_LINES:]
    return " | ".join(_POINTER.sub("", line.strip()) for line in last)[-800:] or "it said nothing"


_POINTER = re.compile(r" @ 0x[0-9a-f]+")
_TELLING = ("error", "invalid", "failed", "no such", "unable", "cannot", "not found", "no space", "denied")
