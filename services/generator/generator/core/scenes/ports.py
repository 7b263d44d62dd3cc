"""What planning scenes needs of the world."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from generator.core.scenes.domain.photos import Photo, PhotoFeatures


class PhotoFeatureReader(Protocol):
    """Measures photos."""

    async def read(self, photos: Sequence[Photo]) -> dict[str, PhotoFeatures]:
        """By asset id; photos that cannot be read are missing."""
        ...
