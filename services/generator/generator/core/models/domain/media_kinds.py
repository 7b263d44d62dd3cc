"""What a run makes, told from the little that models say about it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What the outputs of a model are."""

    UNKNOWN = "unknown"
    VIDEO = "video"
    IMAGE = "image"
    AUDIO = "audio"


# The provider's own example is the best witness: its file ends as every file of that model does.
_ENDINGS = {
    Kind.VIDEO: ("mp4", "mov", "webm", "avi", "mkv"),
    Kind.IMAGE: ("png", "jpg", "jpeg", "webp", "gif", "svg", "avif"),
    Kind.AUDIO: ("mp3", "wav", "flac", "ogg", "m4a", "aac", "opus"),
}

# Slugs of collections whose models make one kind of thing (docs/provider.md, Models and their schemas).
_COLLECTIONS = (
    (Kind.VIDEO, re.compile(r"(to|generate|ai)-video|video-(editing|enhanc|generation)|lipsync|wan-video")),
    (Kind.AUDIO, re.compile(r"music|to-speech|audio-generation|sing|voice|sound")),
    (
        Kind.IMAGE,
        re.compile(
            r"to-image|image-(editing|restoration|generation)|super-resolution|style-transfer|control-net"
            r"|background-removal|diffusion|face|headshot|inpainting|flux"
        ),
    ),
)

_WORDS = (
    (Kind.VIDEO, re.compile(r"\b(videos?|clips?|film|animat\w+|lipsync)\b", re.IGNORECASE)),
    (
        Kind.AUDIO,
        re.compile(r"\b(music\w*|audio|speech|voices?|songs?|sounds?|speaks?|tts)\b", re.IGNORECASE),
    ),
    (Kind.IMAGE, re.compile(r"\b(images?|pictures?|photos?|stills?|draws?|upscal\w+)\b", re.IGNORECASE)),
)


def of_example(output: Any) -> Kind:
    """The kind of the files in the output of a model's example run."""
    text = str(output or "").lower()
    for kind, endings in _ENDINGS.items():
        if re.search(rf"\.({'|'.join(endings)})\b|data:{kind.value}/", text):
            return kind
    return Kind.UNKNOWN


def of_collections(slugs: Iterable[str]) -> Kind:
    """The kind that a model's collections agree on, the first in the order video, sound, picture."""
    known = list(slugs)
    for kind, pattern in _COLLECTIONS:
        if any(pattern.search(slug) for slug in known):
            return kind
    return Kind.UNKNOWN


def of_words(name: str, description: str) -> Kind:
    """The kind that a model's name and description speak of; where they speak of two, the first said last.

    "Turns a photo into a clip" makes clips: the words for what goes in come before those for what comes out,
    so the kind whose word stands last wins.
    """
    text = f"{name.replace('-', ' ')}. {description}"
    last = {kind: max((m.start() for m in pattern.finditer(text)), default=-1) for kind, pattern in _WORDS}
    kind = max(last, key=lambda each: last[each])
    return kind if last[kind] >= 0 else Kind.UNKNOWN


def makes_media(slug: str) -> bool:
    """Whether a collection holds models that make media, so that listing all models should read it."""
    return slug == "official" or of_collections([slug]) is not Kind.UNKNOWN
