"""Determines what a model makes (video, image or audio) from the little that models say about themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any


class MediaKind(StrEnum):
    """What the outputs of a model are."""

    UNKNOWN = "unknown"
    VIDEO = "video"
    IMAGE = "image"
    AUDIO = "audio"


FILE_ENDINGS: Mapping[MediaKind, tuple[str, ...]] = {
    MediaKind.VIDEO: ("mp4", "m4v", "mov", "webm", "avi", "mkv"),
    MediaKind.IMAGE: ("png", "jpg", "jpeg", "webp", "gif", "svg", "avif", "bmp", "tif", "tiff", "heic"),
    MediaKind.AUDIO: ("mp3", "wav", "flac", "ogg", "oga", "m4a", "aac", "opus", "aiff"),
}

# Slugs of collections whose models make one kind of thing (docs/provider.md, Models and their schemas).
_COLLECTION_SLUGS = (
    (
        MediaKind.VIDEO,
        re.compile(r"(to|generate|ai)-video|video-(editing|enhanc|generation)|lipsync|wan-video"),
    ),
    (MediaKind.AUDIO, re.compile(r"music|to-speech|audio-generation|sing|voice|sound")),
    (
        MediaKind.IMAGE,
        re.compile(
            r"to-image|image-(editing|restoration|generation)|super-resolution|style-transfer|control-net"
            r"|background-removal|diffusion|face|headshot|inpainting|flux"
        ),
    ),
)


def kind_of_example(output: Any) -> MediaKind:
    """The kind of the files in the output of a model's example run: every file of that model ends so."""
    text = str(output or "").lower()
    for kind, endings in FILE_ENDINGS.items():
        if re.search(rf"\.({'|'.join(endings)})\b|data:{kind.value}/", text):
            return kind
    return MediaKind.UNKNOWN


def kind_of_collections(slugs: Iterable[str]) -> MediaKind:
    """The kind that a model's collections name; of several, the first in the order video, audio, image."""
    slugs = list(slugs)
    for kind, pattern in _COLLECTION_SLUGS:
        if any(pattern.search(slug) for slug in slugs):
            return kind
    return MediaKind.UNKNOWN


def lists_media_models(slug: str) -> bool:
    """Whether a collection holds models that make media, so that listing all models should read it."""
    return slug == "official" or kind_of_collections([slug]) is not MediaKind.UNKNOWN
