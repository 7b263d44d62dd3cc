"""Plans drafts again whose planning has stalled, a few at a time, while nobody waits for them."""

from __future__ import annotations

import asyncio
import contextlib

from catalog.core.jobs.planning import Planning
from servicekit.concurrency import end
from servicekit.errors import AppError

CONCURRENCY = 8
"""Drafts planned again at the same time; each makes room when it is planned, or planning's patience ends."""


class PlanningRetries:
    """A `Part`: stop ends the tasks, and the reconciler finds their drafts after the next start."""

    def __init__(self, planning: Planning) -> None:
        self._planning = planning
        self._slots = asyncio.Semaphore(CONCURRENCY)
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Nothing to do: the reconciler begins tasks."""

    async def stop(self) -> None:
        tasks = list(self._tasks.values())
        await end(*tasks)

    def begin(self, job_id: str) -> None:
        """Have it planned, unless that is under way; returns at once."""
        if job_id in self._tasks or self._planning.is_planning(job_id):
            return
        task = asyncio.create_task(self._begin(job_id), name=f"plan {job_id} again")
        self._tasks[job_id] = task
        task.add_done_callback(lambda _done: self._tasks.pop(job_id, None))

    async def _begin(self, job_id: str) -> None:
        async with self._slots:
            with contextlib.suppress(AppError):  # the job has failed for that reason, and its record has it
                await self._planning.begin(job_id)
