"""Small pictures: a good frame of a video, or an image made smaller and upright."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from av.video.frame import VideoFrame
from PIL import Image, ImageOps, UnidentifiedImageError

from stitcher.core.ports import Unreadable

MOST_PIXELS = 120_000_000
"""Larger images are refused before they are decoded: at 3 bytes each they would take the service's memory."""
_FORMATS = ("JPEG", "PNG", "GIF", "WEBP")
_KEY_FRAMES, _ENOUGH, _FRAMES = 40, 4, 300
_WHITE = (255, 255, 255)

Image.MAX_IMAGE_PIXELS = None  # our own limit above says what is too large, in a sentence


class PosterMaker:
    """Makes small pictures in a thread, so that the event loop goes on."""

    async def of_video(self, path: Path, into: Path, *, width: int, content_type: str) -> None:
        """Write a good frame of a video, at most `width` pixels wide.

        Raises:
            Unreadable: no frame can be decoded.
        """
        await asyncio.to_thread(_of_video, path, into, width, content_type)

    async def of_image(self, path: Path, into: Path, *, width: int, content_type: str) -> None:
        """Write an image smaller and upright (EXIF), at most `width` pixels wide.

        Raises:
            Unreadable: it is no JPEG, PNG, GIF or WebP, broken, or too large.
        """
        await asyncio.to_thread(_of_image, path, into, width, content_type)


def _of_video(path: Path, into: Path, width: int, content_type: str) -> None:
    try:
        best = max(_candidates(path), key=goodness, default=None)
        if best is None:
            raise Unreadable("not one of its frames can be decoded")
        picture: Image.Image = best.to_image()  # type: ignore[no-untyped-call]  # untyped in PyAV
        if best.rotation:
            picture = picture.rotate(best.rotation, expand=True)
    except (FFmpegError, EOFError, ValueError, IndexError) as error:
        raise Unreadable(f"it is broken or not a video: {error}") from error
    _write(picture, into, width, content_type)


def _candidates(path: Path) -> Iterator[VideoFrame]:
    """Key frames, which are cheap; of a video with few of them every twelfth frame instead."""
    keys = list(_frames(path, keys_only=True, most=_KEY_FRAMES))
    if len(keys) >= _ENOUGH:
        return iter(keys)
    return (frame for at, frame in enumerate(_frames(path, keys_only=False, most=_FRAMES)) if at % 12 == 0)


def _frames(path: Path, *, keys_only: bool, most: int) -> Iterator[VideoFrame]:
    with av.open(path, metadata_errors="ignore") as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        if keys_only:
            stream.codec_context.skip_frame = "NONKEY"
        for at, frame in enumerate(container.decode(stream)):
            if at == most:
                return
            yield frame


def goodness(frame: VideoFrame) -> float:
    """How much there is to see: contrast and detail of the luminance; little for black or white frames."""
    small = frame.reformat(width=160, height=90, format="gray").to_ndarray().astype(np.float32)
    mean, contrast = float(small.mean()), float(small.std())
    detail = float(np.abs(np.diff(small, axis=0)).mean() + np.abs(np.diff(small, axis=1)).mean())
    return (contrast + 2 * detail) * (1.0 if 25 < mean < 235 else 0.1)


def _of_image(path: Path, into: Path, width: int, content_type: str) -> None:
    try:
        with Image.open(path, formats=_FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise Unreadable(
                    f"it has {image.width}x{image.height} pixels, more than {MOST_PIXELS // 1_000_000} "
                    "million; upload a smaller one"
                )
            image.draft("RGB", (width * 2, width * 2))  # JPEG decodes at a fraction of its size
            upright = ImageOps.exif_transpose(image)
            upright.load()
    except UnidentifiedImageError as error:
        raise Unreadable("it is not a JPEG, PNG, GIF or WebP image") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:  # what Pillow's decoders raise
        raise Unreadable(f"it is a broken image: {error}") from error
    _write(upright, into, width, content_type)


def _write(picture: Image.Image, into: Path, width: int, content_type: str) -> None:
    transparent = picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info
    picture = picture.convert("RGBA" if transparent else "RGB")
    if picture.width > width:
        height = max(1, round(picture.height * width / picture.width))
        picture = picture.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0)
    if content_type == "image/webp":
        picture.save(into, "WEBP", quality=80, method=4)
        return
    if transparent:
        flat = Image.new("RGB", picture.size, _WHITE)
        flat.paste(picture, mask=picture.getchannel("A"))
        picture = flat
    picture.save(into, "JPEG", quality=85, optimize=True, progressive=True)
