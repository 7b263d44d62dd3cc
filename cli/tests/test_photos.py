"""The demo's photos: enough of them, told apart by name and by look, sharp, the same each time, quick."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rushes_cli.photos import HOUSES, ROOMS, draw_photos


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], float]:
    """The paths, and how many seconds of processor the drawing took."""
    before = time.process_time()
    paths = draw_photos(tmp_path_factory.mktemp("album") / "photos")
    return paths, time.process_time() - before


def small(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB").resize((24, 16)), np.float32)


def test_three_houses_in_four_kinds_of_picture(album: tuple[list[Path], float]) -> None:
    paths, _ = album
    assert set(ROOMS) == {"frontal", "kitchen", "bedroom", "bathroom"}
    assert [path.name for path in paths] == [f"{house.name}_{room}.jpg" for house in HOUSES for room in ROOMS]
    assert len(paths) >= 12
    for path in paths:
        with Image.open(path) as photo:
            assert (photo.format, photo.size, photo.mode) == ("JPEG", (1600, 1067), "RGB")


def test_no_two_look_alike(album: tuple[list[Path], float]) -> None:
    looks = [small(path) for path in album[0]]
    for index, one in enumerate(looks):
        for other in looks[index + 1 :]:
            assert np.abs(one - other).mean() > 8


def test_they_are_exposed_and_sharp_like_photos(album: tuple[list[Path], float]) -> None:
    for path in album[0]:
        grey = np.asarray(Image.open(path).convert("L"), np.float32)
        assert 70 < grey.mean() < 215, path.name
        assert grey.std() > 30, path.name
        edges = grey[1:-1, 1:-1] * 4 - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]
        assert edges.var() > 40, (path.name, float(edges.var()))


def test_the_same_bytes_each_time(album: tuple[list[Path], float], tmp_path: Path) -> None:
    def hashes(paths: list[Path]) -> list[str]:
        return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]

    assert hashes(draw_photos(tmp_path)) == hashes(album[0])


def test_drawing_is_quick(album: tuple[list[Path], float]) -> None:
    assert (
        album[1] < 9
    )  # processor time, on a slow and busy machine; 4 s here, 2.2 s on the clock with two cores
