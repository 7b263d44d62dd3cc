"""Applies the events of generator, downloader and stitcher, each once: the same transaction remembers it."""

from __future__ import annotations

from catalog.core.generations.apply import lock_generation, save_generation, save_job
from catalog.core.generations.domain.postings import Overrun, overrun
from catalog.core.generations.domain.requesting import Decision
from catalog.core.jobs.domain import decide
from catalog.core.shared.domain import Error, Facts
from catalog.core.unit_of_work import Database
from servicekit.clock import Clock


class Inbox:
    """The use cases behind the consumers. An event that comes late, twice or out of order changes nothing."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def apply(
        self, consumer: str, event_id: str, generation_id: str, decision: Decision
    ) -> Overrun | None:
        """Apply an event about a generation: `decision` says what it means.

        Answers the attempt that has cost more than its reserve, if the event ended one.
        """
        async with self._database.write() as unit:
            if not await unit.first_time(consumer, event_id):
                return None
            job, generation = await lock_generation(unit, generation_id, deleted=True)
            events = decision(generation, self._clock.now())
            await save_generation(unit, job, generation, events)
        return overrun(generation, events)

    async def report_progress(self, generation_id: str, decision: Decision) -> None:
        """Save progress. It comes every second, and may be saved twice: no inbox row, no lock on the job."""
        async with self._database.write() as unit:
            generation = await unit.generations.get(generation_id, lock=True, deleted=True)
            await unit.generations.save(generation, decision(generation, self._clock.now()))

    async def report_stitch_progress(self, job_id: str, version: int, percent: float, message: str) -> None:
        async with self._database.write() as unit:
            job = await unit.jobs.get(job_id, lock=True)
            progress = decide.record_stitch_progress(
                job, self._clock.now(), version=version, percent=percent, message=message
            )
            await unit.jobs.save(job, progress)

    async def record_cut(
        self, consumer: str, event_id: str, job_id: str, version: int, keys: tuple[str, str], facts: Facts
    ) -> None:
        """A cut is stored; `keys`: its own and its thumbnail's."""
        async with self._database.write() as unit:
            if await unit.first_time(consumer, event_id):
                job = await unit.jobs.get(job_id, lock=True)
                events = decide.record_cut(
                    job,
                    self._clock.now(),
                    version=version,
                    cut_key=keys[0],
                    thumbnail_key=keys[1],
                    facts=facts,
                    cost_micros=sum(each.cost_micros for each in await unit.generations.of_jobs(job_id)),
                )
                await save_job(unit, job, events)

    async def record_stitch_failed(
        self, consumer: str, event_id: str, job_id: str, version: int, error: Error
    ) -> None:
        async with self._database.write() as unit:
            if await unit.first_time(consumer, event_id):
                job = await unit.jobs.get(job_id, lock=True)
                events = decide.record_stitch_failed(job, self._clock.now(), version=version, error=error)
                await save_job(unit, job, events)
