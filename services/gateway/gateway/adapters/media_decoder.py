"""Decodes uploaded pictures with Pillow and uploaded sound with FFmpeg's libraries, off the event loop."""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path
from typing import Any, NoReturn

import av
import av.error
from PIL import Image, ImageFile, ImageSequence, UnidentifiedImageError

from gateway.core.uploads.domain.upload_types import MOST_PIXELS, FileType, megapixels
from gateway.core.uploads.ports import Measured
from servicekit.errors import FieldProblem, Invalid

# Pillow's own limit warns at one size and raises at another; ours is checked before any pixel is decoded.
Image.MAX_IMAGE_PIXELS = None
# A truncated file must be told, not filled up with grey.
ImageFile.LOAD_TRUNCATED_IMAGES = False

_MOST_FRAME_PIXELS = 10 * MOST_PIXELS
"""Pixels of all frames of an animation together: a small file can hold thousands of large frames."""

_TURNED = (5, 6, 7, 8)
"""EXIF orientations that swap width and height."""

_AT_ONCE = 2
"""Pictures decoded at once: one of the largest takes 200 MB."""

_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, UnidentifiedImageError)
"""What Pillow raises for broken files, by format."""


class FileInspector:
    """An `Inspector` that works in threads."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def inspect(self, path: Path, found: FileType) -> Measured:
        """Decode the whole file and measure it; Invalid when it does not decode."""
        measure = _picture if found.kind == "image" else _sound
        async with self._turns:
            return await asyncio.to_thread(measure, path, found)


def _picture(path: Path, found: FileType) -> Measured:
    try:
        with Image.open(path, formats=[found.name.upper()]) as image:
            if told := megapixels(*image.size):
                _refuse(told)
            orientation = image.getexif().get(0x0112)
            _decode(image)
            width, height = image.size
    except Invalid:
        raise
    except _BROKEN as error:
        _refuse(f"this {found.name} image does not decode: {_reason(error)}")
    if orientation in _TURNED:
        width, height = height, width
    return Measured(width=width, height=height, codecs=(found.name.lower(),))


def _decode(image: Any) -> None:
    """Decode every frame."""
    pixels = 0
    for frame in ImageSequence.Iterator(image):
        pixels += frame.size[0] * frame.size[1]
        if pixels > _MOST_FRAME_PIXELS:
            _refuse(f"its frames have more than {_MOST_FRAME_PIXELS // 1_000_000} megapixels together")
        frame.load()


def _sound(path: Path, found: FileType) -> Measured:
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            if any(not _is_cover(stream) for stream in container.streams.video):
                _refuse(f"this {found.name} file is a film, not music: extract its sound first")
            if not container.streams.audio:
                _refuse(f"this {found.name} file holds no sound")
            stream = container.streams.audio[0]
            rate = stream.codec_context.sample_rate
            samples = sum(frame.samples for frame in container.decode(stream))
            codec = stream.codec_context.name
    except Invalid:
        raise
    except (av.error.FFmpegError, ValueError, OSError) as error:
        _refuse(f"this {found.name} file does not decode: {_reason(error)}")
    if not samples or not rate:
        _refuse(f"this {found.name} file holds no sound")
    return Measured(duration_s=round(samples / rate, 3), codecs=(codec,))


def _is_cover(stream: av.VideoStream) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _reason(error: BaseException) -> str:
    """The decoder's words, without the file's name on our disk."""
    text = getattr(error, "strerror", None) or str(error).partition(": '")[0]
    return text if "/" not in text else "the data is damaged"


def _refuse(told: str) -> NoReturn:
    raise Invalid(f"file: {told}", fields=[FieldProblem("file", told)])
