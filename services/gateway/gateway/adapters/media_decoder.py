"""Decodes uploaded pictures with Pillow and uploaded sound with FFmpeg's libraries, off the event loop."""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path
from typing import Any, NoReturn

import av
import av.error
from PIL import Image, ImageFile, ImageSequence, UnidentifiedImageError

from gateway.core.uploads.domain import MOST_PIXELS, FileType, pixel_problem
from gateway.core.uploads.ports import FileFacts
from servicekit.errors import FieldProblem, Invalid

# Pillow's own limit warns at one size and raises at another; ours is checked before any pixel is decoded.
Image.MAX_IMAGE_PIXELS = None
# A truncated file must be refused, not filled up with grey.
ImageFile.LOAD_TRUNCATED_IMAGES = False

_MOST_FRAME_PIXELS = 10 * MOST_PIXELS
"""Pixels of all frames of an animation together: a small file can hold thousands of large frames."""

_TURNED = (5, 6, 7, 8)
"""EXIF orientations that swap width and height."""

_CONCURRENCY = 2
"""Files decoded at once: one of the largest pictures takes 200 MB."""

_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, UnidentifiedImageError)
"""What Pillow raises for broken files, by format."""


class MediaDecoder:
    """A `MediaInspector` that works in threads."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(_CONCURRENCY)

    async def inspect(self, path: Path, file_type: FileType) -> FileFacts:
        measure = _measure_picture if file_type.kind == "image" else _measure_sound
        async with self._slots:
            return await asyncio.to_thread(measure, path, file_type)


def _measure_picture(path: Path, file_type: FileType) -> FileFacts:
    try:
        with Image.open(path, formats=[file_type.name.upper()]) as image:
            if problem := pixel_problem(*image.size):
                _refuse(problem)
            orientation = image.getexif().get(0x0112)
            _decode_frames(image)
            width, height = image.size
    except Invalid:
        raise
    except _BROKEN as error:
        _refuse(f"this {file_type.name} image does not decode: {_reason(error)}")
    if orientation in _TURNED:
        width, height = height, width
    return FileFacts(width=width, height=height, codecs=(file_type.name.lower(),))


def _decode_frames(image: Any) -> None:
    pixels = 0
    for frame in ImageSequence.Iterator(image):
        pixels += frame.size[0] * frame.size[1]
        if pixels > _MOST_FRAME_PIXELS:
            _refuse(f"its frames have more than {_MOST_FRAME_PIXELS // 1_000_000} megapixels together")
        frame.load()


def _measure_sound(path: Path, file_type: FileType) -> FileFacts:
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            if any(not _is_cover(stream) for stream in container.streams.video):
                _refuse(f"this {file_type.name} file is a film, not music: extract its sound first")
            if not container.streams.audio:
                _refuse(f"this {file_type.name} file holds no sound")
            stream = container.streams.audio[0]
            rate = stream.codec_context.sample_rate
            samples = sum(frame.samples for frame in container.decode(stream))
            codec = stream.codec_context.name
    except Invalid:
        raise
    except (av.error.FFmpegError, ValueError, OSError) as error:
        _refuse(f"this {file_type.name} file does not decode: {_reason(error)}")
    if not samples or not rate:
        _refuse(f"this {file_type.name} file holds no sound")
    return FileFacts(duration_s=round(samples / rate, 3), codecs=(codec,))


def _is_cover(stream: av.VideoStream) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _reason(error: BaseException) -> str:
    """The decoder's words, without the file's name on our disk."""
    text = getattr(error, "strerror", None) or str(error).partition(": '")[0]
    return text if "/" not in text else "the data is damaged"


def _refuse(message: str) -> NoReturn:
    raise Invalid(f"file: {message}", fields=[FieldProblem("file", message)])
