"""Carrying commands out inside a unit: decide, save, and what follows from a generation for its job and back.

Locks are taken in one order everywhere: the job, its generations, the accounts. So no two units wait for
each other.
"""

from __future__ import annotations

from collections.abc import Sequence

from catalog.core.generations.domain import events as ge
from catalog.core.generations.domain.commands import CancelGeneration, GenerationCommand
from catalog.core.generations.domain.decide import decide
from catalog.core.generations.domain.model import Generation, Stage
from catalog.core.jobs.domain import commands as jc
from catalog.core.jobs.domain import events as je
from catalog.core.jobs.domain.decide import decide as decide_job
from catalog.core.jobs.domain.model import Job
from catalog.core.shared.domain import Error
from catalog.core.shared.ports import UnitOfWork


async def locked(
    unit: UnitOfWork, generation_id: str, *, deleted: bool = False
) -> tuple[Job | None, Generation]:
    """A generation (a deleted one only if asked for) and its job, if it has one, both locked; NotFound."""
    job_id = await unit.generations.job_of(generation_id)
    job = await unit.jobs.get(job_id, lock=True) if job_id else None
    return job, await unit.generations.get(generation_id, lock=True, deleted=deleted)


async def carry_out(
    unit: UnitOfWork, job: Job | None, generation: Generation, command: GenerationCommand
) -> tuple[Generation, Sequence[ge.GenerationEvent]]:
    """Do a command to a (locked) generation, and what follows from it to its (locked) job."""
    events = decide(generation, command)
    after = await unit.generations.save(generation, events)
    if job is not None and job.final and _waits(after):  # came back from the provider to a job that is over
        stopped = decide(after, CancelGeneration(command.at))
        return await unit.generations.save(after, stopped), (*events, *stopped)
    if job is not None and (told := consequence(after, events)) is not None:
        await carry_job(unit, job, told)
    return after, events


async def carry_job(unit: UnitOfWork, job: Job, command: jc.JobCommand) -> Job:
    """Do a command to a (locked) job; when it ends, its generations are stopped as far as that is right."""
    events = decide_job(job, command)
    after = await unit.jobs.save(job, events)
    for event in events:
        if isinstance(event, je.JobCanceled | je.JobFailed):
            for generation in await unit.generations.of_job(job.id, lock=True):
                if isinstance(event, je.JobCanceled) or _waits(generation):
                    stopped = decide(generation, CancelGeneration(command.at))
                    await unit.generations.save(generation, stopped)
    return after


def consequence(after: Generation, events: Sequence[ge.GenerationEvent]) -> jc.JobCommand | None:
    """What the events of a generation mean for its job."""
    for event in events:
        match event:
            case ge.GenerationCompleted():
                first = after.stored[0]
                return jc.RecordRunStored(event.at, after.id, first.media_id, first.blob_key)
            case ge.OutputDeleted():
                return jc.RecordRunDeleted(event.at, after.id, event.blob_key)
            case ge.GenerationFailed() if event.requeue_at is None or not event.error.retryable:
                return jc.RecordRunEnded(event.at, after.id, event.error)
            case ge.GenerationCanceled():
                return jc.RecordRunEnded(event.at, after.id, Error("canceled", "was stopped by request"))
    return None


def _waits(generation: Generation) -> bool:
    """Whether nothing is paid for it yet: when its job has failed, nothing shall be."""
    return generation.stage is Stage.REQUESTED and not generation.open_attempts
