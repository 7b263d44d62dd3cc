"""Decodes uploaded files off the event loop."""

from __future__ import annotations

import asyncio
from pathlib import Path

from mediakit.check import check_file
from mediakit.errors import MediaError, Problem
from mediakit.facts import Facts
from mediakit.formats import Format
from mediakit.limits import UPLOAD_PIXELS
from servicekit.errors import Invalid

_CONCURRENCY = 2
"""Files decoded at once: one of the largest pictures takes 200 MB."""


class MediaDecoder:
    """Works in threads."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(_CONCURRENCY)

    async def inspect(self, path: Path, found: Format) -> Facts:
        async with self._slots:
            return await asyncio.to_thread(_measure, path, found)


def _measure(path: Path, found: Format) -> Facts:
    try:
        facts = check_file(path, found, most_pixels=UPLOAD_PIXELS)
    except MediaError as error:
        problem = error.message
        if error.problem is not Problem.TOO_BIG:
            problem = f"this {found.name} file does not decode: {problem}"
        raise Invalid.field("file", problem) from error
    if facts.kind is not found.kind:
        raise Invalid.field("file", f"this {found.name} file is a film, not music: extract its sound first")
    return facts
