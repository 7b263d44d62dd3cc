"""Jobs in their tables: read, and stored as the fold of their events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from catalog.adapters.db import tables as t
from catalog.adapters.db.due import due_ids
from catalog.adapters.db.keyset_pagination import page_of
from catalog.adapters.db.outbox_messages import job_messages
from catalog.adapters.db.parts import write_parts
from catalog.adapters.db.rows import changed, from_row, make_run, to_row
from catalog.adapters.journal.repository import SqlJournal
from catalog.adapters.outcomes import Outcomes
from catalog.core.generations.domain.recovery import stalled_at
from catalog.core.jobs.domain import events as ev
from catalog.core.jobs.domain.evolve import fold
from catalog.core.jobs.domain.model import Cut, Job, JobStatus, Scene, TimelineEntry
from catalog.core.journal.domain.entry import Entry, is_progress, job_entry
from catalog.core.journal.domain.timeline import timeline
from catalog.core.shared.paging import Page, PageRequest
from servicekit.errors import Conflict, NotFound

_MAY_STALL = frozenset({JobStatus.DRAFT, JobStatus.STITCHING})
"""Where events of the job itself are due, and not of its generations or from people."""


class SqlJobs:
    def __init__(
        self,
        connection: AsyncConnection,
        journal: SqlJournal,
        outcomes: Outcomes,
        stalled_after: timedelta,
    ) -> None:
        self._connection = connection
        self._journal = journal
        self._outcomes = outcomes
        self._stalled_after = stalled_after

    async def get(self, job_id: str, *, lock: bool = False) -> Job:
        query = select(t.jobs).where(t.jobs.c.id == job_id)
        found = (await self._connection.execute(query.with_for_update() if lock else query)).all()
        if not found:
            raise NotFound(f"there is no job {job_id}")
        return (await self._with_parts(found))[0]

    async def count(self, campaign_id: str) -> int:
        query = select(func.count()).select_from(t.jobs).where(t.jobs.c.campaign_id == campaign_id)
        return int((await self._connection.execute(query)).scalar_one())

    async def page(
        self, paging: PageRequest, *, campaign_id: str = "", status: JobStatus | None = None
    ) -> Page[Job]:
        query = select(t.jobs)
        if campaign_id:
            query = query.where(t.jobs.c.campaign_id == campaign_id)
        if status is not None:
            query = query.where(t.jobs.c.status == status)
        page = await page_of(self._connection, query, (t.jobs.c.id,), paging, lambda row: row)
        return Page(tuple(await self._with_parts(page.items)), page.next_token)

    async def after(self, job_id: str, limit: int) -> Sequence[Job]:
        """The next ones by their ids."""
        query = select(t.jobs).where(t.jobs.c.id > job_id).order_by(t.jobs.c.id).limit(limit)
        return await self._with_parts((await self._connection.execute(query)).all())

    async def timelines(self, *job_ids: str) -> Mapping[str, Sequence[TimelineEntry]]:
        entries: dict[str, list[Entry]] = {job_id: [] for job_id in job_ids}
        for entry in await self._journal.of_jobs(job_ids):
            entries[entry.job_id].append(entry)
        return {job_id: timeline(of_job) for job_id, of_job in entries.items()}

    async def stalled(
        self, at: datetime, limit: int = 1, *, only: str = "", without: Collection[str] = ()
    ) -> Sequence[str]:
        return await due_ids(self._connection, t.jobs.c.stalled_at, at, limit, only=only, without=without)

    async def save(self, before: Job | None, events: Sequence[ev.JobEvent]) -> Job:
        after = fold(before, events)
        if after is None:
            raise ValueError("a job begins with an event")
        if not events:
            return after
        if is_progress(events):
            await self._write(before, after)
            return after
        after = replace(after, revision=after.revision + 1)
        await self._write(before, after)
        old = before or replace(after, scenes=(), cuts=())
        await write_parts(self._connection, t.scenes, scene_row, after.id, old.scenes, after.scenes, key="id")
        await write_parts(self._connection, t.cuts, cut_row, after.id, old.cuts, after.cuts, key="version")
        await self._journal.add(job_entry(before, after, events), job_messages(after, events))
        completed = any(isinstance(event, ev.JobCompleted) for event in events)
        self._outcomes.of_job(events, await self._approved_at(after.id) if completed else None)
        return after

    async def _approved_at(self, job_id: str) -> datetime | None:
        """When the first of its generations was requested: approving it did that."""
        first = select(func.min(t.generations.c.created_at)).where(t.generations.c.job_id == job_id)
        found: datetime | None = (await self._connection.execute(first)).scalar_one()
        return found

    async def _write(self, before: Job | None, after: Job) -> None:
        row = job_row(after, self._stalled_after)
        if before is None:
            await self._connection.execute(insert(t.jobs).values(row))
        elif changes := changed(job_row(before, self._stalled_after), row):
            key = (t.jobs.c.id == after.id, t.jobs.c.revision == before.revision)
            done = await self._connection.execute(update(t.jobs).where(*key).values(changes))
            if done.rowcount == 0:
                raise Conflict(f"somebody else has changed {after.id} since it was read: read it again")

    async def _with_parts(self, found: Sequence[Row[Any]]) -> list[Job]:
        """The jobs of these rows, with their scenes and cuts: two queries for all."""
        ids = [row.id for row in found]
        scenes: dict[str, list[Scene]] = defaultdict(list)
        cuts: dict[str, list[Cut]] = defaultdict(list)
        if ids:
            of_jobs = select(t.scenes).where(t.scenes.c.job_id.in_(ids)).order_by(t.scenes.c.position)
            for row in await self._connection.execute(of_jobs):
                scenes[row.job_id].append(from_row(Scene, row, run=make_run(row.run)))
            of_jobs = select(t.cuts).where(t.cuts.c.job_id.in_(ids)).order_by(t.cuts.c.version)
            for row in await self._connection.execute(of_jobs):
                cuts[row.job_id].append(from_row(Cut, row))
        return [from_row(Job, row, scenes=tuple(scenes[row.id]), cuts=tuple(cuts[row.id])) for row in found]


def job_row(job: Job, stalled_after: timedelta) -> dict[str, Any]:
    due = stalled_at(job.last_event_at, job.stalled_rounds, stalled_after)
    return to_row(t.jobs, job, stalled_at=due if job.status in _MAY_STALL else None)


def scene_row(job_id: str, scene: Scene) -> dict[str, Any]:
    return to_row(t.scenes, scene, job_id=job_id)


def cut_row(job_id: str, cut: Cut) -> dict[str, Any]:
    return to_row(t.cuts, cut, job_id=job_id, size_bytes=cut.facts.size_bytes)
