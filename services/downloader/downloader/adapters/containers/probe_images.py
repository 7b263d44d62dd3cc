"""Whether a picture can be decoded whole, and its size."""

from __future__ import annotations

import warnings
from pathlib import Path

from PIL import Image, ImageSequence, UnidentifiedImageError

from downloader.core.containers.domain import Container, Kind, Measured
from downloader.core.fetching.domain.fetch_errors import Code, FetchFailed

MAX_PIXELS = 100_000_000
"""Pixels of one picture: more is a decompression bomb, or nothing that a video can use."""

MAX_FRAME_PIXELS = 500_000_000
"""Pixels of all frames of a moving picture that are decoded; what follows is not looked at."""


def probe_image(path: Path, container: Container) -> Measured:
    """Decode it whole.

    Raises:
        FetchFailed: `undecodable`, `truncated`, `too_big`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd metadata is no reason to refuse a picture
            with Image.open(path, formats=[_FORMATS.get(container.name, container.name)]) as image:
                width, height = image.size
                _check_pixels(width, height)
                _decode(image)
    except Image.DecompressionBombError as error:
        raise FetchFailed(Code.TOO_BIG, f"it has more than {MAX_PIXELS} pixels") from error
    except UnidentifiedImageError as error:
        raise FetchFailed(Code.UNDECODABLE, f"it starts like {container.name} but is none") from error
    except (OSError, EOFError) as error:
        code = Code.TRUNCATED if "truncated" in str(error) else Code.UNDECODABLE
        raise FetchFailed(code, f"the {container.name} cannot be decoded: {error}") from error
    except (SyntaxError, ValueError) as error:
        raise FetchFailed(Code.UNDECODABLE, f"the {container.name} cannot be decoded: {error}") from error
    return Measured(Kind.IMAGE, width=width, height=height, codecs=(container.name.lower(),))


_FORMATS = {"WebP": "WEBP"}


def _check_pixels(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise FetchFailed(
            Code.TOO_BIG, f"it has {width} x {height} pixels; at most {MAX_PIXELS} in all are accepted"
        )


def _decode(image: Image.Image) -> None:
    spent = 0
    for frame in ImageSequence.Iterator(image):
        frame.load()
        spent += frame.width * frame.height
        if spent > MAX_FRAME_PIXELS:
            return
