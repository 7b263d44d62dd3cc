"""Opens pictures within limits: checked whole, or made small and upright for whoever looks at them."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image, ImageFile, ImageOps, ImageSequence, UnidentifiedImageError

from mediakit.errors import MediaError, Problem
from mediakit.facts import Facts
from mediakit.formats import GIF, PNG, WEBP, Format, Kind
from mediakit.limits import ANIMATION_PIXELS, STORED_PIXELS
from mediakit.repair import repaired

# Pillow's own limit warns at one size and raises at another. Ours are checked before any pixel is decoded,
# and say in a sentence what is too large.
Image.MAX_IMAGE_PIXELS = None
# A truncated file is an error, not to be filled up with grey.
ImageFile.LOAD_TRUNCATED_IMAGES = False

_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error)
"""What Pillow raises for broken files, by format."""

_TURNED = (5, 6, 7, 8)
"""EXIF orientations that swap width and height."""

_ANIMATED = (GIF, PNG, WEBP)
"""Formats whose further pictures are frames. In a JPEG they are previews and gain maps, which nobody sees."""

_PILLOW = ("JPEG", "PNG", "GIF", "WEBP")

Result = TypeVar("Result")


def check_picture(path: Path, found: Format, *, most_pixels: int) -> Facts:
    """Decode a picture whole, all frames of an animation included, and measure it as it is seen.

    Raises:
        MediaError: undecodable, truncated, or too big.
    """

    def check(source: Path | io.BytesIO) -> Facts:
        with Image.open(source, formats=[found.name.upper()]) as image:
            width, height = image.size
            _check_pixels(width, height, most_pixels)
            orientation = image.getexif().get(0x0112)
            if found in _ANIMATED:
                _decode_frames(image)
            else:
                image.load()
        if orientation in _TURNED:
            width, height = height, width
        return Facts(Kind.IMAGE, width=width, height=height, codecs=(found.name.lower(),))

    return _read(path, check, found.name, unknown=f"it starts like a {found.name} but is none")


def open_small(source: Path | bytes, *, near: int, formats: tuple[str, ...] | None = _PILLOW) -> Image.Image:
    """A picture upright, in 8 bits a channel, not much larger than it is needed.

    Args:
        source: a file, or its bytes.
        near: pixels that are needed of either side. A JPEG is decoded at a fraction of its size, not below.
        formats: Pillow's names of those that are read; None: all that it knows.

    Raises:
        MediaError: it is no JPEG, PNG, GIF or WebP, is broken, or is too big.
    """

    def load(opened: Path | io.BytesIO) -> Image.Image:
        with Image.open(opened, formats=formats) as image:
            _check_pixels(*image.size, STORED_PIXELS)
            image.draft("RGB", (near, near))
            upright = ImageOps.exif_transpose(image)
            upright.load()
            return in_8_bits(upright)

    return _read(source, load, "picture", unknown="it is not a JPEG, PNG, GIF or WebP image")


def in_8_bits(image: Image.Image) -> Image.Image:
    """Deep grey pictures scaled to 8 bits, where Pillow would clip them to white; others as they are."""
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image, dtype=np.float64)
    # A whole number has 16 bits in PNG, whatever the mode; a fraction goes to 1, or to its own maximum.
    top = 65535.0 if image.mode.startswith("I") else max(float(values.max(initial=0.0)), 1.0)
    return Image.fromarray((values.clip(0, top) * (255.0 / top)).round().astype(np.uint8), "L")


def _read(source: Path | bytes, use: Callable[[Any], Result], name: str, *, unknown: str) -> Result:
    """Use a picture's file; when it is broken, once more without what is not part of the picture.

    `unknown`: the sentence for a file that no decoder knows.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd metadata is no reason to refuse a picture
            try:
                return use(io.BytesIO(source) if isinstance(source, bytes) else source)
            except _BROKEN:
                fixed = repaired(source if isinstance(source, bytes) else source.read_bytes())
                if fixed is None:
                    raise
                return use(io.BytesIO(fixed))
    except UnidentifiedImageError as error:
        raise MediaError(Problem.UNDECODABLE, unknown) from error
    except _BROKEN as error:
        problem = Problem.TRUNCATED if "truncated" in str(error) else Problem.UNDECODABLE
        raise MediaError(problem, f"the {name} does not decode: {_reason(error)}") from error


def _check_pixels(width: int, height: int, most: int) -> None:
    if width * height > most:
        raise MediaError(
            Problem.TOO_BIG,
            f"it has {width}x{height} pixels, a {width * height / 1e6:.4g}-megapixel image: "
            f"at most {most // 1_000_000} are taken",
        )


def _decode_frames(image: Image.Image) -> None:
    """Decode frames up to the limit; what follows is not looked at."""
    pixels = 0
    for frame in ImageSequence.Iterator(image):
        frame.load()
        pixels += frame.width * frame.height
        if pixels > ANIMATION_PIXELS:
            return


def _reason(error: BaseException) -> str:
    """The decoder's words, without a path of this machine."""
    text = str(error).partition(": '")[0]
    return text if text and "/" not in text else "the data is damaged"
