"""Runs FFmpeg as a child process: reports its progress, explains its failure, and never leaves it behind."""

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

from servicekit.process.die_with_parent import die_with_parent
from stitcher.core.cuts.domain.ffmpeg_plan import Command
from stitcher.core.cuts.ports import CutFailed

Progress = Callable[[float], Awaitable[None]]

STALLED_AFTER = 120.0
"""Seconds after which an FFmpeg whose position has not moved counts as hung. It reports the position twice a
second; a report alone is not progress.
"""
_LOG_LINES, _REASON_LINES = 400, 6
_FULL = os.strerror(errno.ENOSPC)


class FFmpegBinary:
    """FFmpeg, by default the one that comes with the package imageio-ffmpeg."""

    def __init__(self, binary: str = "", *, stalled_after: float = STALLED_AFTER) -> None:
        self._binary = binary or imageio_ffmpeg.get_ffmpeg_exe()
        self._stalled_after = stalled_after

    async def run(self, command: Command, folder: Path, progress: Progress | None = None) -> str:
        for name, text in command.files.items():
            (folder / name).write_text(text)
        process = await self._start(command, folder)
        log: deque[str] = deque(maxlen=_LOG_LINES)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_collect_log(process, log))
                tasks.create_task(self._read_progress(process, command.seconds, progress))
            code = await process.wait()
        except* TimeoutError as stalled:
            message = f"FFmpeg got no further for {self._stalled_after:g} s and was ended: {_reason(log)}"
            raise CutFailed("ffmpeg", message) from stalled
        finally:
            await _kill(process)
        if code != 0 and any(_FULL in line for line in log):
            raise OSError(errno.ENOSPC, _FULL, str(folder))
        if code != 0:
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            raise CutFailed("ffmpeg", f"FFmpeg failed ({how}): {_reason(log)}")
        return "\n".join(log)

    async def _start(self, command: Command, folder: Path) -> asyncio.subprocess.Process:
        options = ["-hide_banner", "-nostdin", "-y", "-v", "info", "-nostats"]
        options += ["-progress", "pipe:1", "-stats_period", "0.5"]
        options += ["-max_error_rate", "0.05"]  # the default accepts two broken frames of three
        return await asyncio.create_subprocess_exec(
            *die_with_parent([self._binary]),
            *options,
            *command.arguments,
            cwd=folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for us: we end it in order
        )

    async def _read_progress(
        self, process: asyncio.subprocess.Process, seconds: float, progress: Progress | None
    ) -> None:
        """Read `key=value` lines until the end; `out_time_us` is the position in the output.

        Raises:
            TimeoutError: the position has not moved for too long.
        """
        assert process.stdout is not None  # noqa: S101  # a pipe, as started
        loop, reached = asyncio.get_running_loop(), -1
        deadline = loop.time() + self._stalled_after
        while True:
            async with asyncio.timeout_at(deadline):
                line = await process.stdout.readline()
            if not line:
                return
            key, _, value = line.decode(errors="replace").strip().partition("=")
            if key != "out_time_us" or not value.isdigit() or int(value) <= reached:
                continue
            reached = int(value)
            if progress is not None:
                await progress(min(100.0, 100 * reached / 1_000_000 / seconds))
            # After `progress`: the time it took was not FFmpeg's.
            deadline = loop.time() + self._stalled_after


async def _collect_log(process: asyncio.subprocess.Process, log: deque[str]) -> None:
    assert process.stderr is not None  # noqa: S101  # a pipe, as started
    while line := await process.stderr.readline():
        log.append(line.decode(errors="replace").rstrip())


async def _kill(process: asyncio.subprocess.Process) -> None:
    """Kills it if it still runs: what it has written is thrown away, so a gentle stop gains nothing."""
    with contextlib.suppress(ProcessLookupError):
        if process.returncode is None:
            process.kill()
    await process.wait()


def _reason(log: deque[str]) -> str:
    """The lines that say what went wrong, without FFmpeg's listing of what it opened."""
    errors = [line for line in log if any(word in line.lower() for word in _ERROR_WORDS)]
    last = (errors or list(log))[-_REASON_LINES:]
    return " | ".join(_POINTER.sub("", line.strip()) for line in last)[-800:] or "it logged nothing"


_POINTER = re.compile(r" @ 0x[0-9a-f]+")
_ERROR_WORDS = (
    "error",
    "invalid",
    "failed",
    "no such",
    "unable",
    "cannot",
    "not found",
    "no space",
    "denied",
)
