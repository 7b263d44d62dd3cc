"""Requests stalled work again, with the next round: events get lost, and processes die.

Every replica looks for stalled work by itself, and all find the same. So each record is looked at once more
under its lock: the first replica requests it again, and for the others it has not stalled any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from catalog.core.generations.apply import lock_generation, save_generation, save_job
from catalog.core.generations.domain.recovery import PUT_OFF, requeue_download
from catalog.core.generations.domain.requesting import postpone_request, request_again
from catalog.core.jobs.domain.decide import repeat_planning, request_stitch_again
from catalog.core.jobs.domain.model import JobStatus
from catalog.core.jobs.planning import Planning
from catalog.core.unit_of_work import Database
from catalog.core.watchdog.failed_records import FailedRecord, FailedRecords
from servicekit.clock import Clock
from servicekit.telemetry import traces

BATCH_SIZE = 200
"""Records of one kind in one round: the rest comes with the next, a few seconds later."""


@dataclass(frozen=True)
class ReconcileReport:
    """How many records were requested again, by what they are; and those that could not be."""

    generations: int = 0
    jobs: int = 0
    drafts: int = 0
    downloads: int = 0
    failed: tuple[FailedRecord, ...] = ()

    @property
    def any(self) -> bool:
        return bool(self.generations or self.jobs or self.drafts or self.downloads)


class Reconciler:
    """Looks for work of which no event came for too long, by the times that recovery.py gives it.

    What is requested again goes on in the trace in which it was requested first.
    """

    def __init__(self, database: Database, planning: Planning, clock: Clock) -> None:
        self._database = database
        self._planning = planning
        self._clock = clock
        self._failed_requeues = FailedRecords(clock, put_off=PUT_OFF)
        self._failed = FailedRecords(clock, put_off=timedelta(seconds=60))

    async def run_once(self) -> ReconcileReport:
        """One round: first what expires. A record that raises an error is left alone for a while."""
        now = self._clock.now()
        async with self._database.read() as unit:
            lost = await unit.generations.to_requeue(now, BATCH_SIZE, without=self._failed_requeues.ids)
            stalled = await unit.generations.stalled(now, BATCH_SIZE, without=self._failed.ids)
            jobs = await unit.jobs.stalled(now, BATCH_SIZE, without=self._failed.ids)
            first_traces = await unit.generations.traceparents([*lost, *stalled], job_ids=jobs)
        again = partial(_again, first_traces)
        downloads = generations = 0
        statuses: list[JobStatus | None] = []
        for generation_id in lost:
            with self._failed_requeues.guard(generation_id), again("outputs", generation_id=generation_id):
                downloads += await self._requeue(generation_id)
        for generation_id in (each for each in stalled if each not in lost):
            with self._failed.guard(generation_id), again("generation", generation_id=generation_id):
                generations += await self._request_again(generation_id)
        for job_id in jobs:
            with self._failed.guard(job_id), again("job", job_id=job_id):
                statuses.append(await self._resume(job_id))
        return ReconcileReport(
            generations,
            statuses.count(JobStatus.STITCHING),
            statuses.count(JobStatus.DRAFT),
            downloads,
            (*self._failed_requeues.take(), *self._failed.take()),
        )

    async def _requeue(self, generation_id: str) -> bool:
        """Request lost outputs again; whether that was still to be done."""
        async with self._database.write() as unit:
            job, generation = await lock_generation(unit, generation_id)
            events = requeue_download(generation, self._clock.now(), automatic=True)
            await save_generation(unit, job, generation, events)
            return bool(events)

    async def _request_again(self, generation_id: str) -> bool:
        """Request a run again; whether that was still to be done."""
        now = self._clock.now()
        async with self._database.write() as unit:
            job, generation = await lock_generation(unit, generation_id, deleted=True)
            if not await unit.generations.stalled(now, only=generation_id):
                return False
            idle = not generation.open_attempts and not generation.winner
            if job is not None and job.block_reason and idle:
                await save_generation(unit, job, generation, postpone_request(generation, now))
                return False
            events = request_again(generation, now, stalled=True)
            await save_generation(unit, job, generation, events)
            return bool(events)

    async def _resume(self, job_id: str) -> JobStatus | None:
        """Have a job stitched or planned again; answers what it waited for, None when it waits no longer."""
        now = self._clock.now()
        async with self._database.write() as unit:
            job = await unit.jobs.get(job_id, lock=True)
            if not await unit.jobs.stalled(now, only=job_id):
                return None
            if job.status is JobStatus.STITCHING:
                await save_job(unit, job, request_stitch_again(job, now))
            elif job.status is JobStatus.DRAFT:
                await save_job(unit, job, repeat_planning(job, now))
        if job.status is JobStatus.DRAFT:
            self._planning.begin_again(job_id)
        return job.status


def _again(first_traces: Mapping[str, str], what: str, **record: str) -> AbstractContextManager[object]:
    """A span around one request, in the trace of the first one."""
    (record_id,) = record.values()
    parent = traces.extract({"traceparent": first_traces.get(record_id, "")})
    return traces.span(f"request {what} again", parent=parent, attributes=record)
