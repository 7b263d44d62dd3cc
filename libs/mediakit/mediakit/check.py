"""Checks a stored file of any format: whole, decodable, within limits; and measures it."""

from __future__ import annotations

from pathlib import Path

from mediakit.facts import Facts
from mediakit.formats import Format, Kind
from mediakit.limits import STORED_PIXELS
from mediakit.pictures import check_picture
from mediakit.streams import check_streams
from mediakit.structure import check_structure


def check_file(
    path: Path, found: Format, *, start_decoded: bool = False, most_pixels: int = STORED_PIXELS
) -> Facts:
    """What a file holds, as `found` says that it does.

    Args:
        path: the whole file.
        found: its format, by its first bytes.
        start_decoded: see `check_streams`.
        most_pixels: the most pixels of a picture.

    Raises:
        MediaError: undecodable, truncated, or too big.
    """
    with path.open("rb") as file:
        check_structure(file, path.stat().st_size, found)
    if found.kind is Kind.IMAGE:
        return check_picture(path, found, most_pixels=most_pixels)
    return check_streams(path, found, start_decoded=start_decoded)
