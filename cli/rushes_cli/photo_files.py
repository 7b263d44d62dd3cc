"""Finds the photos that a demo uses: those of a folder, or the ones that are shipped with the command."""

from __future__ import annotations

import shutil
from importlib import resources
from pathlib import Path

from rushes_cli.errors import CommandError

_SUFFIXES = {".jpg", ".jpeg", ".png", ".gif", ".webp"}


def find_photos(folder: Path) -> list[Path]:
    """The files of a folder that have a photo's suffix, by name. The gateway checks their content.

    Raises:
        CommandError: there is no such folder, it cannot be read, or none of its files has such a suffix.
    """
    if not folder.exists():
        raise CommandError(
            f"There is no folder {folder}.", "Name a folder with JPEG, PNG, GIF or WebP photos."
        )
    if not folder.is_dir():
        raise CommandError(f"{folder} is a file.", "Name the folder it lies in.")
    try:
        photos = sorted(p for p in folder.iterdir() if p.suffix.lower() in _SUFFIXES and p.is_file())
    except PermissionError as error:
        raise CommandError(
            f"The folder {folder} cannot be read.", "Give yourself the right to read it."
        ) from error
    if not photos:
        raise CommandError(
            f"The folder {folder} has no photos: no file in it ends with {', '.join(sorted(_SUFFIXES))}.",
            "Name a folder with JPEG, PNG, GIF or WebP photos.",
        )
    return photos


def copy_demo_photos(folder: Path) -> list[Path]:
    """Copy the shipped photos into a folder: three houses, each from the street, and three of its rooms."""
    folder.mkdir(parents=True, exist_ok=True)
    with resources.as_file(resources.files("rushes_cli")) as package:
        return [Path(shutil.copy(photo, folder)) for photo in sorted((package / "demo_photos").iterdir())]


def tags_of(photo: Path) -> str:
    """Tags from the file's name: `house042_kitchen.jpg` → `house042,kitchen`. The planner uses them."""
    words = photo.stem.replace("-", " ").replace("_", " ").replace(".", " ").lower().split()
    return ",".join(dict.fromkeys(word for word in words if len(word) > 1))
