"""The album: which pictures there are, what their files are called, and drawing them all."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import ImageOps

from rushes_cli.photos.develop import Scene, develop
from rushes_cli.photos.houses import HOUSES, House, frontal
from rushes_cli.photos.rooms import bathroom, bedroom, kitchen

ROOMS: dict[str, Callable[[House], Scene]] = {
    "frontal": frontal,
    "kitchen": kitchen,
    "bedroom": bedroom,
    "bathroom": bathroom,
}
"""The kinds of picture: the house from the street, and three rooms."""


def draw_photos(folder: Path) -> list[Path]:
    """Draw every house's pictures into a folder, as `harbour-house_kitchen.jpg`; the same bytes each time.

    Answers the paths, house by house. Files of the same names are overwritten.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [(house, room) for house in HOUSES for room in ROOMS]
    # The drawing is numpy's and Pillow's, which let other threads work meanwhile.
    with ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as workers:
        return list(workers.map(lambda one: _draw(folder, *one), wanted))


def _draw(folder: Path, house: House, room: str) -> Path:
    picture = develop(ROOMS[room](house), seed=len(house.name) * 31 + len(room))
    if house.mirrored:
        picture = ImageOps.mirror(picture)
    path = folder / f"{house.name}_{room}.jpg"
    picture.save(path, "JPEG", quality=90)
    return path
