"""Writes and reads the timeline of a job: what has happened, in words for people."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from catalog.adapters.db import tables as t
from catalog.adapters.db.outbox_messages import job_event_type
from catalog.core.generations.domain import events as ge
from catalog.core.generations.domain.model import Generation
from catalog.core.jobs.domain import events as je
from catalog.core.jobs.domain.model import Job, TimelineEntry

_ADD = insert(t.timeline)


class SqlTimeline:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add_generation_events(self, state: Generation, events: Sequence[ge.GenerationEvent]) -> None:
        """Add what happened to a generation to the timeline of its job."""
        for event in events:
            if entry := _of_generation(state, event):
                await self._add(state.job_id, TimelineEntry(event.at, *entry))

    async def add_job_events(self, state: Job, events: Sequence[je.JobEvent]) -> None:
        for event in events:
            if entry := _of_job(event):
                await self._add(state.id, TimelineEntry(event.at, *entry))

    async def read(self, job_id: str) -> Sequence[TimelineEntry]:
        """All of a job, oldest first."""
        query = select(t.timeline).where(t.timeline.c.job_id == job_id).order_by(t.timeline.c.id)
        return [TimelineEntry(row.at, row.type, row.message) for row in await self._connection.execute(query)]

    async def _add(self, job_id: str, entry: TimelineEntry) -> None:
        row = {"job_id": job_id, "at": entry.at, "type": entry.type, "message": entry.message}
        await self._connection.execute(_ADD, row)


def _of_generation(  # noqa: PLR0911  # one case each
    state: Generation, event: ge.GenerationEvent
) -> tuple[str, str] | None:
    name = f"{state.id} ({state.run.model})"
    match event:
        case ge.AttemptSubmitted():
            return "attempt.submitted", f"{name} is running at the provider"
        case ge.GenerationCompleted():
            lost = f"; {state.message}" if state.lost else ""
            return "generation.completed", f"{name} is stored{lost}"
        case ge.OutputLost():
            again = "it is fetched again" if event.requeue_at else "it is lost"
            why = event.error.message
            return "output.lost", f"{name}: output {event.index} could not be fetched, {again}: {why}"
        case ge.GenerationFailed():
            return "generation.failed", f"{name}: {event.error.message}"
        case ge.GenerationCanceled():
            return "generation.canceled", f"{name} was stopped"
        case ge.OutputDeleted():
            return "media.deleted", f"{name}: output {event.index} was deleted"
        case ge.GenerationDeleted():
            return "generation.deleted", f"{name} was deleted"
        case ge.DownloadRequeued():
            return "generation.requeued", f"{name}: its outputs are fetched once more"
        case ge.ReturnedToQueue() if event.error is not None:
            return "generation.retried", f"{name} is tried again: {event.error.message}"
        case _:
            return None


def _of_job(event: je.JobEvent) -> tuple[str, str] | None:
    match event:
        case je.JobPlanned():
            message = f"{len(event.scenes)} scenes, chosen by {event.planner}"
        case je.JobFailed():
            message = event.error.message
        case je.JobCompleted():
            message = f"version {event.version} is ready"
        case je.StitchRequested():
            return "stitch.requested", f"every clip is here: version {event.version} is being stitched"
        case je.CutDeleted():
            return "media.deleted", f"version {event.version} was deleted"
        case je.StitchFailed():
            return "stitch.failed", event.error.message
        case je.JobCreated() | je.JobApproved() | je.JobPaused() | je.JobResumed() | je.JobCanceled():
            message = job_event_type(event).replace("job.", "")
        case _:
            return None
    return job_event_type(event), message
