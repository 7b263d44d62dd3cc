"""Where the bytes of anything stored lie, and what a person would call the file."""

from __future__ import annotations

import re

from catalog.core.campaigns.service import has_thumbnail
from catalog.core.jobs.domain.model import Cut, thumbnail_key
from catalog.core.shared.ports import Store
from catalog.core.shared.records import Asset, Media, StoredObject
from servicekit.errors import AppError, NotFound
from servicekit.ids import check_id

_CLIP = re.compile(r"scene-\d+-(med_[0-9A-Z]{26})\.\w+")


class Locator:
    """The use cases of whoever serves bytes."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def asset(self, asset_id: str, *, thumbnail: bool) -> StoredObject:
        """An uploaded file, or its small picture."""
        async with self._store.read() as unit:
            asset = await unit.assets.get(asset_id)
        if thumbnail:
            return _thumbnail(asset)
        facts = asset.facts
        return StoredObject(
            asset.blob_key,
            facts.content_type,
            asset.created_at,
            asset.filename,
            facts.size_bytes,
            facts.sha256,
        )

    async def media(self, media_id: str, *, thumbnail: bool, job_id: str = "") -> StoredObject:
        """A stored output (of that job), or its poster."""
        async with self._store.read() as unit:
            media = await unit.generations.media(media_id)
        if job_id and media.job_id != job_id:
            raise NotFound(f"job {job_id} has no clip {media_id}")
        if thumbnail:
            return _thumbnail(media)
        facts = media.facts
        extension = media.blob_key.rpartition(".")[2]
        name = media.model.rpartition("/")[2] or "output"
        return StoredObject(
            media.blob_key,
            facts.content_type,
            media.created_at,
            f"{name}-{media.id}.{extension}",
            facts.size_bytes,
            facts.sha256,
        )

    async def clip(self, job_id: str, filename: str, *, thumbnail: bool) -> StoredObject:
        """A clip by its file name."""
        named = _CLIP.fullmatch(filename)
        try:
            media_id = check_id(named[1] if named else "", "media")
        except AppError as error:
            raise NotFound(f"job {job_id} has no clip {filename[:80]}") from error
        return await self.media(media_id, thumbnail=thumbnail, job_id=job_id)

    async def cut(self, job_id: str, version: int, *, thumbnail: bool) -> StoredObject:
        """A cut (0: the newest), or its poster."""
        async with self._store.read() as unit:
            job = await unit.jobs.get(job_id)
            campaign = await unit.campaigns.get(job.campaign_id)
        cut = _version(job_id, job.shown_cuts, version)
        if thumbnail:
            return StoredObject(
                cut.thumbnail_key, "image/jpeg", cut.created_at, f"{job_id}-v{cut.version}.jpg"
            )
        return StoredObject(
            cut.cut_key,
            cut.facts.content_type or "video/mp4",
            cut.created_at,
            f"{_slug(campaign.name)}-v{cut.version}.mp4",
            cut.facts.size_bytes,
            cut.facts.sha256,
        )


def _version(job_id: str, cuts: tuple[Cut, ...], version: int) -> Cut:
    for cut in reversed(cuts):
        if version in (0, cut.version):
            return cut
    which = f"version {version}" if version else "cut"
    raise NotFound(f"job {job_id} has no {which} yet")


def _thumbnail(record: Asset | Media) -> StoredObject:
    if not has_thumbnail(record.facts.kind):
        raise NotFound(f"{record.id} is {record.facts.kind}: it has no small picture")
    return StoredObject(thumbnail_key(record.id), "image/webp", record.created_at, f"{record.id}.webp")


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60] or "video"
