"""The use case: a small picture of a stored image or video, made once."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from servicekit.errors import Invalid, NotFound
from stitcher.core.ports import Blobs, Posters, Prober, Unreadable, Workspace

DEFAULT_WIDTH, LEAST_WIDTH, MOST_WIDTH = 480, 16, 1920


class Kind(StrEnum):
    """What a stored file is."""

    VIDEO = "video"
    IMAGE = "image"
    AUDIO = "audio"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Thumbnail:
    """A stored small picture."""

    key: str
    content_type: str
    size: int


def type_of(key: str) -> str:
    """The format that a picture's key asks for: JPEG for `.jpg`, else WebP."""
    return "image/jpeg" if key.endswith((".jpg", ".jpeg")) else "image/webp"


class MakeThumbnail:
    """Makes small pictures."""

    def __init__(self, *, blobs: Blobs, posters: Posters, prober: Prober, workspace: Workspace) -> None:
        self._blobs = blobs
        self._posters = posters
        self._prober = prober
        self._workspace = workspace

    async def run(
        self,
        blob_key: str,
        thumbnail_key: str,
        *,
        width: int = 0,
        kind: Kind = Kind.UNKNOWN,
        new: bool = False,
    ) -> Thumbnail | None:
        """Make and store the picture, or answer the one that is there; None for sound, which has none.

        Args:
            blob_key: the stored file.
            thumbnail_key: where the picture belongs; its ending tells the format.
            width: at most so many pixels wide; 0 for the default of 480.
            kind: what the file is, when known.
            new: nobody can have made it yet, so that nobody need look.

        Raises:
            Invalid: the width is out of range, or the file is broken.
            NotFound: no such file.
            Unavailable: the store is away.
        """
        if kind is Kind.AUDIO:
            return None
        if width and not LEAST_WIDTH <= width <= MOST_WIDTH:
            raise Invalid(f"width: {width} is not between {LEAST_WIDTH} and {MOST_WIDTH} pixels (0 for 480)")
        content_type = type_of(thumbnail_key)
        if not new:
            try:
                stored = await self._blobs.stat(thumbnail_key)
            except NotFound:
                pass  # as expected
            else:
                return Thumbnail(thumbnail_key, content_type, stored.size)
        return await self._make(blob_key, thumbnail_key, width or DEFAULT_WIDTH, kind, content_type)

    async def _make(
        self, blob_key: str, thumbnail_key: str, width: int, kind: Kind, content_type: str
    ) -> Thumbnail | None:
        async with self._workspace.folder() as folder:
            source = folder / "source"
            await self._blobs.get_file(blob_key, source)
            try:
                if kind is Kind.UNKNOWN:
                    kind = await self._look(source)
                if kind is Kind.AUDIO:
                    return None
                make = self._posters.of_video if kind is Kind.VIDEO else self._posters.of_image
                picture = await make(source, width=width, content_type=content_type)
            except Unreadable as error:
                raise Invalid(f"{blob_key} cannot be shown: {error}") from error
            stored = await self._blobs.put(thumbnail_key, picture, content_type=content_type)
            await self._undo_if_gone(blob_key, thumbnail_key)
            return Thumbnail(thumbnail_key, content_type, stored.size)

    async def _undo_if_gone(self, blob_key: str, thumbnail_key: str) -> None:
        """Deleted meanwhile, picture and all: then this one came after its own removal, and would stay."""
        try:
            await self._blobs.stat(blob_key)
        except NotFound:
            await self._blobs.delete(thumbnail_key)
            raise

    async def _look(self, source: Path) -> Kind:
        """By content: what is no video or sound is taken for an image, whose own check is strict."""
        try:
            facts = await self._prober.probe(source)
        except Unreadable:
            return Kind.IMAGE
        return Kind.VIDEO if facts.video else Kind.AUDIO
