"""Reads the outermost boxes of an MP4 file, to tell whether its index comes first (ISO/IEC 14496-12, 4.2)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path


def is_faststart(path: Path) -> bool:
    """Whether `moov` stands before `mdat`; False for files that are no MP4."""
    for name in top_boxes(path):
        if name in ("moov", "mdat"):
            return name == "moov"
    return False


def top_boxes(path: Path) -> Iterator[str]:
    """The names of the outermost boxes, in order, until the end or the first bytes that are no box."""
    size = path.stat().st_size
    with path.open("rb") as file:
        at = 0
        while at + 8 <= size:
            file.seek(at)
            length, name = struct.unpack(">I4s", file.read(8))
            if length == 1:  # the true length follows, in 64 bits
                (length,) = struct.unpack(">Q", file.read(8).ljust(8, b"\0"))
            if not name.isascii() or (length < 8 and length != 0):
                return
            yield name.decode()
            if length == 0:  # to the end of the file
                return
            at += length
