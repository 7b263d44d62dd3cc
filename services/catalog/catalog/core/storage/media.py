"""Stored media, and where the bytes of anything stored are, with a file name that people can use."""

from __future__ import annotations

import re

from catalog.core.campaigns.domain import Asset
from catalog.core.generations.domain.model import Media
from catalog.core.jobs.domain.model import Cut
from catalog.core.storage.domain.blob_keys import thumbnail_key
from catalog.core.storage.domain.files import StoredObject
from catalog.core.unit_of_work import Database
from servicekit.errors import AppError, NotFound
from servicekit.ids import check_id

_CLIP_NAME = re.compile(r"scene-\d+-(med_[0-9A-Z]{26})\.\w+")


class MediaService:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, media_id: str) -> Media:
        async with self._database.read() as unit:
            return await unit.generations.media(media_id)

    async def locate_asset(self, asset_id: str, *, thumbnail: bool) -> StoredObject:
        async with self._database.read() as unit:
            asset = await unit.assets.get(asset_id)
        if thumbnail:
            return _thumbnail(asset)
        return _stored(asset, asset.filename)

    async def locate_media(self, media_id: str, *, thumbnail: bool, job_id: str = "") -> StoredObject:
        """A stored output, of that job if one is named."""
        media = await self.get(media_id)
        if job_id and media.job_id != job_id:
            raise NotFound(f"job {job_id} has no clip {media_id}")
        if thumbnail:
            return _thumbnail(media)
        extension = media.blob_key.rpartition(".")[2]
        name = media.model.rpartition("/")[2] or "output"
        return _stored(media, f"{name}-{media.id}.{extension}")

    async def locate_clip(self, job_id: str, filename: str, *, thumbnail: bool) -> StoredObject:
        """A clip by the file name that its address ends with."""
        name = _CLIP_NAME.fullmatch(filename)
        try:
            media_id = check_id(name[1] if name else "", "media")
        except AppError as error:
            raise NotFound(f"job {job_id} has no clip {filename[:80]}") from error
        return await self.locate_media(media_id, thumbnail=thumbnail, job_id=job_id)

    async def locate_cut(self, job_id: str, version: int, *, thumbnail: bool) -> StoredObject:
        """A cut; version 0: the newest."""
        async with self._database.read() as unit:
            job = await unit.jobs.get(job_id)
            campaign = await unit.campaigns.get(job.campaign_id)
        cut = _cut_of_version(job_id, job.present_cuts, version)
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


def _cut_of_version(job_id: str, cuts: tuple[Cut, ...], version: int) -> Cut:
    for cut in reversed(cuts):
        if version in (0, cut.version):
            return cut
    which = f"version {version}" if version else "cut"
    raise NotFound(f"job {job_id} has no {which} yet")


def _stored(record: Asset | Media, filename: str) -> StoredObject:
    facts = record.facts
    return StoredObject(
        record.blob_key, facts.content_type, record.created_at, filename, facts.size_bytes, facts.sha256
    )


def _thumbnail(record: Asset | Media) -> StoredObject:
    if not record.facts.kind.has_thumbnail:
        raise NotFound(f"{record.id} is {record.facts.kind}: it has no thumbnail")
    return StoredObject(thumbnail_key(record.id), "image/webp", record.created_at, f"{record.id}.webp")


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60] or "video"
