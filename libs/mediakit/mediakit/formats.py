"""Recognises a file's format by its first bytes, never by its name."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

HEAD = 4096
"""Bytes from the start of a file that `sniff` looks at."""


class Kind(StrEnum):
    """What a file of media is for."""

    VIDEO = "video"
    IMAGE = "image"
    AUDIO = "audio"


@dataclass(frozen=True)
class Format:
    """A file format: its name, the extension it is stored under, its media type, its kind.

    A format for videos may hold sound alone, which only decoding tells: see `by_content`.
    """

    name: str
    extension: str
    content_type: str
    kind: Kind


MP4 = Format("MP4", "mp4", "video/mp4", Kind.VIDEO)
MOV = Format("MOV", "mov", "video/quicktime", Kind.VIDEO)
WEBM = Format("WebM", "webm", "video/webm", Kind.VIDEO)
AVI = Format("AVI", "avi", "video/x-msvideo", Kind.VIDEO)
PNG = Format("PNG", "png", "image/png", Kind.IMAGE)
JPEG = Format("JPEG", "jpg", "image/jpeg", Kind.IMAGE)
GIF = Format("GIF", "gif", "image/gif", Kind.IMAGE)
WEBP = Format("WebP", "webp", "image/webp", Kind.IMAGE)
MP3 = Format("MP3", "mp3", "audio/mpeg", Kind.AUDIO)
WAV = Format("WAV", "wav", "audio/wav", Kind.AUDIO)
FLAC = Format("FLAC", "flac", "audio/flac", Kind.AUDIO)
OGG = Format("Ogg", "ogg", "audio/ogg", Kind.AUDIO)
M4A = Format("M4A", "m4a", "audio/mp4", Kind.AUDIO)

FORMATS = (MP4, MOV, WEBM, AVI, PNG, JPEG, GIF, WEBP, MP3, WAV, FLAC, OGG, M4A)
BY_EXTENSION = {each.extension: each for each in FORMATS}

_MAGIC: tuple[tuple[bytes, Format], ...] = (
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"\xff\xd8\xff", JPEG),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
    (b"fLaC", FLAC),
    (b"OggS", OGG),
    (b"ID3", MP3),
)
_RIFF = {b"AVI ": AVI, b"WAVE": WAV, b"WEBP": WEBP}
_QUICKTIME_BOXES = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_PICTURE_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"crx ")


def sniff(head: bytes) -> Format | None:
    """The format of a file that starts so (the first `HEAD` bytes are enough), or None."""
    for magic, found in _MAGIC:
        if head.startswith(magic):
            return found
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _iso(head[8:12])
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return WEBM if b"webm" in head[:64] else None
    if head[4:8] in _QUICKTIME_BOXES:
        return MOV
    return MP3 if _is_mpeg_sound(head) else None


def by_content(found: Format, kind: Kind) -> Format:
    """The format by what it holds: MP4 with sound alone is M4A, M4A with pictures is MP4.

    The boxes are the same, and the brand in front tells nothing: FFmpeg writes `isom` for either.
    """
    if found not in (MP4, M4A):
        return found
    return M4A if kind is Kind.AUDIO else MP4


def describe(head: bytes) -> str:
    """What a file is that `sniff` does not know, in words: "it is <an HTML page>"."""
    if not head:
        return "empty"
    start = head[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype", b"<html", b"<head", b"<body")):
        return "an HTML page"
    if start.startswith((b"<?xml", b"<error", b"<svg")):
        return "XML"
    if start.startswith((b"{", b"[")):
        return "JSON"
    if all(byte >= 0x20 or byte in b"\t\r\n\f" for byte in head[:512]):
        return "text"
    return f"of an unknown format (it starts with {head[:8].hex(' ')})"


def _iso(brand: bytes) -> Format | None:
    if brand == b"qt  ":
        return MOV
    if brand in (b"M4A ", b"M4B ", b"M4P "):
        return M4A
    return None if brand in _PICTURE_BRANDS else MP4


def _is_mpeg_sound(head: bytes) -> bool:
    """A frame header of MPEG layer III whose length leads to the next one: a lone sync word is chance."""
    length = _frame_length(head[:4])
    return length > 0 and (len(head) < length + 4 or _frame_length(head[length : length + 4]) > 0)


_BITRATES = {  # kbit/s of layer III by index, ISO 11172-3 (MPEG 1) and 13818-3 (MPEG 2, 2.5)
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


def _frame_length(header: bytes) -> int:
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return 0
    version, layer = (header[1] >> 3) & 3, (header[1] >> 1) & 3
    bitrate, rate = header[2] >> 4, (header[2] >> 2) & 3
    if version == 1 or layer != 1 or bitrate in (0, 15) or rate == 3:
        return 0
    samples = 144 if version == 3 else 72
    return samples * _BITRATES[version == 3][bitrate] * 1000 // _RATES[version][rate] + ((header[2] >> 1) & 1)
