"""Tells from a file's own structure whether it is all there, without reading its content.

The outermost boxes of ISO media (MP4, MOV, M4A), the RIFF chunk (WAV, AVI, WebP) and the EBML segment (WebM)
each carry their length. Decoders tend to take what there is and say nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mediakit.errors import MediaError, Problem
from mediakit.formats import AVI, M4A, MOV, MP4, WAV, WEBM, WEBP, Format

MOST_BOXES = 100_000
"""Outermost boxes looked at: fragmented films have two a second."""

PLACEHOLDER = 2_000_000_000
"""A RIFF length from here on, in a smaller file, means "unknown": writers into a pipe cannot go back to fill
it in. SoX leaves 2,000,000,000, others 0x7FFFFFFF or 0xFFFFFFFF, each minus the size of a header."""


@dataclass(frozen=True)
class Box:
    """One outermost box: its name, where it begins, and its length with the header; `end` is beyond it."""

    name: bytes
    start: int
    length: int

    @property
    def end(self) -> int:
        return self.start + self.length


def check_structure(file: BinaryIO, size: int, found: Format) -> None:
    """Refuse a file whose structure reaches beyond its end.

    Args:
        file: open for reading, at any place; a few bytes are read.
        size: its length in bytes.

    Raises:
        MediaError: truncated, or undecodable for ISO media without its index.
    """
    if found in (MP4, MOV, M4A):
        _check_boxes(file, size)
    elif found in (WAV, AVI, WEBP):
        announced = _riff_length(file)
        if announced not in (None, 0) and announced + 8 > size and announced < PLACEHOLDER:
            _truncated(size, announced + 8)
    elif found is WEBM:
        _check_segment(file, size)


def has_unknown_length(file: BinaryIO, found: Format) -> bool:
    """Whether a WAV says no true length, because its writer could not go back to fill it in."""
    if found is not WAV:
        return False
    announced = _riff_length(file)
    return announced in (None, 0) or announced >= PLACEHOLDER


def boxes(file: BinaryIO, size: int) -> Iterator[Box]:
    """The outermost boxes of ISO media (ISO/IEC 14496-12, 4.2), up to the first thing that is no box.

    The last one may reach beyond `size`.
    """
    start = 0
    for _ in range(MOST_BOXES):
        if start + 8 > size:
            return
        file.seek(start)
        header = file.read(16)
        length, name = int.from_bytes(header[:4], "big"), header[4:8]
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        elif length == 0:  # to the end of the file
            length = size - start
        if length < 8 or not _is_name(name):
            return
        yield Box(name, start, length)
        start += length


def is_faststart(path: Path) -> bool:
    """Whether it is an MP4 whose index (`moov`) stands before its data (`mdat`)."""
    with path.open("rb") as file:
        for box in boxes(file, path.stat().st_size):
            if box.name in (b"moov", b"mdat"):
                return box.name == b"moov"
    return False


def _check_boxes(file: BinaryIO, size: int) -> None:
    names: set[bytes] = set()
    end = 0
    for box in boxes(file, size):
        if box.end > size:
            # Some writers leave text behind a complete film: it reads like a box without end.
            if names >= _WHOLE and box.name not in _KNOWN:
                return
            _truncated(size, box.end)
        names.add(box.name)
        end = box.end
    if end < size and not names >= _WHOLE:
        _truncated(size, end + 8)
    if b"moov" not in names:
        raise MediaError(Problem.UNDECODABLE, "it has no index (moov)")


_WHOLE = frozenset((b"moov", b"mdat"))
"""Boxes of a film that can be shown: index and data."""

_KNOWN = frozenset(
    b"ftyp moov mdat moof mfra free skip wide pnot uuid styp sidx ssix prft emsg meta pdin udta jumb".split()
)
"""Outermost boxes that films have: one of them that is cut short is a film that is cut short."""


def _is_name(name: bytes) -> bool:
    return all(0x20 <= byte < 0x7F or byte == 0xA9 for byte in name)


def _riff_length(file: BinaryIO) -> int | None:
    file.seek(4)
    data = file.read(4)
    return int.from_bytes(data, "little") if len(data) == 4 else None


def _check_segment(file: BinaryIO, size: int) -> None:
    file.seek(0)
    head = file.read(4096)
    header_length, after = _number(head, 4)
    if header_length is None:
        return
    place = after + header_length
    if head[place : place + 4] != b"\x18\x53\x80\x67":
        return
    length, begin = _number(head, place + 4)
    if length is not None and begin + length > size:
        _truncated(size, begin + length)


def _number(data: bytes, place: int) -> tuple[int | None, int]:
    """An EBML number and where it ends; None for "unknown", which live writers leave."""
    if place >= len(data) or data[place] == 0:
        return None, place
    width = 9 - data[place].bit_length()
    mask = (1 << (7 * width)) - 1
    value = int.from_bytes(data[place : place + width], "big") & mask
    return (None if value == mask else value), place + width


def _truncated(size: int, announced: int) -> None:
    raise MediaError(Problem.TRUNCATED, f"its structure is {announced} bytes long, but it has {size}")
