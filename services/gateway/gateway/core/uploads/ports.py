"""What uploads need: somebody who decodes a file and measures it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gateway.core.uploads.domain import FileType


@dataclass(frozen=True)
class FileFacts:
    """Pixels as shown (turned as the camera says), seconds, codecs; zero and empty where there are none."""

    width: int = 0
    height: int = 0
    duration_s: float = 0.0
    codecs: tuple[str, ...] = ()


class MediaInspector(Protocol):
    async def inspect(self, path: Path, file_type: FileType) -> FileFacts:
        """Decode the whole file and measure it.

        Raises:
            Invalid: it does not decode, or is larger than allowed; names the field `file`.
        """
        ...
