"""The keys of stored bytes in the tables: found by the ids in them, so that no table is searched."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import Select, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from catalog.adapters.db import tables as t
from catalog.adapters.db.keyset_pagination import decode, encode
from catalog.core.generations.domain.model import FINAL as OVER
from catalog.core.generations.domain.model import Stage
from catalog.core.jobs.domain.model import FINAL as FINISHED
from catalog.core.shared.records import PAGE, Page
from catalog.core.storage.blob_keys import NamedBlob, Place, Room

_OVER = frozenset(stage.value for stage in OVER)
_FINISHED = frozenset(status.value for status in FINISHED)


class SqlBlobKeys:
    """`BlobKeys`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def system(self) -> str:
        """The name of this system: the database's own, for as long as it lives."""
        return str((await self._connection.execute(select(t.system.c.id))).scalar_one())

    async def needed(self, places: Sequence[Place]) -> Collection[str]:
        """The keys of those that a record names, or that work which is not over may still name."""
        found: set[str] = set()
        for room, ask in (
            (Room.ASSET, self._assets),
            (Room.OUTPUT, self._outputs),
            (Room.THUMBNAIL, self._thumbnails),
            (Room.CUT, self._cuts),
        ):
            if mine := [place for place in places if place.room is room]:
                found.update(await ask(mine))
        return found

    async def _assets(self, places: Sequence[Place]) -> Iterable[str]:
        there = await self._ids(select(t.assets.c.id).where(t.assets.c.id.in_(_ids(places))))
        return [place.key for place in places if place.id in there]

    async def _thumbnails(self, places: Sequence[Place]) -> Iterable[str]:
        query = select(t.media.c.id).where(t.media.c.id.in_(_ids(places)), t.media.c.deleted_at.is_not(None))
        gone = await self._ids(query)
        return [place.key for place in places if place.id not in gone]

    async def _outputs(self, places: Sequence[Place]) -> Iterable[str]:
        """An output's record comes after its bytes: until its generation is over, they are waited for."""
        columns, media = t.generations.c, t.media.c
        query = select(columns.id, columns.stage, columns.winner, columns.deleted_at)
        rows = (await self._connection.execute(query.where(columns.id.in_(_ids(places))))).all()
        # A failed one that has lost outputs may be opened again, and finds what is here.
        waits = {
            row.id
            for row in rows
            if row.deleted_at is None
            and (row.stage not in _OVER or (row.stage == Stage.FAILED and row.winner))
        } | _strangers(places, (row.id for row in rows))
        outputs = select(media.blob_key, media.deleted_at).where(media.generation_id.in_(_ids(places)))
        known = {row.blob_key: row.deleted_at for row in await self._connection.execute(outputs)}
        return [
            place.key
            for place in places
            if (known[place.key] is None if place.key in known else place.id in waits)
        ]

    async def _cuts(self, places: Sequence[Place]) -> Iterable[str]:
        jobs, cuts = t.jobs.c, t.cuts.c
        query = select(jobs.id, jobs.status).where(jobs.id.in_(_ids(places)))
        rows = (await self._connection.execute(query)).all()
        runs = {row.id for row in rows if row.status not in _FINISHED}
        runs |= _strangers(places, (row.id for row in rows))
        kept = select(cuts.job_id, cuts.version).where(
            cuts.job_id.in_(_ids(places)), cuts.deleted_at.is_(None)
        )
        made = {(row.job_id, row.version) for row in await self._connection.execute(kept)}
        return [place.key for place in places if place.id in runs or (place.id, place.version) in made]

    async def _ids(self, query: Select[Any]) -> set[str]:
        return set((await self._connection.execute(query)).scalars())

    async def page(self, size: int, token: str) -> Page[NamedBlob]:
        """Every key that a record names: assets, then outputs, then cuts; each page of one table."""
        size = size or PAGE
        table, after, version = decode(token, int, str, int) if token else (0, "", 0)
        tables = (self._of_assets, self._of_outputs, self._of_cuts)
        if not 0 <= table < len(tables):
            return Page(())
        found = await tables[table](after, version, size)
        if len(found) == size:
            last = found[-1]
            return Page(tuple(blob for blob, _ in found), encode(table, last[0].id, last[1]))
        rest = encode(table + 1, "", 0) if table + 1 < len(tables) else ""
        return Page(tuple(blob for blob, _ in found), rest)

    async def _of_assets(self, after: str, _version: int, size: int) -> list[tuple[NamedBlob, int]]:
        columns = t.assets.c
        query = select(columns.id, columns.blob_key).where(columns.id > after)
        rows = await self._connection.execute(query.order_by(columns.id).limit(size))
        return [(NamedBlob(row.id, row.blob_key), 0) for row in rows]

    async def _of_outputs(self, after: str, _version: int, size: int) -> list[tuple[NamedBlob, int]]:
        columns = t.media.c
        query = select(columns.id, columns.blob_key).where(columns.id > after, columns.deleted_at.is_(None))
        rows = await self._connection.execute(query.order_by(columns.id).limit(size))
        return [(NamedBlob(row.id, row.blob_key), 0) for row in rows]

    async def _of_cuts(self, after: str, version: int, size: int) -> list[tuple[NamedBlob, int]]:
        columns = t.cuts.c
        later = or_(columns.job_id > after, (columns.job_id == after) & (columns.version > version))
        query = select(columns.job_id, columns.version, columns.cut_key).where(
            later, columns.deleted_at.is_(None)
        )
        rows = await self._connection.execute(query.order_by(columns.job_id, columns.version).limit(size))
        return [(NamedBlob(row.job_id, row.cut_key), row.version) for row in rows]


def _strangers(places: Sequence[Place], known: Iterable[str]) -> set[str]:
    """Ids that no table has. A generation or a job leaves its row when it is deleted, so what has none was
    made after the backup that this database was restored from: its bytes are all that is left of it."""
    return {place.id for place in places}.difference(known)


def _ids(places: Sequence[Place]) -> list[str]:
    return list({place.id for place in places})
