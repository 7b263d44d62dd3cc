"""The use case that makes the thumbnail of a stored image or video, once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mediakit.formats import Kind
from servicekit.errors import Invalid, NotFound
from stitcher.core.media.ports import Blobs, Prober, ThumbnailRenderer, Unreadable, Workspace

DEFAULT_WIDTH, MIN_WIDTH, MAX_WIDTH = 480, 16, 1920


@dataclass(frozen=True)
class Thumbnail:
    """A stored thumbnail; its size is in bytes."""

    key: str
    content_type: str
    size: int


def content_type_of(key: str) -> str:
    """The format that a thumbnail's key asks for: JPEG for `.jpg`, else WebP."""
    return "image/jpeg" if key.endswith((".jpg", ".jpeg")) else "image/webp"


@dataclass(frozen=True, kw_only=True)
class MakeThumbnail:
    blobs: Blobs
    renderer: ThumbnailRenderer
    prober: Prober
    workspace: Workspace

    async def run(
        self,
        blob_key: str,
        thumbnail_key: str,
        *,
        width: int = 0,
        kind: Kind | None = None,
        surely_missing: bool = False,
    ) -> Thumbnail | None:
        """Make and store the thumbnail, or return the stored one; None for sound, which has none.

        Args:
            blob_key: the stored file.
            thumbnail_key: where the thumbnail belongs; its ending tells the format.
            width: at most so many pixels wide; 0 for the default of 480.
            kind: what the file is, when known.
            surely_missing: nobody can have made it yet, so the store is not searched for it.

        Raises:
            Invalid: the width is out of range, or the file is broken.
            NotFound: no such file.
            Unavailable: the store is away.
        """
        if kind is Kind.AUDIO:
            return None
        if width and not MIN_WIDTH <= width <= MAX_WIDTH:
            raise Invalid(f"width: {width} is not between {MIN_WIDTH} and {MAX_WIDTH} pixels (0 for 480)")
        content_type = content_type_of(thumbnail_key)
        if not surely_missing:
            try:
                stored = await self.blobs.stat(thumbnail_key)
            except NotFound:
                pass  # as expected
            else:
                return Thumbnail(thumbnail_key, content_type, stored.size)
        return await self._make(blob_key, thumbnail_key, width or DEFAULT_WIDTH, kind, content_type)

    async def _make(
        self, blob_key: str, thumbnail_key: str, width: int, kind: Kind | None, content_type: str
    ) -> Thumbnail | None:
        async with self.workspace.folder() as folder:
            source = folder / "source"
            await self.blobs.get_file(blob_key, source)
            try:
                if kind is None:
                    kind = await self._detect_kind(source)
                if kind is Kind.AUDIO:
                    return None
                render = self.renderer.of_video if kind is Kind.VIDEO else self.renderer.of_image
                picture = await render(source, width=width, content_type=content_type)
            except Unreadable as error:
                raise Invalid(f"{blob_key} cannot be shown: {error}") from error
            stored = await self.blobs.put(thumbnail_key, picture, content_type=content_type)
            await self._delete_if_source_is_gone(blob_key, thumbnail_key)
            return Thumbnail(thumbnail_key, content_type, stored.size)

    async def _delete_if_source_is_gone(self, blob_key: str, thumbnail_key: str) -> None:
        """A removal is announced once: a thumbnail that is stored after it would never be removed."""
        try:
            await self.blobs.stat(blob_key)
        except NotFound:
            await self.blobs.delete(thumbnail_key)
            raise

    async def _detect_kind(self, source: Path) -> Kind:
        """By content: what is no video or sound is taken for an image, which the renderer checks strictly."""
        try:
            facts = await self.prober.probe(source)
        except Unreadable:
            return Kind.IMAGE
        return Kind.VIDEO if facts.video else Kind.AUDIO
