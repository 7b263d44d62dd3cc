"""`BlobReferences` over the tables: the ids in the keys name the rows, so that no table is searched."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Select, select, true, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from catalog.adapters.db import tables as t
from catalog.adapters.db.keyset_pagination import decode, encode
from catalog.core.generations.domain.model import FINAL as FINAL_STAGES
from catalog.core.generations.domain.model import OutputState, Stage
from catalog.core.jobs.domain.model import FINAL as FINAL_JOB_STATUSES
from catalog.core.shared.paging import DEFAULT_PAGE_SIZE, Page, PageRequest
from catalog.core.storage.domain.blob_keys import BlobKey, BlobOwner, NamedBlob
from servicekit.ids import made_at

_NAMED: tuple[tuple[tuple[Column[Any], ...], Column[Any], ColumnElement[bool]], ...] = (
    ((t.assets.c.id,), t.assets.c.blob_key, true()),
    ((t.media.c.id,), t.media.c.blob_key, t.media.c.deleted_at.is_(None)),
    ((t.cuts.c.job_id, t.cuts.c.version), t.cuts.c.cut_key, t.cuts.c.deleted_at.is_(None)),
)
"""Of each table that names blobs: the key of its rows, the column of the blob's key, the rows that count."""


class SqlBlobReferences:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def system_id(self) -> str:
        return str((await self._connection.execute(select(t.system.c.id))).scalar_one())

    async def needed(self, keys: Sequence[BlobKey]) -> Collection[str]:
        found: set[str] = set()
        for owner, needed_of in (
            (BlobOwner.ASSET, self._needed_of_assets),
            (BlobOwner.GENERATION, self._needed_of_generations),
            (BlobOwner.MEDIA, self._needed_of_media),
            (BlobOwner.JOB, self._needed_of_jobs),
        ):
            if of_owner := [key for key in keys if key.owner is owner]:
                found.update(await needed_of(of_owner))
        return found

    async def _needed_of_assets(self, keys: Sequence[BlobKey]) -> Iterable[str]:
        """What was uploaded before the database was rebuilt may have lost its record: it stays."""
        existing = await self._ids(select(t.assets.c.id).where(t.assets.c.id.in_(_owner_ids(keys))))
        rebuilt_at = await self._connection.scalar(select(t.system.c.rebuilt_at))
        return [
            key.text
            for key in keys
            if key.owner_id in existing or (rebuilt_at is not None and made_at(key.owner_id) < rebuilt_at)
        ]

    async def _needed_of_media(self, keys: Sequence[BlobKey]) -> Iterable[str]:
        media = t.media.c
        query = select(media.id).where(media.id.in_(_owner_ids(keys)), media.deleted_at.is_not(None))
        deleted = await self._ids(query)
        return [key.text for key in keys if key.owner_id not in deleted]

    async def _needed_of_generations(self, keys: Sequence[BlobKey]) -> Iterable[str]:
        """An output's record comes after its bytes: they are needed until their generation is over."""
        generations, media = t.generations.c, t.media.c
        ids = _owner_ids(keys)
        query = select(generations.id, generations.stage, generations.winner, generations.deleted_at)
        rows = (await self._connection.execute(query.where(generations.id.in_(ids)))).all()
        # One that has lost outputs may be opened again, and finds what is stored.
        lost = select(t.outputs.c.generation_id).where(
            t.outputs.c.generation_id.in_(ids), t.outputs.c.state == OutputState.LOST.value
        )
        with_lost = await self._ids(lost)
        open_ids = {
            row.id
            for row in rows
            if row.deleted_at is None
            and (
                row.stage not in FINAL_STAGES
                or row.id in with_lost
                or (row.stage == Stage.FAILED and row.winner)
            )
        } | _without_row(keys, (row.id for row in rows))
        outputs = select(media.blob_key, media.deleted_at).where(media.generation_id.in_(ids))
        deleted_at = {row.blob_key: row.deleted_at for row in await self._connection.execute(outputs)}
        return [
            key.text
            for key in keys
            if (deleted_at[key.text] is None if key.text in deleted_at else key.owner_id in open_ids)
        ]

    async def _needed_of_jobs(self, keys: Sequence[BlobKey]) -> Iterable[str]:
        jobs, cuts = t.jobs.c, t.cuts.c
        ids = _owner_ids(keys)
        rows = (await self._connection.execute(select(jobs.id, jobs.status).where(jobs.id.in_(ids)))).all()
        open_ids = {row.id for row in rows if row.status not in FINAL_JOB_STATUSES}
        open_ids |= _without_row(keys, (row.id for row in rows))
        present = select(cuts.job_id, cuts.version).where(cuts.job_id.in_(ids), cuts.deleted_at.is_(None))
        versions = {(row.job_id, row.version) for row in await self._connection.execute(present)}
        return [
            key.text for key in keys if key.owner_id in open_ids or (key.owner_id, key.version) in versions
        ]

    async def _ids(self, query: Select[Any]) -> set[str]:
        return set((await self._connection.execute(query)).scalars())

    async def page(self, paging: PageRequest) -> Page[NamedBlob]:
        """Assets, then outputs, then cuts; each page is of one table."""
        size = paging.size or DEFAULT_PAGE_SIZE
        table, *after = decode(paging.token, int, str, int) if paging.token else (0, "", 0)
        if not 0 <= table < len(_NAMED):
            return Page(())
        key, blob_key, present = _NAMED[table]
        query = select(blob_key, *key).where(present, tuple_(*key) > tuple(after[: len(key)]))
        rows = (await self._connection.execute(query.order_by(*key).limit(size))).all()
        blobs = tuple(NamedBlob(row[1], row[0]) for row in rows)
        if len(rows) == size:
            record_id, version = (*rows[-1][1:], 0)[:2]
            return Page(blobs, encode(table, record_id, version))
        return Page(blobs, encode(table + 1, "", 0) if table + 1 < len(_NAMED) else "")


def _without_row(keys: Sequence[BlobKey], ids: Iterable[str]) -> set[str]:
    """Owners that have no row in their table.

    A generation or a job leaves its row when it is deleted. One without a row was made after the backup that
    this database was restored from: its bytes are all that is left of it.
    """
    return {key.owner_id for key in keys}.difference(ids)


def _owner_ids(keys: Sequence[BlobKey]) -> list[str]:
    return list({key.owner_id for key in keys})
