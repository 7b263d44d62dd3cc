"""Looking at photos: sharpness, light and a fingerprint of each; decoded small, remembered by hash."""

from __future__ import annotations

import asyncio
import io
import warnings
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
import structlog
from PIL import Image, ImageOps

from generator.core.runs.ports import Look, Photo
from servicekit.blobs import BlobStore
from servicekit.errors import AppError

LARGEST = 64 * 1024 * 1024
"""Bytes of a photo that is looked at; uploads are smaller."""

LOOKED_AT = 256
"""Pixels of the longer side at which a photo is judged: decides what `sharpness` means."""

PIXELS = 120_000_000
"""A photo that claims more pixels is not decoded."""

_AT_ONCE = 4
_REMEMBERED = 20_000


class BlobPhotoLooks:
    """`PhotoLooks` over the blob store."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._known: OrderedDict[str, Look] = OrderedDict()
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._log = structlog.get_logger("generator.photos")

    async def look(self, photos: Sequence[Photo]) -> dict[str, Look]:
        """By asset id; photos that cannot be read are missing."""
        looks = await asyncio.gather(*(self._look(photo) for photo in photos))
        return {photo.asset_id: look for photo, look in zip(photos, looks, strict=True) if look is not None}

    async def _look(self, photo: Photo) -> Look | None:
        key = photo.sha256 or photo.blob_key
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key]
        async with self._gate:
            try:
                data = await self._blobs.get(photo.blob_key, limit=LARGEST)
                look = await asyncio.to_thread(measure, data)
            except (AppError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                self._log.warning("photo not looked at", asset=photo.asset_id, reason=str(error)[:200])
                return None
        self._known[key] = look
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return look


def measure(data: bytes) -> Look:
    """What a photo looks like; OSError or ValueError when the bytes are none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # PIXELS is the limit here
        with Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > PIXELS:
                raise ValueError(f"{image.width}x{image.height} pixels are more than {PIXELS}")
            image.draft("L", (LOOKED_AT * 2, LOOKED_AT * 2))  # a JPEG is decoded at a fraction of its size
            upright = ImageOps.exif_transpose(image)
            grey = upright.convert("L")
    small = ImageOps.contain(grey, (LOOKED_AT, LOOKED_AT), Image.Resampling.LANCZOS)
    pixels = np.asarray(small, dtype=np.float32)
    return Look(
        sharpness=_sharpness(pixels),
        exposure=_exposure(pixels),
        contrast=float(min(pixels.std() / 64.0, 1.0)),
        fingerprint=_fingerprint(grey),
    )


def _sharpness(pixels: Any) -> float:
    """Variance of the Laplacian."""
    if min(pixels.shape) < 3:
        return 0.0
    centre = pixels[1:-1, 1:-1]
    around = pixels[:-2, 1:-1] + pixels[2:, 1:-1] + pixels[1:-1, :-2] + pixels[1:-1, 2:]
    return float((around - 4 * centre).var())


def _exposure(pixels: Any) -> float:
    """1 for a mean in the middle and nothing clipped, 0 for black or white."""
    middle = 1.0 - abs(float(pixels.mean()) - 128.0) / 128.0
    clipped = float(((pixels <= 3) | (pixels >= 252)).mean())
    return max(min(middle * 1.2, 1.0) - clipped, 0.0)


def _fingerprint(grey: Image.Image) -> int:
    """Difference hash: 64 bits, each whether a pixel is brighter than its neighbour, 9 by 8."""
    tiny = np.asarray(grey.resize((9, 8), Image.Resampling.LANCZOS), dtype=np.int16)
    bits = (tiny[:, 1:] > tiny[:, :-1]).flatten()
    return int("".join("1" if bit else "0" for bit in bits), 2)
