"""What is measured on an uploaded file, and the port of whoever measures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gateway.core.uploads.domain.upload_types import FileType


@dataclass(frozen=True)
class Measured:
    """Pixels as shown (turned as the camera says), seconds, codecs; zero and empty where there are none."""

    width: int = 0
    height: int = 0
    duration_s: float = 0.0
    codecs: tuple[str, ...] = ()


class Inspector(Protocol):
    """Really decodes a file."""

    async def inspect(self, path: Path, found: FileType) -> Measured:
        """Decode the whole file and measure it.

        Raises:
            Invalid: it does not decode, or is larger than allowed; names the field `file`.
        """
        ...
