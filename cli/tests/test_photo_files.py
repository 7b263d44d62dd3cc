"""The shipped photos, and those of a folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from rushes_cli.errors import CommandError
from rushes_cli.photo_files import copy_demo_photos, find_photos, tags_of


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


def test_photos_are_found_by_name_in_order(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "notes.txt", "c.webp"):
        (tmp_path / name).touch()
    (tmp_path / "folder.jpg").mkdir()
    assert [photo.name for photo in find_photos(tmp_path)] == ["a.png", "b.JPG", "c.webp"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    with pytest.raises(CommandError, match="is a file"):
        find_photos(tmp_path / "a.jpg")


def test_tags_come_from_the_name() -> None:
    assert tags_of(Path("house042_kitchen.jpg")) == "house042,kitchen"
    assert tags_of(Path("Sea view-bedroom bedroom.png")) == "sea,view,bedroom"
