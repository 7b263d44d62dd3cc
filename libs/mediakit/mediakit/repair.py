"""Takes damage out of a picture's file where it does not show, so that strict decoders read the picture.

Viewers show such pictures, and so do we: damage of metadata is no damage of the picture.
"""

from __future__ import annotations

import io
import zlib

import av
import av.error

_PNG = b"\x89PNG\r\n\x1a\n"
_NEEDED = frozenset((b"tRNS", b"acTL", b"fcTL", b"fdAT"))
"""Ancillary chunks of a PNG that change what is seen: transparency, and the frames of an animation."""

_END_OF_JPEG = b"\xff\xd9"


def repaired(data: bytes) -> bytes | None:
    """The file without damage beside the picture; None when there is nothing to take out."""
    if data.startswith(_PNG):
        return _png_without_metadata(data)
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg_with_end(data)
    return None


def _png_without_metadata(data: bytes) -> bytes | None:
    """Keep critical chunks as they are, and of the others those that change the picture."""
    chunks, place, dropped = [_PNG], len(_PNG), False
    while place + 12 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        name, end = data[place + 4 : place + 8], place + 12 + length
        is_ancillary = bool(name[0] & 0x20)
        if is_ancillary and name not in _NEEDED and not (name == b"eXIf" and _has_sum(data, place, end)):
            dropped = True  # texts, profiles, times; the camera's orientation stays when it is whole
        else:
            chunks.append(data[place:end])
        place = end
    return b"".join(chunks) if dropped else None


def _has_sum(data: bytes, place: int, end: int) -> bool:
    return zlib.crc32(data[place + 4 : end - 4]) == int.from_bytes(data[end - 4 : end], "big")


def _jpeg_with_end(data: bytes) -> bytes | None:
    """Add the end marker if nothing else lacks.

    Pillow cannot tell a picture without the marker from one without its lower half, and fills that with grey;
    FFmpeg's decoder, told to stop at errors, can.
    """
    try:
        with av.open(io.BytesIO(data), "r", format="mjpeg") as opened:
            stream = opened.streams.video[0]
            stream.codec_context.options = {"err_detect": "explode"}
            if next(opened.decode(stream), None) is None:
                return None
    except (av.error.FFmpegError, IndexError):
        return None
    return data + _END_OF_JPEG
