"""Says which formats people may upload, and how large each may be."""

from __future__ import annotations

from mediakit.formats import GIF, JPEG, M4A, MP3, MP4, PNG, WAV, WEBP, Format, Kind, sniff
from mediakit.limits import UPLOAD_PIXELS

MIB = 1024 * 1024

MOST_BYTES: dict[Kind, int] = {Kind.IMAGE: 10 * MIB, Kind.AUDIO: 50 * MIB}
"""The most bytes of a file of each kind that is taken."""

ACCEPTED = "JPEG, PNG, GIF or WebP for a picture; MP3, WAV or M4A for music"
_FORMATS = {each: each for each in (JPEG, PNG, GIF, WEBP, MP3, WAV, M4A)}
# The brand of an MP4 does not say whether it holds pictures: decoding shows it, and a film is refused then.
_FORMATS[MP4] = M4A


def recognise(head: bytes) -> Format | None:
    """The format of a file that starts so (`HEAD` bytes are enough), or None when it is none of ours."""
    found = sniff(head)
    return _FORMATS.get(found) if found is not None else None


def most_bytes(found: Format | None) -> int:
    """The most bytes of a file of this format; of any file while the format is not known."""
    return MOST_BYTES[found.kind] if found is not None else max(MOST_BYTES.values())


def pixel_problem(width: int, height: int) -> str | None:
    """The sentence that refuses a picture with too many pixels, or None."""
    if width * height <= UPLOAD_PIXELS:
        return None
    return f"{width * height / 1e6:.4g}-megapixel image: at most {UPLOAD_PIXELS // 1_000_000}"


def size_problem(found: Format | None) -> str:
    """The sentence for a file over its limit; without a format, for a request over any limit."""
    most = most_bytes(found) // MIB
    if found is None:
        return f"the request is larger than any file may be: {most} MB"
    return f"this {found.name} file is larger than {most} MB, the most for {found.kind}"
