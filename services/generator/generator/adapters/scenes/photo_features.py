"""Measures photos: sharpness, light and a fingerprint of each; decoded small, cached by hash."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import structlog
from cachetools import LRUCache
from PIL import Image, ImageOps

from generator.core.scenes.domain.photos import Photo, PhotoFeatures
from mediakit.errors import MediaError
from mediakit.pictures import open_small
from servicekit.blobs import BlobStore
from servicekit.errors import AppError

LARGEST = 64 * 1024 * 1024
"""Bytes of a photo that is read; uploads are smaller."""

MEASURED_SIDE = 256
"""Pixels of the longer side at which a photo is measured: it decides what `sharpness` means."""

_AT_ONCE = 4
_CACHED = 20_000


class BlobPhotoFeatures:
    """A `PhotoFeatureReader` over the blob store."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._measured: LRUCache[str, PhotoFeatures] = LRUCache(_CACHED)
        self._reading = asyncio.Semaphore(_AT_ONCE)
        self._log = structlog.get_logger("generator.photos")

    async def read(self, photos: Sequence[Photo]) -> dict[str, PhotoFeatures]:
        features = await asyncio.gather(*(self._read(photo) for photo in photos))
        return {
            photo.asset_id: each for photo, each in zip(photos, features, strict=True) if each is not None
        }

    async def _read(self, photo: Photo) -> PhotoFeatures | None:
        key = photo.sha256 or photo.blob_key
        if (measured := self._measured.get(key)) is not None:
            return measured
        async with self._reading:
            try:
                data = await self._blobs.get(photo.blob_key, limit=LARGEST)
                features = await asyncio.to_thread(measure, data)
            except (AppError, MediaError) as error:
                self._log.warning("photo cannot be read", asset=photo.asset_id, reason=str(error)[:200])
                return None
        self._measured[key] = features
        return features


def measure(data: bytes) -> PhotoFeatures:
    """The features of a photo; MediaError when the bytes are none."""
    grey = open_small(data, near=MEASURED_SIDE * 2).convert("L")
    small = ImageOps.contain(grey, (MEASURED_SIDE, MEASURED_SIDE), Image.Resampling.LANCZOS)
    pixels = np.asarray(small, dtype=np.float32)
    return PhotoFeatures(
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
    """Difference hash: 64 bits; each says whether a pixel is brighter than its neighbour, 9 by 8."""
    tiny = np.asarray(grey.resize((9, 8), Image.Resampling.LANCZOS), dtype=np.int16)
    bits = (tiny[:, 1:] > tiny[:, :-1]).flatten()
    return int("".join("1" if bit else "0" for bit in bits), 2)
