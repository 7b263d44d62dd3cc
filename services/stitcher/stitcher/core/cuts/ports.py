"""What making cuts needs from outside: FFmpeg, and a publisher of what becomes of a cut."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stitcher.core.cuts.domain.ffmpeg_plan import Command
from stitcher.core.media.domain import FileFacts

ReportProgress = Callable[[float, str], Awaitable[None]]
"""Called with how far the work is (0 to 100) and what is happening now, in words."""


class CutFailed(Exception):  # noqa: N818  # the words that people read: this cut failed
    """The cut could not be made.

    Args:
        code: a short word: "clip", "music", "ffmpeg", "check".
        message: the thing, what is wrong with it and the way out, as a person should read it.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class FFmpeg(Protocol):
    async def run(
        self, command: Command, folder: Path, progress: Callable[[float], Awaitable[None]] | None = None
    ) -> str:
        """Run it in a folder; returns its log. `progress` is called with percent.

        Raises:
            CutFailed: code "ffmpeg", with the last lines of FFmpeg's log.
            OSError: the disk is full.
        """
        ...


@dataclass(frozen=True)
class MadeCut:
    """A stored, checked cut; `already_stored` when it was found and not made now."""

    cut_key: str
    thumbnail_key: str
    facts: FileFacts
    already_stored: bool


class CutPublisher(Protocol):
    """Publishes what becomes of one requested cut. Raises `Unavailable` when the event log is away."""

    async def progress(self, percent: float, message: str) -> None:
        """Publish each step at once and its percentage once a second; before the first, `stitch.started`.

        Never raises: a progress that cannot be published is left out, for a log that is away is no reason to
        end the work.
        """
        ...

    async def completed(self, cut: MadeCut) -> None: ...

    async def failed(self, code: str, message: str, *, retryable: bool) -> None: ...
