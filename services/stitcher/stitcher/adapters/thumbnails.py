"""Renders thumbnails: a telling frame of a video, or an image scaled down and upright."""

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
from PIL import Image

from mediakit.errors import MediaError
from mediakit.limits import PICTURE_HEIGHT
from mediakit.pictures import open_small
from stitcher.adapters.probe import has_decoder
from stitcher.core.media.ports import Unreadable

_MAX_KEY_FRAMES, _FEW_KEY_FRAMES, _MAX_FRAMES = 40, 4, 300
_INTERESTING = 40.0
"""Of `visual_interest`: photographs of rooms and houses have 42 to 100, a faded title 12, plain colours 0."""
_LUMA_FIRST_FORMATS = frozenset(
    {"yuv420p", "yuv422p", "yuv444p", "yuvj420p", "yuvj422p", "yuvj444p", "nv12", "gray"}
)
"""Pixel formats whose first plane is the luminance, a byte each."""

_WHITE = (255, 255, 255)


class PillowThumbnailRenderer:
    """Works in threads, so that the event loop goes on."""

    async def of_video(self, path: Path, *, width: int, content_type: str) -> bytes:
        return await asyncio.to_thread(_of_video, path, width, content_type)

    async def of_image(self, path: Path, *, width: int, content_type: str) -> bytes:
        return await asyncio.to_thread(_of_image, path, width, content_type)


def _of_video(path: Path, width: int, content_type: str) -> bytes:
    try:
        frame = _best_frame(path)
        if frame is None:
            raise Unreadable("not one of its frames can be decoded")
        picture = _scaled(frame, width)
    except (FFmpegError, EOFError, ValueError, IndexError) as error:
        raise Unreadable(f"it is broken or not a video: {error}") from error
    return _encoded(picture, width, content_type)


def _best_frame(path: Path) -> VideoFrame | None:
    """The most interesting key frame (those are cheap); of few and dull ones, any frame that is better."""
    best = _BestFrame()
    for frame in _frames(path, keys_only=True, limit=_MAX_KEY_FRAMES):
        best.consider(frame)
    if best.considered < _FEW_KEY_FRAMES and best.score < _INTERESTING:
        for index, frame in enumerate(_frames(path, keys_only=False, limit=_MAX_FRAMES)):
            if index % 12 == 0:
                best.consider(frame)
            if best.score >= _INTERESTING:
                break
    return best.frame


class _BestFrame:
    """Keeps the best frame so far: one in memory, not all."""

    def __init__(self) -> None:
        self.frame: VideoFrame | None = None
        self.score = -1.0
        self.considered = 0

    def consider(self, frame: VideoFrame) -> None:
        self.considered += 1
        score = visual_interest(frame)
        if score > self.score:
            self.frame, self.score = frame, score


def _frames(path: Path, *, keys_only: bool, limit: int) -> Iterator[VideoFrame]:
    with av.open(path, metadata_errors="ignore") as container:
        stream = container.streams.video[0]
        if not has_decoder(stream):
            raise Unreadable("its picture is in a format that we do not know")
        stream.thread_count = 1  # starting more takes longer than the few frames that are decoded
        if keys_only:
            stream.codec_context.skip_frame = "NONKEY"
        for index, frame in enumerate(container.decode(stream)):
            if index == limit:
                return
            yield frame


def _scaled(frame: VideoFrame, width: int) -> Image.Image:
    """Upright, and scaled down while it is converted to RGB: at full size that takes 20 times as long."""
    shown_width = frame.height if frame.rotation % 180 else frame.width
    size: dict[str, Any] = {}
    if shown_width > width:
        size = {"width": max(1, round(frame.width * width / shown_width)), "interpolation": "AREA"}
        size["height"] = max(1, round(frame.height * width / shown_width))
    picture: Image.Image = frame.to_image(**size)  # type: ignore[no-untyped-call]  # untyped in PyAV
    return picture.rotate(frame.rotation, expand=True) if frame.rotation else picture


def visual_interest(frame: VideoFrame) -> float:
    """How much there is to see: contrast and detail of the luminance; little for black or white frames."""
    small = _luminance(frame)
    mean, contrast = float(small.mean()), float(small.std())
    detail = float(np.abs(np.diff(small, axis=0)).mean() + np.abs(np.diff(small, axis=1)).mean())
    return (contrast + 2 * detail) * (1.0 if 25 < mean < 235 else 0.1)


def _luminance(frame: VideoFrame) -> NDArray[np.float32]:
    """160 x 90 values from 0 to 255.

    They are read from the frame's own plane where possible: setting up a conversion takes ten times as long.
    """
    if frame.format.name not in _LUMA_FIRST_FORMATS:
        return frame.reformat(width=160, height=90, format="gray").to_ndarray().astype(np.float32)
    plane = frame.planes[0]
    whole = Image.frombuffer("L", (frame.width, frame.height), plane, "raw", "L", plane.line_size, 1)  # type: ignore[arg-type]  # a plane is a buffer
    small = np.asarray(whole.resize((160, 90), Image.Resampling.BOX), np.float32)
    return small if frame.color_range == ColorRange.JPEG else (small - 16) * (255 / 219)


def _of_image(path: Path, width: int, content_type: str) -> bytes:
    try:
        return _encoded(open_small(path, near=width * 2), width, content_type)
    except MediaError as error:
        raise Unreadable(error.message) from error


def _encoded(picture: Image.Image, width: int, content_type: str) -> bytes:
    transparent = picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info
    if picture.mode != (mode := "RGBA" if transparent else "RGB"):
        picture = picture.convert(mode)
    scale = min(1.0, width / picture.width, PICTURE_HEIGHT / picture.height)
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
