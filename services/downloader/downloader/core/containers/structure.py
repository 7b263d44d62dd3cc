"""Checks whether a file is as long as its own structure says, without reading its content.

The outermost boxes of ISO media (MP4, MOV, M4A), the RIFF chunk (WAV, AVI, WebP) and the EBML segment (WebM)
each carry their length. Decoders tend to take what there is and say nothing.
"""

from __future__ import annotations

from typing import BinaryIO

from downloader.core.containers.domain import AVI, M4A, MOV, MP4, WAV, WEBM, WEBP, Container
from downloader.core.fetching.domain.fetch_errors import ErrorCode, FetchError

MAX_BOXES = 100_000
"""Outermost boxes that are read: fragmented films have two a second."""


def check_structure(file: BinaryIO, size: int, container: Container) -> None:
    """Refuse a file whose structure reaches beyond its end.

    Args:
        file: open for reading at any place; a few bytes are read.
        size: its length in bytes.

    Raises:
        FetchError: `truncated`, or `undecodable` for ISO media without its index.
    """
    if container in (MP4, MOV, M4A):
        _check_boxes(file, size)
    elif container in (WAV, AVI, WEBP):
        _check_riff(file, size)
    elif container is WEBM:
        _check_ebml(file, size)


def _check_boxes(file: BinaryIO, size: int) -> None:
    place, names = 0, set()
    for _ in range(MAX_BOXES):
        if place >= size:
            break
        file.seek(place)
        header = file.read(16)
        length = int.from_bytes(header[:4], "big")
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        if length == 0:  # to the end of the file: only the last one may say so
            length = size - place
        names.add(header[4:8])
        if length < 8 or place + length > size:
            _refuse_cut(size, place + max(length, 8))
        place += length
    if b"moov" not in names:
        raise FetchError(ErrorCode.UNDECODABLE, "it has no index (moov)")


def _check_riff(file: BinaryIO, size: int) -> None:
    file.seek(4)
    length = int.from_bytes(file.read(4), "little")
    # Writers that cannot go back leave 0 or the largest number; AVI over 1 GB goes on in further chunks.
    if length not in (0, 0xFFFFFFFF) and length + 8 > size:
        _refuse_cut(size, length + 8)


def _check_ebml(file: BinaryIO, size: int) -> None:
    file.seek(0)
    head = file.read(4096)
    header_length, after = _ebml_number(head, 4)
    if header_length is None:
        return
    place = after + header_length
    if head[place : place + 4] != b"\x18\x53\x80\x67":
        return
    length, begin = _ebml_number(head, place + 4)
    if length is not None and begin + length > size:
        _refuse_cut(size, begin + length)


def _ebml_number(data: bytes, place: int) -> tuple[int | None, int]:
    """An EBML number and where it ends; None for "unknown", which live writers leave."""
    if place >= len(data) or data[place] == 0:
        return None, place
    width = 9 - data[place].bit_length()
    mask = (1 << (7 * width)) - 1
    value = int.from_bytes(data[place : place + width], "big") & mask
    return (None if value == mask else value), place + width


def _refuse_cut(size: int, announced: int) -> None:
    raise FetchError(ErrorCode.TRUNCATED, f"its structure is {announced} bytes long, but it has {size}")
