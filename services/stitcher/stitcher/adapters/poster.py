"""Small pictures: a good frame of a video, or an image made smaller and upright."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from stitcher.adapters.probe import is_known
from stitcher.core.ports import Unreadable

MOST_PIXELS = 120_000_000
"""Larger images are refused before they are decoded: at 3 bytes each they would take the service's memory."""
MOST_HEIGHT = 4096
"""Pixels of a small picture: of a strip too, which no format holds at any height."""
_FORMATS = ("JPEG", "PNG", "GIF", "WEBP")
_KEY_FRAMES, _ENOUGH, _FRAMES = 40, 4, 300
_PLENTY = 40.0
"""Of `goodness`: photographs of rooms and houses have 42 to 100, a faded title 12, plain colours 0."""
_PLAIN = frozenset({"yuv420p", "yuv422p", "yuv444p", "yuvj420p", "yuvj422p", "yuvj444p", "nv12", "gray"})
"""Pixel formats whose first plane is the luminance, a byte each."""

_WHITE = (255, 255, 255)

Image.MAX_IMAGE_PIXELS = None  # our own limit above says what is too large, in a sentence


class PosterMaker:
    """Makes small pictures in a thread, so that the event loop goes on."""

    async def of_video(self, path: Path, *, width: int, content_type: str) -> bytes:
        """A good frame of a video, at most `width` pixels wide.

        Raises:
            Unreadable: no frame can be decoded.
        """
        return await asyncio.to_thread(_of_video, path, width, content_type)

    async def of_image(self, path: Path, *, width: int, content_type: str) -> bytes:
        """An image smaller and upright (EXIF), at most `width` pixels wide.

        Raises:
            Unreadable: it is no JPEG, PNG, GIF or WebP, broken, or too large.
        """
        return await asyncio.to_thread(_of_image, path, width, content_type)


def _of_video(path: Path, width: int, content_type: str) -> bytes:
    try:
        best = _best(path)
        if best is None:
            raise Unreadable("not one of its frames can be decoded")
        picture = _small(best, width)
    except (FFmpegError, EOFError, ValueError, IndexError) as error:
        raise Unreadable(f"it is broken or not a video: {error}") from error
    return _coded(picture, width, content_type)


def _best(path: Path) -> VideoFrame | None:
    """Of the key frames, which are cheap; where few of them show little, of every twelfth frame too."""
    best = _Best()
    for frame in _frames(path, keys_only=True, most=_KEY_FRAMES):
        best.see(frame)
    if best.seen < _ENOUGH and best.score < _PLENTY:
        for at, frame in enumerate(_frames(path, keys_only=False, most=_FRAMES)):
            if at % 12 == 0:
                best.see(frame)
            if best.score >= _PLENTY:
                break
    return best.frame


class _Best:
    """The best frame so far: one of them in memory, not all."""

    def __init__(self) -> None:
        self.frame: VideoFrame | None = None
        self.score = -1.0
        self.seen = 0

    def see(self, frame: VideoFrame) -> None:
        self.seen += 1
        score = goodness(frame)
        if score > self.score:
            self.frame, self.score = frame, score


def _frames(path: Path, *, keys_only: bool, most: int) -> Iterator[VideoFrame]:
    with av.open(path, metadata_errors="ignore") as container:
        stream = container.streams.video[0]
        if not is_known(stream):
            raise Unreadable("its picture is in a format that we do not know")
        stream.thread_count = 1  # starting more takes longer than the few frames that are decoded
        if keys_only:
            stream.codec_context.skip_frame = "NONKEY"
        for at, frame in enumerate(container.decode(stream)):
            if at == most:
                return
            yield frame


def _small(frame: VideoFrame, width: int) -> Image.Image:
    """Upright, made small while its colours are turned: a full-size picture takes 20 times as long."""
    across = frame.height if frame.rotation % 180 else frame.width
    smaller: dict[str, Any] = {}
    if across > width:
        smaller = {"width": max(1, round(frame.width * width / across)), "interpolation": "AREA"}
        smaller["height"] = max(1, round(frame.height * width / across))
    picture: Image.Image = frame.to_image(**smaller)  # type: ignore[no-untyped-call]  # untyped in PyAV
    return picture.rotate(frame.rotation, expand=True) if frame.rotation else picture


def goodness(frame: VideoFrame) -> float:
    """How much there is to see: contrast and detail of the luminance; little for black or white frames."""
    small = _luminance(frame)
    mean, contrast = float(small.mean()), float(small.std())
    detail = float(np.abs(np.diff(small, axis=0)).mean() + np.abs(np.diff(small, axis=1)).mean())
    return (contrast + 2 * detail) * (1.0 if 25 < mean < 235 else 0.1)


def _luminance(frame: VideoFrame) -> NDArray[np.float32]:
    """160 x 90 values from 0 to 255. Taken out of the frame as it is where that is possible: setting up a
    conversion takes ten times as long."""
    if frame.format.name not in _PLAIN:
        return frame.reformat(width=160, height=90, format="gray").to_ndarray().astype(np.float32)
    plane = frame.planes[0]
    whole = Image.frombuffer("L", (frame.width, frame.height), plane, "raw", "L", plane.line_size, 1)  # type: ignore[arg-type]  # a plane is a buffer
    small = np.asarray(whole.resize((160, 90), Image.Resampling.BOX), np.float32)
    return small if frame.color_range == ColorRange.JPEG else (small - 16) * (255 / 219)


def _of_image(path: Path, width: int, content_type: str) -> bytes:
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
    return _coded(upright, width, content_type)


def _coded(picture: Image.Image, width: int, content_type: str) -> bytes:
    transparent = picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info
    if picture.mode != (mode := "RGBA" if transparent else "RGB"):
        picture = picture.convert(mode)
    scale = min(1.0, width / picture.width, MOST_HEIGHT / picture.height)
    if scale < 1.0:
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        picture = picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    into = BytesIO()
    if content_type == "image/webp":
        # Method 4, the usual one, takes twice the time for 7 % fewer bytes.
        picture.save(into, "WEBP", quality=80, method=2)
        return into.getvalue()
    if transparent:
        flat = Image.new("RGB", picture.size, _WHITE)
        flat.paste(picture, mask=picture.getchannel("A"))
        picture = flat
    picture.save(into, "JPEG", quality=85, optimize=True, progressive=True)
    return into.getvalue()
