"""The timeline of a job: what has happened to it and to its generations, in words for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from catalog.core.generations.domain import events as ge
from catalog.core.generations.domain.model import Generation
from catalog.core.jobs.domain import events as je
from catalog.core.jobs.domain.model import TimelineEntry
from catalog.core.journal.domain.entry import Entry
from catalog.core.journal.domain.events import Snapshot, TimelineCarriedOver


def timeline(entries: Iterable[Entry]) -> tuple[TimelineEntry, ...]:
    """The timeline of a job, of the journal's entries that belong to it, in their order."""
    lines: list[TimelineEntry] = []
    models: dict[str, str] = {}
    for entry in entries:
        for event in entry.events:
            match event:
                case TimelineCarriedOver():
                    lines = list(event.entries)
                case ge.GenerationCreated():
                    models[entry.record_id] = event.run.model
                case Snapshot(record=Generation() as generation):
                    models[entry.record_id] = generation.run.model
                case _:
                    name = f"{entry.record_id} ({models.get(entry.record_id, '')})"
                    if line := _of_generation(name, event) or _of_job(event):
                        lines.append(TimelineEntry(event.at, *line))
    return tuple(lines)


def _of_generation(name: str, event: Any) -> tuple[str, str] | None:  # noqa: PLR0911  # one case each
    match event:
        case ge.AttemptSubmitted():
            return "attempt.submitted", f"{name} is running at the provider"
        case ge.GenerationCompleted():
            return "generation.completed", f"{name} is stored"
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


def _of_job(event: Any) -> tuple[str, str] | None:  # noqa: PLR0911  # one case each
    match event:
        case je.JobCreated():
            return "job.created", "created"
        case je.JobPlanned():
            return "job.planned", f"{len(event.scenes)} scenes, chosen by {event.planner}"
        case je.JobApproved():
            return "job.approved", "approved"
        case je.JobPaused():
            return "job.paused", "paused"
        case je.JobResumed():
            return "job.resumed", "resumed"
        case je.StitchRequested():
            return "stitch.requested", f"every clip is here: version {event.version} is being stitched"
        case je.StitchFailed():
            return "stitch.failed", event.error.message
        case je.JobCompleted():
            return "job.completed", f"version {event.version} is ready"
        case je.JobFailed():
            return "job.failed", event.error.message
        case je.JobCanceled():
            return "job.canceled", "canceled"
        case je.CutDeleted():
            return "media.deleted", f"version {event.version} was deleted"
        case _:
            return None
