"""Jobs in their tables: read, and stored as the fold of their events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from catalog.adapters.db import tables as t
from catalog.adapters.db.json_columns import dump, load, load_optional
from catalog.adapters.db.keyset_pagination import page_of
from catalog.adapters.db.outbox_messages import Outbox
from catalog.adapters.generations.legacy_run_json import make_run
from catalog.adapters.jobs.timeline import SqlTimeline
from catalog.core.generations.domain.recovery import stalled_at
from catalog.core.jobs.domain import events as ev
from catalog.core.jobs.domain.evolve import fold
from catalog.core.jobs.domain.model import Cut, Edit, Job, JobRequest, JobStatus, Scene, TimelineEntry
from catalog.core.shared.domain import Error, Facts
from catalog.core.shared.paging import Page, PageRequest
from servicekit.clock import Clock
from servicekit.errors import NotFound

_HEARD = frozenset({JobStatus.DRAFT, JobStatus.STITCHING})
"""Where something is to be heard of the job itself, and not of its generations or of people."""


class SqlJobs:
    """`Jobs`."""

    def __init__(
        self,
        connection: AsyncConnection,
        clock: Clock,
        outbox: Outbox,
        timeline: SqlTimeline,
        stalled_after: timedelta,
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._outbox = outbox
        self._timeline = timeline
        self._stalled_after = stalled_after

    async def get(self, job_id: str, *, lock: bool = False) -> Job:
        """One, locked for the rest of the unit when asked; NotFound."""
        query = select(t.jobs).where(t.jobs.c.id == job_id)
        found = (await self._connection.execute(query.with_for_update() if lock else query)).all()
        if not found:
            raise NotFound(f"there is no job {job_id}")
        return (await self._whole(found))[0]

    async def save(self, before: Job | None, events: Sequence[ev.JobEvent]) -> Job:
        """Apply events: rows, outbox, timeline."""
        after = fold(before, events)
        if after is None:
            raise ValueError("a job begins with an event")
        if not events:
            return after
        columns = _columns(after, self._stalled_after)
        if before is None:
            await self._connection.execute(insert(t.jobs).values(columns))
        else:
            await self._connection.execute(update(t.jobs).where(t.jobs.c.id == after.id).values(columns))
        await self._write_parts(before, after)
        await self._outbox.add_job_events(after, events)
        await self._timeline.add_job_events(after, events)
        return after

    async def note(self, job_id: str, version: int, percent: float, message: str) -> None:
        """Set how far its cut is, cheaply, while it is being stitched."""
        now = self._clock.now()
        stitching = update(t.jobs).where(
            t.jobs.c.id == job_id,
            t.jobs.c.version == version,
            t.jobs.c.status == JobStatus.STITCHING.value,
        )
        await self._connection.execute(
            stitching.where(t.jobs.c.percent <= percent).values(percent=percent, message=message[:300])
        )
        await self._connection.execute(
            stitching.values(
                updated_at=now, last_event_at=now, stalled_rounds=0, stalled_at=now + self._stalled_after
            )
        )

    async def count(self, campaign_id: str) -> int:
        """How many a campaign has."""
        query = select(func.count()).select_from(t.jobs).where(t.jobs.c.campaign_id == campaign_id)
        return int((await self._connection.execute(query)).scalar_one())

    async def page(
        self, paging: PageRequest, *, campaign_id: str = "", status: JobStatus | None = None
    ) -> Page[Job]:
        """Newest first."""
        query = select(t.jobs)
        if campaign_id:
            query = query.where(t.jobs.c.campaign_id == campaign_id)
        if status is not None:
            query = query.where(t.jobs.c.status == status.value)
        page = await page_of(self._connection, query, t.jobs, paging, lambda row: row)
        return Page(tuple(await self._whole(page.items)), page.next_token)

    async def timeline(self, job_id: str) -> Sequence[TimelineEntry]:
        """What has happened, oldest first."""
        return await self._timeline.read(job_id)

    async def stalled(self, at: datetime, limit: int, *, without: Collection[str] = ()) -> Sequence[str]:
        due = select(t.jobs.c.id).where(t.jobs.c.stalled_at <= at, t.jobs.c.id.not_in(without))
        ordered = due.order_by(t.jobs.c.stalled_at).limit(limit)
        return list((await self._connection.execute(ordered)).scalars())

    async def _write_parts(self, before: Job | None, after: Job) -> None:
        known = {scene.id: scene for scene in before.scenes} if before else {}
        for scene in after.scenes:
            values = _scene_columns(after.id, scene)
            if scene.id not in known:
                await self._connection.execute(insert(t.scenes).values(values))
            elif scene != known[scene.id]:
                await self._connection.execute(
                    update(t.scenes).where(t.scenes.c.id == scene.id).values(values)
                )
        there = before.cuts if before else ()
        for old, cut in zip(there, after.cuts, strict=False):
            if cut != old:
                mine = (t.cuts.c.job_id == after.id, t.cuts.c.version == cut.version)
                gone = update(t.cuts).where(*mine).values(deleted_at=cut.deleted_at)
                await self._connection.execute(gone)
        for cut in after.cuts[len(there) :]:
            await self._connection.execute(
                insert(t.cuts).values(
                    job_id=after.id,
                    version=cut.version,
                    cut_key=cut.cut_key,
                    thumbnail_key=cut.thumbnail_key,
                    facts=dump(cut.facts),
                    size_bytes=cut.facts.size_bytes,
                    created_at=cut.created_at,
                )
            )

    async def _whole(self, found: Sequence[Row[Any]]) -> list[Job]:
        ids = [row.id for row in found]
        scenes: dict[str, list[Scene]] = defaultdict(list)
        cuts: dict[str, list[Cut]] = defaultdict(list)
        if ids:
            planned = select(t.scenes).where(t.scenes.c.job_id.in_(ids)).order_by(t.scenes.c.position)
            for row in await self._connection.execute(planned):
                scenes[row.job_id].append(_scene(row))
            made = select(t.cuts).where(t.cuts.c.job_id.in_(ids)).order_by(t.cuts.c.version)
            for row in await self._connection.execute(made):
                facts = load(Facts, row.facts)
                cuts[row.job_id].append(
                    Cut(row.version, row.cut_key, row.thumbnail_key, facts, row.created_at, row.deleted_at)
                )
        return [_job(row, scenes[row.id], cuts[row.id]) for row in found]


def _columns(job: Job, stalled_after: timedelta) -> dict[str, Any]:
    waits = job.status in _HEARD
    stalled = stalled_at(job.last_event_at, job.stalled_rounds, stalled_after) if waits else None
    return {
        "id": job.id,
        "campaign_id": job.campaign_id,
        "status": job.status.value,
        "paused": job.paused,
        "request": dump(job.request),
        "edit": dump(job.edit),
        "planner": job.planner,
        "version": job.version,
        "stitch_round": job.stitch_round,
        "stitch_errors": job.stitch_errors,
        "percent": job.percent,
        "message": job.message,
        "error": dump(job.error),
        "created_at": job.created_at,
        "updated_at": job.updated_at,
        "finished_at": job.finished_at,
        "last_event_at": job.last_event_at,
        "stalled_rounds": job.stalled_rounds,
        "stalled_at": stalled,
    }


def _scene_columns(job_id: str, scene: Scene) -> dict[str, Any]:
    return {
        "id": scene.id,
        "job_id": job_id,
        "position": scene.position,
        "prompt": scene.prompt,
        "seconds": scene.seconds,
        "first_asset_id": scene.first_asset_id,
        "last_asset_id": scene.last_asset_id,
        "reason": scene.reason,
        "run": dump(scene.run),
        "generation_id": scene.generation_id,
        "media_id": scene.media_id,
        "blob_key": scene.blob_key,
        "error": dump(scene.error),
    }


def _scene(row: Row[Any]) -> Scene:
    return Scene(
        id=row.id,
        position=row.position,
        prompt=row.prompt,
        seconds=row.seconds,
        first_asset_id=row.first_asset_id,
        last_asset_id=row.last_asset_id,
        reason=row.reason,
        run=make_run(row.run),
        generation_id=row.generation_id,
        media_id=row.media_id,
        blob_key=row.blob_key,
        error=load_optional(Error, row.error),
    )


def _job(row: Row[Any], scenes: Sequence[Scene], cuts: Sequence[Cut]) -> Job:
    return Job(
        id=row.id,
        campaign_id=row.campaign_id,
        request=load(JobRequest, row.request),
        edit=load(Edit, row.edit),
        created_at=row.created_at,
        updated_at=row.updated_at,
        last_event_at=row.last_event_at,
        status=JobStatus(row.status),
        paused=row.paused,
        planner=row.planner,
        scenes=tuple(scenes),
        cuts=tuple(cuts),
        version=row.version,
        stitch_round=row.stitch_round,
        stitch_errors=row.stitch_errors,
        percent=row.percent,
        message=row.message,
        error=load_optional(Error, row.error),
        stalled_rounds=row.stalled_rounds,
        finished_at=row.finished_at,
    )
