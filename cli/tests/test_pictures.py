"""The shipped photos, and those of a folder."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from rushes_cli.pictures import copy_demo_photos, find_photos, tags_of


def test_three_houses_in_four_kinds_of_picture_are_shipped(tmp_path: Path) -> None:
    photos = copy_demo_photos(tmp_path / "photos")
    assert photos == find_photos(tmp_path / "photos")
    assert {tags_of(photo) for photo in photos} == {
        f"{house},house,{room}"
        for house in ("harbour", "garden", "hill")
        for room in ("frontal", "kitchen", "bedroom", "bathroom")
    }
    for path in photos:
        with Image.open(path) as photo:
            assert (photo.format, photo.size, photo.mode) == ("JPEG", (1600, 1067), "RGB")
        assert path.stat().st_size <= 150_000, "they stand in every checkout and every wheel"
