"""`StoredFiles` over the tables: added up by the database from indexes, listed by key."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, case, func, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from catalog.adapters.db import tables as t
from catalog.adapters.db.keyset_pagination import decode, encode
from catalog.core.generations.domain.model import OPEN, OutputState
from catalog.core.jobs.domain.model import FINAL
from catalog.core.shared.domain import MediaKind
from catalog.core.shared.paging import DEFAULT_PAGE_SIZE, Page, PageRequest
from catalog.core.storage.domain.files import (
    CleanUpCandidate,
    CleanUpTotals,
    DownloadCounts,
    StoredFile,
    Usage,
    UsageByKind,
    add_usage,
)

_MEDIA_PRESENT = t.media.c.deleted_at.is_(None)
_CUT_PRESENT = t.cuts.c.deleted_at.is_(None)
_FINAL_JOB_STATUSES = tuple(FINAL)


class SqlStoredFiles:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def usage(self) -> UsageByKind:
        outputs = select(t.media.c.kind, *_usage(t.media.c)).where(_MEDIA_PRESENT).group_by(t.media.c.kind)
        return await self._by_kind(outputs, select(*_usage(t.cuts.c)).where(_CUT_PRESENT))

    async def download_counts(self, at: datetime) -> DownloadCounts:
        stored = select(func.count()).select_from(t.media).where(_MEDIA_PRESENT)
        expired = func.count(case((t.outputs.c.expires_at <= at, 1)))
        given_up = select(func.count(), expired).where(t.outputs.c.state == OutputState.LOST.value)
        columns = t.generations.c
        requeues = select(func.coalesce(func.sum(columns.requeues), 0))
        requeues = requeues.where(columns.deleted_at.is_(None), columns.requeues > 0)
        failed, lost = (await self._connection.execute(given_up)).one()
        return DownloadCounts(
            completed=int((await self._connection.execute(stored)).scalar_one()),
            failed=int(failed),
            retried=int((await self._connection.execute(requeues)).scalar_one()),
            lost=int(lost),
        )

    async def page(self, paging: PageRequest) -> Page[StoredFile]:
        """A page of each table, and of both together the newest."""
        size = paging.size or DEFAULT_PAGE_SIZE
        outputs, cuts = _newest(paging.token)
        found = [_file_of_output(row) for row in await self._connection.execute(outputs.limit(size + 1))]
        found += [_file_of_cut(row) for row in await self._connection.execute(cuts.limit(size + 1))]
        found.sort(key=_sort_key, reverse=True)
        items = tuple(found[:size])
        if len(found) <= size:
            return Page(items)
        return Page(items, encode(*_sort_key(items[-1])))

    async def ended_generations(
        self, before: datetime, after: CleanUpCandidate | None, limit: int
    ) -> Sequence[CleanUpCandidate]:
        columns = t.generations.c
        query = _ended_generations(columns.finished_at, columns.job_id, columns.id, before=before)
        return await self._candidates(query, columns, after, limit)

    async def ended_jobs_with_cuts(
        self, before: datetime, after: CleanUpCandidate | None, limit: int
    ) -> Sequence[CleanUpCandidate]:
        columns = t.jobs.c
        has_cuts = select(t.cuts.c.version).where(t.cuts.c.job_id == columns.id, _CUT_PRESENT).exists()
        query = select(columns.finished_at, columns.id).where(_job_ended(before), has_cuts)
        return await self._candidates(query, columns, after, limit)

    async def _candidates(
        self, query: Select[Any], columns: Any, after: CleanUpCandidate | None, limit: int
    ) -> Sequence[CleanUpCandidate]:
        """The first to end, behind the one that a batch before ended with."""
        key = (columns.finished_at, columns.id)
        if after is not None:
            query = query.where(tuple_(*key) > (after.ended_at, after.generation_id or after.job_id))
        rows = await self._connection.execute(query.order_by(*key).limit(limit))
        return [CleanUpCandidate(*row) for row in rows]

    async def clean_up_totals(self, before: datetime) -> CleanUpTotals:
        count = (await self._connection.execute(_ended_generations(func.count(), before=before))).scalar_one()
        joined = t.media.c.generation_id == t.generations.c.id
        outputs = _ended_generations(t.media.c.kind, *_usage(t.media.c), before=before, join=joined)
        cuts = select(*_usage(t.cuts.c)).join(t.jobs, t.jobs.c.id == t.cuts.c.job_id)
        by_kind = await self._by_kind(
            outputs.group_by(t.media.c.kind), cuts.where(_CUT_PRESENT, _job_ended(before))
        )
        return CleanUpTotals(int(count), by_kind)

    async def _by_kind(
        self, outputs: Select[*tuple[Any, ...]], cuts: Select[*tuple[Any, ...]]
    ) -> UsageByKind:
        usage = {
            MediaKind(kind): Usage(int(count), int(size))
            for kind, count, size in await self._connection.execute(outputs)
        }
        count, size = (await self._connection.execute(cuts)).one()
        return add_usage(usage, {MediaKind.VIDEO: Usage(int(count), int(size))} if count else {})


def _usage(columns: Any) -> tuple[ColumnElement[int], ColumnElement[int]]:
    return func.count(), func.coalesce(func.sum(columns.size_bytes), 0)


def _job_ended(before: datetime) -> ColumnElement[bool]:
    return and_(t.jobs.c.finished_at < before, t.jobs.c.status.in_(_FINAL_JOB_STATUSES))


def _ended_generations(
    *columns: Any, before: datetime, join: ColumnElement[bool] | None = None
) -> Select[Any]:
    """Of generations (joined with their stored media) that ended before then and that no job needs."""
    generations = t.generations.c
    tables = t.generations.outerjoin(t.jobs, t.jobs.c.id == generations.job_id)
    if join is not None:
        tables = tables.join(t.media, and_(join, _MEDIA_PRESENT))
    open_attempts = select(t.attempts.c.id).where(
        t.attempts.c.generation_id == generations.id, t.attempts.c.state.in_(tuple(OPEN))
    )
    return (
        select(*columns)
        .select_from(tables)
        .where(
            generations.deleted_at.is_(None),
            generations.finished_at.is_not(None),
            generations.finished_at < before,
            or_(generations.job_id == "", _job_ended(before)),
            ~open_attempts.exists(),
        )
    )


def _newest(token: str) -> tuple[Select[Any], Select[Any]]:
    """The outputs and the cuts, newest first, from the end of the page before on."""
    of_outputs = (t.media.c.created_at, t.media.c.id)
    of_cuts = (t.cuts.c.created_at, t.cuts.c.job_id, t.cuts.c.version)
    outputs = (
        select(t.media, t.generations.c.job_id)
        .join(t.generations, t.generations.c.id == t.media.c.generation_id)
        .where(_MEDIA_PRESENT)
        .order_by(*(column.desc() for column in of_outputs))
    )
    cuts = select(t.cuts).where(_CUT_PRESENT).order_by(*(column.desc() for column in of_cuts))
    if not token:
        return outputs, cuts
    at, record_id, version = decode(token, datetime, str, int)
    return (
        outputs.where(tuple_(*of_outputs) < (at, record_id)),
        cuts.where(tuple_(*of_cuts) < (at, record_id, version)),
    )


def _sort_key(file: StoredFile) -> tuple[datetime, str, int]:
    return file.created_at, file.media_id or file.job_id, file.version


def _file_of_output(row: Row[Any]) -> StoredFile:
    owner = {"media_id": row.id, "generation_id": row.generation_id, "job_id": row.job_id}
    return _file(row, MediaKind(row.kind), **owner)


def _file_of_cut(row: Row[Any]) -> StoredFile:
    return _file(row, MediaKind.VIDEO, job_id=row.job_id, version=row.version)


def _file(row: Row[Any], kind: MediaKind, **owner: Any) -> StoredFile:
    return StoredFile(kind, row.size_bytes, row.facts.get("sha256", ""), row.created_at, **owner)
