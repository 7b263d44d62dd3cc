"""Recognises which files count as media by their first kilobytes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from downloader.core.fetching.domain.fetch_errors import ErrorCode, FetchError

SNIFFED_BYTES = 4096
"""Bytes that `sniff` needs."""


class MediaKind(StrEnum):
    """What a stored file is."""

    VIDEO = "video"
    IMAGE = "image"
    AUDIO = "audio"


@dataclass(frozen=True)
class Container:
    """A file format that is accepted: its name, the extension it is stored under, its media type, its kind.

    The kind is what the format is for. A video container may hold sound alone, which only decoding shows:
    see `container_for`.
    """

    name: str
    extension: str
    content_type: str
    kind: MediaKind


@dataclass(frozen=True)
class MediaFacts:
    """What a decoder measured: seconds, pixels, frames per second (0 where there are none), codec names."""

    kind: MediaKind
    duration_s: float = 0.0
    width: int = 0
    height: int = 0
    fps: float = 0.0
    codecs: tuple[str, ...] = ()


@dataclass(frozen=True)
class StoredFile:
    """A file in the store, whole and checked."""

    key: str
    content_type: str
    size: int
    sha256: str
    facts: MediaFacts


MP4 = Container("MP4", "mp4", "video/mp4", MediaKind.VIDEO)
MOV = Container("MOV", "mov", "video/quicktime", MediaKind.VIDEO)
WEBM = Container("WebM", "webm", "video/webm", MediaKind.VIDEO)
AVI = Container("AVI", "avi", "video/x-msvideo", MediaKind.VIDEO)
PNG = Container("PNG", "png", "image/png", MediaKind.IMAGE)
JPEG = Container("JPEG", "jpg", "image/jpeg", MediaKind.IMAGE)
GIF = Container("GIF", "gif", "image/gif", MediaKind.IMAGE)
WEBP = Container("WebP", "webp", "image/webp", MediaKind.IMAGE)
MP3 = Container("MP3", "mp3", "audio/mpeg", MediaKind.AUDIO)
WAV = Container("WAV", "wav", "audio/wav", MediaKind.AUDIO)
FLAC = Container("FLAC", "flac", "audio/flac", MediaKind.AUDIO)
OGG = Container("Ogg", "ogg", "audio/ogg", MediaKind.AUDIO)
M4A = Container("M4A", "m4a", "audio/mp4", MediaKind.AUDIO)

CONTAINERS = (MP4, MOV, WEBM, AVI, PNG, JPEG, GIF, WEBP, MP3, WAV, FLAC, OGG, M4A)
BY_EXTENSION = {container.extension: container for container in CONTAINERS}
ACCEPTED = ", ".join(container.name for container in CONTAINERS)

_MAGIC: tuple[tuple[bytes, Container], ...] = (
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"\xff\xd8\xff", JPEG),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
    (b"fLaC", FLAC),
    (b"OggS", OGG),
    (b"ID3", MP3),
)
_RIFF = {b"AVI ": AVI, b"WAVE": WAV, b"WEBP": WEBP}
_QUICKTIME_ATOMS = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_PICTURE_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"crx ")


def sniff(head: bytes) -> Container | None:
    """The container that the first bytes show (`SNIFFED_BYTES` are enough), or None."""
    for magic, container in _MAGIC:
        if head.startswith(magic):
            return container
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _iso_container(head[8:12])
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return WEBM if b"webm" in head[:64] else None
    if head[4:8] in _QUICKTIME_ATOMS:
        return MOV
    return MP3 if _starts_with_mp3_frame(head) else None


def _iso_container(brand: bytes) -> Container | None:
    if brand == b"qt  ":
        return MOV
    if brand in (b"M4A ", b"M4B ", b"M4P "):
        return M4A
    return None if brand in _PICTURE_BRANDS else MP4


def _starts_with_mp3_frame(head: bytes) -> bool:
    """Whether an MPEG layer III frame header leads to the next one. A lone sync word may be chance."""
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


def recognise(head: bytes, *, is_whole: bool, required: MediaKind | None, min_bytes: int = 0) -> Container:
    """The container that a file starts with.

    Args:
        head: the first `SNIFFED_BYTES` bytes, or all when there are fewer.
        is_whole: whether `head` is the whole file.
        required: what it must be; None: any. Film or sound alone only decoding shows.
        min_bytes: the fewest that the file must have.

    Raises:
        FetchError: `too_small`, `not_media` (naming what it is instead), `wrong_kind`.
    """
    container = sniff(head)
    if container is None:
        raise FetchError(
            ErrorCode.NOT_MEDIA, f"it is {_description(head)}, not media; accepted are {ACCEPTED}"
        )
    if is_whole and len(head) < min_bytes:
        raise FetchError(
            ErrorCode.TOO_SMALL,
            f"it has {len(head)} bytes; nothing under {min_bytes} bytes is a real output",
        )
    # A picture cannot become a film by decoding it, while a film's container may hold sound alone.
    if required is not None and (container.kind is MediaKind.IMAGE) != (required is MediaKind.IMAGE):
        check_kind(container.kind, required, container)
    return container


def container_for(container: Container, kind: MediaKind) -> Container:
    """The container named after what it holds: MP4 with sound alone is M4A, M4A with pictures is MP4.

    The boxes are the same, and the brand in front proves nothing: FFmpeg writes `isom` for either.
    """
    if container not in (MP4, M4A):
        return container
    return M4A if kind is MediaKind.AUDIO else MP4


def check_kind(found: MediaKind, required: MediaKind | None, container: Container) -> None:
    """Refuse a file of another kind than is required.

    Raises:
        FetchError: `wrong_kind`.
    """
    if required is not None and found is not required:
        raise FetchError(
            ErrorCode.WRONG_KIND,
            f"it holds {found.value} ({container.name}), but {required.value} was expected",
        )


def _description(head: bytes) -> str:
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
