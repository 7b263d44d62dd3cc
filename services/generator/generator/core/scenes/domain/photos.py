"""The photos that scenes are chosen from, and what was measured of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Photo:
    """A photo to choose from."""

    asset_id: str
    name: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    blob_key: str = ""
    width: int = 0
    height: int = 0
    sha256: str = ""


@dataclass(frozen=True)
class PhotoFeatures:
    """What a photo looks like.

    Args:
        sharpness: variance of the Laplacian, 256 pixels wide, from 0 up.
        exposure: 0 (black, white or clipped) to 1.
        contrast: 0 to 1.
        fingerprint: a difference hash of 64 bits; photos that show nearly the same differ in few.
    """

    sharpness: float
    exposure: float
    contrast: float
    fingerprint: int
