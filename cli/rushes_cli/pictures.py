"""Finds the photos that a demo uses: those of a folder, or the ones that are shipped with the command."""

from __future__ import annotations

import shutil
from importlib import resources
from pathlib import Path

from rushes_cli.problems import Problem

_SUFFIXES = {".jpg", ".jpeg", ".png", ".gif", ".webp"}


def find_photos(folder: Path) -> list[Path]:
    """The files of a folder that are named like photos, by name.

    What they hold is checked where they are uploaded: by content, not by name.

    Raises:
        Problem: there is no such folder, it cannot be read, or no file in it is named like a photo.
    """
    if not folder.exists():
        raise Problem(f"There is no folder {folder}.", "Name a folder with JPEG, PNG, GIF or WebP photos.")
    if not folder.is_dir():
        raise Problem(f"{folder} is a file.", "Name the folder it lies in.")
    try:
        photos = sorted(p for p in folder.iterdir() if p.suffix.lower() in _SUFFIXES and p.is_file())
    except PermissionError as error:
        raise Problem(
            f"The folder {folder} cannot be read.", "Give yourself the right to read it."
        ) from error
    if not photos:
        raise Problem(
            f"The folder {folder} has no photos: no file in it ends with {', '.join(sorted(_SUFFIXES))}.",
            "Name a folder with JPEG, PNG, GIF or WebP photos.",
        )
    return photos


def copy_demo_photos(folder: Path) -> list[Path]:
    """Copy the shipped photos into a folder: three houses, each from the street and in three rooms."""
    folder.mkdir(parents=True, exist_ok=True)
    with resources.as_file(resources.files("rushes_cli")) as package:
        return [Path(shutil.copy(photo, folder)) for photo in sorted((package / "demo_photos").iterdir())]


def tags_of(photo: Path) -> str:
    """Tags read from a file's name: `house042_kitchen.jpg` → `house042,kitchen`."""
    words = photo.stem.replace("-", " ").replace("_", " ").replace(".", " ").lower().split()
    return ",".join(dict.fromkeys(word for word in words if len(word) > 1))
