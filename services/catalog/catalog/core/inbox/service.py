"""Inbox facts: what generator, downloader and stitcher say, applied once, in the unit that remembers it."""

from __future__ import annotations

from collections.abc import Callable

from catalog.core.budget.domain import Overrun, overrun
from catalog.core.generations.apply import carry_job, carry_out, locked
from catalog.core.generations.domain.commands import GenerationCommand
from catalog.core.generations.domain.model import Stage
from catalog.core.jobs.domain import commands as jc
from catalog.core.shared.domain import Error, Facts
from catalog.core.shared.ports import Database
from servicekit.clock import Clock

RUNNING = (Stage.SUBMITTING.value, Stage.RUNNING.value)
FETCHING = (Stage.FETCHING.value,)


class Inbox:
    """The use cases of the event log."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def of_generation(
        self, consumer: str, event_id: str, generation_id: str, command: GenerationCommand
    ) -> Overrun | None:
        """A fact about a generation. Late, doubled or out of order it changes nothing.

        Answers the attempt that has cost more than was set aside for it, if the fact ended one.
        """
        async with self._database.write() as unit:
            if not await unit.first_time(consumer, event_id):
                return None
            job, generation = await locked(unit, generation_id, deleted=True)
            _, events = await carry_out(unit, job, generation, command)
        return overrun(generation, events)

    async def running(self, generation_id: str, percent: float, message: str) -> None:
        """How far the provider is: no row is kept of it."""
        async with self._database.write() as unit:
            await unit.generations.note(generation_id, percent, message, RUNNING)

    async def fetching(self, generation_id: str, percent: float, message: str) -> None:
        """How far the downloader is."""
        async with self._database.write() as unit:
            await unit.generations.note(generation_id, percent, message, FETCHING)

    async def stitching(self, job_id: str, version: int, percent: float, message: str) -> None:
        """How far the stitcher is."""
        async with self._database.write() as unit:
            await unit.jobs.note(job_id, version, percent, message)

    async def cut_stored(
        self, consumer: str, event_id: str, job_id: str, version: int, keys: tuple[str, str], facts: Facts
    ) -> None:
        """A cut is here; `keys`: its own and its poster's."""

        def made(cost: int) -> jc.JobCommand:
            return jc.RecordCut(self._clock.now(), version, keys[0], keys[1], facts, cost)

        await self._of_job(consumer, event_id, job_id, made)

    async def cut_failed(self, consumer: str, event_id: str, job_id: str, version: int, error: Error) -> None:
        """A cut was given up."""
        command = jc.RecordStitchFailed(self._clock.now(), version, error)
        await self._of_job(consumer, event_id, job_id, lambda _cost: command)

    async def _of_job(
        self, consumer: str, event_id: str, job_id: str, make: Callable[[int], jc.JobCommand]
    ) -> None:
        async with self._database.write() as unit:
            if await unit.first_time(consumer, event_id):
                job = await unit.jobs.get(job_id, lock=True)
                cost = sum(each.cost_micros for each in await unit.generations.of_job(job_id))
                await carry_job(unit, job, make(cost))
