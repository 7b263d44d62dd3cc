"""What draws thumbnails."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class ThumbnailRenderer(Protocol):
    """Turns media files into encoded thumbnails."""

    async def of_video(self, path: Path, *, width: int, content_type: str) -> bytes:
        """A telling frame of a video, at most `width` pixels wide. Raises `Unreadable`."""
        ...

    async def of_image(self, path: Path, *, width: int, content_type: str) -> bytes:
        """An image scaled down and upright, at most `width` pixels wide. Raises `Unreadable`."""
        ...
