"""What the tables know of stored outputs and cuts: added up by the database, listed by key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, case, func, or_, select, true, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from catalog.adapters.db import tables as t
from catalog.adapters.db.json_columns import load
from catalog.adapters.db.keyset_pagination import decode, encode
from catalog.core.generations.domain.model import OPEN, OutputState
from catalog.core.jobs.domain.model import FINAL
from catalog.core.shared.records import PAGE, Page
from catalog.core.shared.values import Facts, MediaKind
from catalog.core.storage.queries import Aged, DownloadCounts, File, Old, Usage

_MEDIA_KEPT = t.media.c.deleted_at.is_(None)
_CUTS_KEPT = t.cuts.c.deleted_at.is_(None)
_OVER = tuple(status.value for status in FINAL)


class SqlFiles:
    """`Files`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def usage(self) -> Mapping[MediaKind, Usage]:
        """What the files take, by kind; cuts are videos."""
        outputs = select(t.media.c.kind, *_size(t.media.c)).where(_MEDIA_KEPT).group_by(t.media.c.kind)
        return await self._by_kind(outputs, select(*_size(t.cuts.c)).where(_CUTS_KEPT))

    async def downloads(self, at: datetime) -> DownloadCounts:
        """How outputs came here; what the provider had until `at` is lost."""
        stored = select(func.count()).select_from(t.media).where(_MEDIA_KEPT)
        gone = func.count(case((t.outputs.c.expires_at <= at, 1)))
        given_up = select(func.count(), gone).where(t.outputs.c.state == OutputState.LOST.value)
        columns = t.generations.c
        again = select(func.coalesce(func.sum(columns.requeues), 0))
        again = again.where(columns.deleted_at.is_(None), columns.requeues > 0)
        failed, lost = (await self._connection.execute(given_up)).one()
        return DownloadCounts(
            completed=int((await self._connection.execute(stored)).scalar_one()),
            failed=int(failed),
            retried=int((await self._connection.execute(again)).scalar_one()),
            lost=int(lost),
        )

    async def page(self, size: int, token: str) -> Page[File]:
        """Newest first: so many of each table, and of these the newest."""
        size = size or PAGE
        outputs, cuts = _pages(token)
        found = [_output(row) for row in await self._connection.execute(outputs.limit(size + 1))]
        found += [_cut(row) for row in await self._connection.execute(cuts.limit(size + 1))]
        found.sort(key=_place, reverse=True)
        items = tuple(found[:size])
        if len(found) <= size:
            return Page(items)
        at, id_, version = _place(items[-1])
        return Page(items, encode(at.isoformat(), id_, version))

    async def old_generations(self, before: datetime, after: Old | None, limit: int) -> Sequence[Old]:
        """Generations that ended before then, as did their job; oldest first, beginning after one."""
        columns = t.generations.c
        query = _old_generations(columns.finished_at, columns.job_id, columns.id, before=before)
        if after is not None:
            query = query.where(_later(columns, after.at, after.generation_id))
        query = query.order_by(columns.finished_at, columns.id).limit(limit)
        return [Old(*row) for row in await self._connection.execute(query)]

    async def old_jobs(self, before: datetime, after: Old | None, limit: int) -> Sequence[Old]:
        """Jobs with cuts that ended before then; oldest first, beginning after one."""
        columns = t.jobs.c
        has_cuts = select(t.cuts.c.version).where(t.cuts.c.job_id == columns.id, _CUTS_KEPT).exists()
        query = select(columns.finished_at, columns.id).where(_over(before), has_cuts)
        if after is not None:
            query = query.where(_later(columns, after.at, after.job_id))
        query = query.order_by(columns.finished_at, columns.id).limit(limit)
        return [Old(*row) for row in await self._connection.execute(query)]

    async def aged(self, before: datetime) -> Aged:
        """What `old_generations` and `old_jobs` come to."""
        count = (await self._connection.execute(_old_generations(func.count(), before=before))).scalar_one()
        joined = t.media.c.generation_id == t.generations.c.id
        outputs = _old_generations(t.media.c.kind, *_size(t.media.c), before=before, join=joined)
        cuts = select(*_size(t.cuts.c)).join(t.jobs, t.jobs.c.id == t.cuts.c.job_id)
        by_kind = await self._by_kind(outputs.group_by(t.media.c.kind), cuts.where(_CUTS_KEPT, _over(before)))
        return Aged(int(count), by_kind)

    async def _by_kind(
        self, outputs: Select[*tuple[Any, ...]], cuts: Select[*tuple[Any, ...]]
    ) -> dict[MediaKind, Usage]:
        found = {
            MediaKind(kind): Usage(int(count), int(size))
            for kind, count, size in await self._connection.execute(outputs)
        }
        count, size = (await self._connection.execute(cuts)).one()
        if count:
            found[MediaKind.VIDEO] = found.get(MediaKind.VIDEO, Usage()) + Usage(int(count), int(size))
        return found


def _size(columns: Any) -> tuple[ColumnElement[int], ColumnElement[int]]:
    return func.count(), func.coalesce(func.sum(columns.size_bytes), 0)


def _over(before: datetime) -> ColumnElement[bool]:
    """Jobs that ended before then."""
    return and_(t.jobs.c.finished_at < before, t.jobs.c.status.in_(_OVER))


def _later(columns: Any, at: datetime, id_: str) -> ColumnElement[bool]:
    """What comes after a place in the order of the ends."""
    later: ColumnElement[bool] = tuple_(columns.finished_at, columns.id) > (at, id_)
    return later


def _old_generations(*what: Any, before: datetime, join: ColumnElement[bool] | None = None) -> Select[Any]:
    """Of generations (joined with their stored media) that ended before then, and nobody needs."""
    columns = t.generations.c
    tables = t.generations.outerjoin(t.jobs, t.jobs.c.id == columns.job_id)
    if join is not None:
        tables = tables.join(t.media, and_(join, _MEDIA_KEPT))
    states = tuple(state.value for state in OPEN)
    runs = select(t.attempts.c.id).where(
        t.attempts.c.generation_id == columns.id, t.attempts.c.state.in_(states)
    )
    return (
        select(*what)
        .select_from(tables)
        .where(
            columns.deleted_at.is_(None),
            columns.finished_at.is_not(None),
            columns.finished_at < before,
            or_(columns.job_id == "", _over(before)),
            ~runs.exists(),
        )
    )


def _pages(token: str) -> tuple[Select[Any], Select[Any]]:
    """The outputs and the cuts from a place on, newest first."""
    of_outputs: ColumnElement[bool] = true()
    of_cuts: ColumnElement[bool] = true()
    media, cuts = t.media.c, t.cuts.c
    if token:
        at, id_, version = decode(token, str, str, int)
        moment = datetime.fromisoformat(at)
        of_outputs = tuple_(media.created_at, media.id) < (moment, id_)
        of_cuts = tuple_(cuts.created_at, cuts.job_id, cuts.version) < (moment, id_, version)
    outputs = (
        select(t.media, t.generations.c.job_id)
        .join(t.generations, t.generations.c.id == media.generation_id)
        .where(_MEDIA_KEPT, of_outputs)
        .order_by(media.created_at.desc(), media.id.desc())
    )
    made = (
        select(t.cuts)
        .where(_CUTS_KEPT, of_cuts)
        .order_by(cuts.created_at.desc(), cuts.job_id.desc(), cuts.version.desc())
    )
    return outputs, made


def _place(file: File) -> tuple[datetime, str, int]:
    return file.created_at, file.media_id or file.job_id, file.version


def _output(row: Row[Any]) -> File:
    return File(
        kind=MediaKind(row.kind),
        size_bytes=row.size_bytes,
        sha256=load(Facts, row.facts).sha256,
        created_at=row.created_at,
        media_id=row.id,
        generation_id=row.generation_id,
        job_id=row.job_id,
    )


def _cut(row: Row[Any]) -> File:
    return File(
        kind=MediaKind.VIDEO,
        size_bytes=row.size_bytes,
        sha256=load(Facts, row.facts).sha256,
        created_at=row.created_at,
        job_id=row.job_id,
        version=row.version,
    )
