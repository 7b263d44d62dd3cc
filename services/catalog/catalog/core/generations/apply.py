"""Saves the events of a generation in a unit of work, with what follows from them for its job, and back.

Locks are taken in one order everywhere: the job, its generations, the accounts. So no two units wait for
each other.
"""

from __future__ import annotations

from catalog.core.generations.domain import events as ge
from catalog.core.generations.domain.events import Events
from catalog.core.generations.domain.model import Generation, Stage
from catalog.core.generations.domain.requesting import cancel_generation
from catalog.core.jobs.domain import decide
from catalog.core.jobs.domain import events as je
from catalog.core.jobs.domain.model import Job
from catalog.core.shared.domain import Error
from catalog.core.unit_of_work import UnitOfWork


async def lock_generation(
    unit: UnitOfWork, generation_id: str, *, deleted: bool = False
) -> tuple[Job | None, Generation]:
    """A generation (a deleted one only with `deleted`) and its job, if it has one, both locked; NotFound."""
    job_id = await unit.generations.job_of(generation_id)
    job = await unit.jobs.get(job_id, lock=True) if job_id else None
    return job, await unit.generations.get(generation_id, lock=True, deleted=deleted)


async def save_generation(
    unit: UnitOfWork, job: Job | None, generation: Generation, events: Events
) -> Generation:
    """Save what has happened to a (locked) generation, and what follows for its (locked) job."""
    if not events:
        return generation
    after = await unit.generations.save(generation, events)
    if job is not None and job.final and _is_unpaid(after):  # it came back to a job that is over
        return await unit.generations.save(after, cancel_generation(after, events[-1].at))
    if job is not None:
        await save_job(unit, job, consequence(job, after, events))
    return after


async def save_job(unit: UnitOfWork, job: Job, events: je.Events) -> Job:
    """Save what has happened to a (locked) job; when it ends, its generations are stopped.

    When it has failed, generations that are paid for go on: their outputs are worth keeping.
    """
    after = await unit.jobs.save(job, events)
    for event in events:
        if isinstance(event, je.JobCanceled | je.JobFailed):
            for generation in await unit.generations.of_jobs(job.id, lock=True):
                if isinstance(event, je.JobCanceled) or _is_unpaid(generation):
                    await unit.generations.save(generation, cancel_generation(generation, event.at))
    return after


def consequence(job: Job, after: Generation, events: Events) -> je.Events:
    """What the events of a generation mean for its job, which needs no more of it than its main output."""
    main = after.main if after.stage in (Stage.FETCHING, Stage.COMPLETED) else None
    for event in events:
        match event:
            case ge.OutputStored() | ge.OutputLost() | ge.GenerationCompleted() if main is not None:
                return decide.record_generation_stored(
                    job,
                    event.at,
                    generation_id=after.id,
                    media_id=main.media_id,
                    blob_key=main.blob_key,
                )
            case ge.OutputDeleted():
                return decide.record_output_deleted(
                    job, event.at, generation_id=after.id, blob_key=event.blob_key
                )
            case ge.GenerationFailed():
                return decide.record_generation_ended(
                    job, event.at, generation_id=after.id, error=event.error
                )
            case ge.GenerationCanceled():
                error = Error("canceled", "was stopped by request")
                return decide.record_generation_ended(job, event.at, generation_id=after.id, error=error)
    return ()


def _is_unpaid(generation: Generation) -> bool:
    """Whether nothing is paid for it yet. When its job is over, nothing needs to be."""
    return generation.stage is Stage.REQUESTED and not generation.open_attempts
