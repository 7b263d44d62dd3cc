"""Keys of the blob store: what each names, and what is asked of the tables about them."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from catalog.core.shared.records import Page

_ULID = "[0-7][0-9A-HJKMNP-TV-Z]{25}"


class Room(StrEnum):
    """What a key names: the record that decides whether its blob is needed."""

    ASSET = "asset"
    OUTPUT = "output"
    CUT = "cut"
    THUMBNAIL = "thumbnail"
    """Of a media; an asset's is the asset's."""


_SHAPES = (
    (Room.ASSET, re.compile(rf"assets/(ast_{_ULID})/.+")),
    (Room.ASSET, re.compile(rf"thumbs/(ast_{_ULID})\.webp")),
    (Room.OUTPUT, re.compile(rf"media/(gen_{_ULID})/\d+\.\w+")),
    (Room.THUMBNAIL, re.compile(rf"thumbs/(med_{_ULID})\.webp")),
    (Room.CUT, re.compile(rf"cuts/(job_{_ULID})/v(\d{{1,9}})\.mp4")),
    (Room.CUT, re.compile(rf"thumbs/(job_{_ULID})-v(\d{{1,9}})\.jpg")),
)


@dataclass(frozen=True)
class Place:
    """A key that we know the shape of, and the id in it."""

    key: str
    room: Room
    id: str
    version: int = 0


@dataclass(frozen=True)
class NamedBlob:
    """What a record says is stored. `id`: the asset, the media, or for a cut its job."""

    id: str
    key: str


class BlobKeys(Protocol):
    """The keys in the tables."""

    async def system(self) -> str:
        """The name of this system: the database's own, for as long as it lives."""
        ...

    async def needed(self, places: Sequence[Place]) -> Collection[str]:
        """The keys of those that a record names, or that work which is not over may still name."""
        ...

    async def page(self, size: int, token: str) -> Page[NamedBlob]:
        """Every key that a record names, deleted ones left out; a page may be short and not be the last."""
        ...


def place_of(key: str) -> Place | None:
    """What a key names; None when it is of no shape that we give."""
    for room, shape in _SHAPES:
        if found := shape.fullmatch(key):
            return Place(key, room, found[1], int(found[2]) if found.lastindex == 2 else 0)
    return None
