"""The reconciler: what has been stalled too long is asked for again, with the next round."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from catalog.core.generations.apply import carry_job, lock_generation, save_generation
from catalog.core.generations.domain.requesting import request_again
from catalog.core.generations.service import GenerationService
from catalog.core.jobs.domain import commands as jc
from catalog.core.jobs.domain.model import JobStatus
from catalog.core.jobs.planning_retries import PlanningRetries
from catalog.core.shared.ports import Database
from servicekit.clock import Clock

AT_ONCE = 200
"""Records looked at in one round: the rest comes with the next, a few seconds later."""


T = TypeVar("T")


@dataclass(frozen=True)
class FailedRecord:
    """A record that could not be asked for again, and what was in the way."""

    id: str
    error: Exception


@dataclass(frozen=True)
class ReconcileReport:
    """How many were asked for again, by what they are; and those that could not be."""

    generations: int = 0
    jobs: int = 0
    drafts: int = 0
    downloads: int = 0
    failed: tuple[FailedRecord, ...] = ()

    @property
    def any(self) -> bool:
        """Whether there was anything."""
        return bool(self.generations or self.jobs or self.drafts or self.downloads)


class Reconciler:
    """Looks for silence. Messages get lost, and processes die; the tables know what should go on."""

    def __init__(
        self, database: Database, generating: GenerationService, drafts: PlanningRetries, clock: Clock
    ) -> None:
        self._database = database
        self._generating = generating
        self._drafts = drafts
        self._clock = clock

    async def run_once(self) -> ReconcileReport:
        """One round: first what expires. A record that cannot be asked for again is put off for a while."""
        now = self._clock.now()
        async with self._database.read() as unit:
            generations = await unit.generations.stalled(now, AT_ONCE)
            lost = await unit.generations.lost_again(now, AT_ONCE)
            jobs = await unit.jobs.stalled(now, AT_ONCE)
        failed: list[FailedRecord] = []
        fetched = await _each(lost, self._fetch_again, self._fetch_later, failed)
        asked = await _each(generations, self._ask_again, self._ask_later, failed)
        statuses = await _each(jobs, self._look_at, self._look_later, failed)
        return ReconcileReport(
            sum(asked),
            statuses.count(JobStatus.STITCHING),
            statuses.count(JobStatus.DRAFT),
            len(fetched),
            tuple(failed),
        )

    async def _ask_again(self, generation_id: str) -> int:
        now = self._clock.now()
        async with self._database.write() as unit:
            job, generation = await lock_generation(unit, generation_id, deleted=True)
            waits = job is not None and job.block_reason and not generation.open_attempts
            if waits and not generation.winner:
                await unit.generations.postpone(generation_id)
                return 0
            events = request_again(generation, now, stalled=True)
            await save_generation(unit, job, generation, events)
            return len(events)

    async def _ask_later(self, generation_id: str) -> None:
        async with self._database.write() as unit:
            await unit.generations.postpone(generation_id)

    async def _fetch_again(self, generation_id: str) -> None:
        await self._generating.requeue(generation_id, automatic=True)

    async def _fetch_later(self, generation_id: str) -> None:
        async with self._database.write() as unit:
            await unit.generations.postpone_requeue(generation_id)

    async def _look_at(self, job_id: str) -> JobStatus:
        now = self._clock.now()
        async with self._database.write() as unit:
            job = await unit.jobs.get(job_id, lock=True)
            if job.status is JobStatus.STITCHING:
                await carry_job(unit, job, jc.RequestStitchAgain(now))
            elif job.status is JobStatus.DRAFT:
                await carry_job(unit, job, jc.PlanAgain(now))
        if job.status is JobStatus.DRAFT:
            self._drafts.begin(job_id)
        return job.status

    async def _look_later(self, job_id: str) -> None:
        async with self._database.write() as unit:
            await unit.jobs.postpone(job_id)


async def _each(
    ids: Sequence[str],
    work: Callable[[str], Awaitable[T]],
    later: Callable[[str], Awaitable[None]],
    failed: list[FailedRecord],
) -> list[T]:
    """Do it for every record; one that raises is put off, with what it raised told, and the others go on."""
    done: list[T] = []
    for record_id in ids:
        try:
            done.append(await work(record_id))
        except Exception as error:  # noqa: BLE001  # whatever it is, the records behind it are not to wait; it is told
            failed.append(FailedRecord(record_id, error))
            await later(record_id)  # else it would come first again, and enough of them would fill each round
    return done
