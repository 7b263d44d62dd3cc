"""Decodes a picture whole, and measures it."""

from __future__ import annotations

import warnings
from pathlib import Path

from PIL import Image, ImageSequence, UnidentifiedImageError

from downloader.core.containers.domain import Container, MediaFacts, MediaKind
from downloader.core.fetching.domain.fetch_errors import ErrorCode, FetchError

MAX_PIXELS = 100_000_000
"""Pixels of one picture: more is a decompression bomb, or nothing that a video can use."""

MAX_DECODED_PIXELS = 500_000_000
"""Pixels of all frames of a moving picture that are decoded; what follows is not checked."""


def probe_image(path: Path, container: Container) -> MediaFacts:
    """Raises FetchError `undecodable`, `truncated`, `too_big`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd metadata is no reason to refuse a picture
            with Image.open(path, formats=[_FORMATS.get(container.name, container.name)]) as image:
                width, height = image.size
                _check_pixels(width, height)
                _decode_frames(image)
    except Image.DecompressionBombError as error:
        raise FetchError(ErrorCode.TOO_BIG, f"it has more than {MAX_PIXELS} pixels") from error
    except UnidentifiedImageError as error:
        raise FetchError(ErrorCode.UNDECODABLE, f"it starts like {container.name} but is none") from error
    except (OSError, EOFError) as error:
        code = ErrorCode.TRUNCATED if "truncated" in str(error) else ErrorCode.UNDECODABLE
        raise FetchError(code, f"the {container.name} cannot be decoded: {error}") from error
    except (SyntaxError, ValueError) as error:
        raise FetchError(ErrorCode.UNDECODABLE, f"the {container.name} cannot be decoded: {error}") from error
    return MediaFacts(MediaKind.IMAGE, width=width, height=height, codecs=(container.name.lower(),))


_FORMATS = {"WebP": "WEBP"}


def _check_pixels(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise FetchError(
            ErrorCode.TOO_BIG, f"it has {width} x {height} pixels; at most {MAX_PIXELS} in all are accepted"
        )


def _decode_frames(image: Image.Image) -> None:
    decoded = 0
    for frame in ImageSequence.Iterator(image):
        frame.load()
        decoded += frame.width * frame.height
        if decoded > MAX_DECODED_PIXELS:
            return
