"""Recognises an uploaded file by its first bytes, never by its name; and says how large each type may be."""

from __future__ import annotations

from dataclasses import dataclass

SNIFF_BYTES = 32
"""How many bytes from the start are enough to recognise a type."""

MIB = 1024 * 1024
MOST_PIXELS = 50_000_000

ACCEPTED = "JPEG, PNG, GIF or WebP for a picture; MP3, WAV or M4A for music"


@dataclass(frozen=True)
class FileType:
    """A type of file that people may upload.

    Args:
        kind: "image" or "audio".
    """

    kind: str
    content_type: str
    extension: str
    most_bytes: int
    name: str


JPEG = FileType("image", "image/jpeg", "jpg", 10 * MIB, "JPEG")
PNG = FileType("image", "image/png", "png", 10 * MIB, "PNG")
GIF = FileType("image", "image/gif", "gif", 10 * MIB, "GIF")
WEBP = FileType("image", "image/webp", "webp", 10 * MIB, "WebP")
MP3 = FileType("audio", "audio/mpeg", "mp3", 50 * MIB, "MP3")
WAV = FileType("audio", "audio/wav", "wav", 50 * MIB, "WAV")
M4A = FileType("audio", "audio/mp4", "m4a", 50 * MIB, "M4A")

MOST_IMAGE_BYTES, MOST_AUDIO_BYTES = JPEG.most_bytes, MP3.most_bytes
MOST_BYTES = max(MOST_IMAGE_BYTES, MOST_AUDIO_BYTES)

_MP4_BRANDS = (
    *(b"M4A ", b"M4B ", b"M4P ", b"mp41", b"mp42", b"dash"),
    *(b"isom", b"iso2", b"iso3", b"iso4", b"iso5", b"iso6"),
)
"""The brand does not say whether an MP4 holds pictures: decoding shows it, and a film is refused then."""


def recognise(start: bytes) -> FileType | None:
    """The type of a file that starts so, or None when it is none of ours."""
    for magic, file_type in ((b"\xff\xd8\xff", JPEG), (b"\x89PNG\r\n\x1a\n", PNG), (b"ID3", MP3)):
        if start.startswith(magic):
            return file_type
    if start[:6] in (b"GIF87a", b"GIF89a"):
        return GIF
    if start[:4] == b"RIFF":
        return {b"WEBP": WEBP, b"WAVE": WAV}.get(start[8:12])
    if start[4:8] == b"ftyp" and start[8:12] in _MP4_BRANDS:
        return M4A
    # A bare MPEG audio frame: eleven bits of sync, layer III, a bit rate and a sample rate that exist.
    if len(start) > 3 and start[0] == 0xFF and start[1] & 0xE6 == 0xE2 and start[2] >> 4 not in (0, 15):
        return MP3
    return None


def pixel_problem(width: int, height: int) -> str | None:
    """The sentence that refuses a picture with too many pixels, or None."""
    if width * height <= MOST_PIXELS:
        return None
    return f"{width * height / 1e6:.4g}-megapixel image: at most {MOST_PIXELS // 1_000_000}"


def size_problem(file_type: FileType | None) -> str:
    """The sentence for a file over its limit; without a type, for a request over any limit."""
    if file_type is None:
        return f"the request is larger than any file may be: {MOST_BYTES // MIB} MB"
    most = file_type.most_bytes // MIB
    return f"this {file_type.name} file is larger than {most} MB, the most for {file_type.kind}"
