"""What uploads need: somebody who decodes a file and measures it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from mediakit.facts import Facts
from mediakit.formats import Format


class MediaInspector(Protocol):
    async def inspect(self, path: Path, found: Format) -> Facts:
        """Decode the file and measure it.

        Raises:
            Invalid: it does not decode, or is larger than allowed; names the field `file`.
        """
        ...
