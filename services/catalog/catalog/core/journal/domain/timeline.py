"""The timeline of a job: what has happened to it and to its generations, in words for people."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from catalog.core.generations.domain import events as ge
from catalog.core.generations.domain.evolve import lost_message
from catalog.core.generations.domain.model import Generation
from catalog.core.jobs.domain import events as je
from catalog.core.jobs.domain.model import TimelineEntry
from catalog.core.journal.domain.entry import Entry, Snapshot, TimelineCarriedOver


@dataclass
class _Run:
    """What the words for the events of a generation need of those before."""

    model: str = ""
    output_count: int = 0
    lost: dict[int, str] = field(default_factory=dict)


def timeline(entries: Iterable[Entry]) -> tuple[TimelineEntry, ...]:
    """The timeline of a job, of the journal's entries that belong to it, in their order."""
    lines: list[TimelineEntry] = []
    runs: dict[str, _Run] = defaultdict(_Run)
    for entry in entries:
        for event in entry.events:
            if isinstance(event, TimelineCarriedOver):
                lines = list(event.entries)
                continue
            run = runs[entry.record_id]
            _learn(run, event)
            name = f"{entry.record_id} ({run.model})"
            if line := _of_generation(name, run, event) or _of_job(event):
                lines.append(TimelineEntry(event.at, *line))
    return tuple(lines)


def _learn(run: _Run, event: Any) -> None:
    match event:
        case Snapshot(record=Generation() as generation):
            run.model, run.output_count = generation.run.model, generation.output_count
            run.lost = {each.index: each.error.message if each.error else "" for each in generation.lost}
        case ge.GenerationCreated():
            run.model = event.run.model
        case ge.OutputsAnnounced():
            run.output_count = event.count
        case ge.OutputLost():
            run.lost[event.index] = event.error.message
        case ge.OutputStored():
            run.lost.pop(event.index, None)
        case ge.DownloadRequeued():
            run.lost = {index: why for index, why in run.lost.items() if index not in event.indexes}
        case _:
            pass


def _of_generation(  # noqa: PLR0911  # one case each
    name: str, run: _Run, event: Any
) -> tuple[str, str] | None:
    match event:
        case ge.AttemptSubmitted():
            return "attempt.submitted", f"{name} is running at the provider"
        case ge.GenerationCompleted():
            lost = f"; {lost_message(run.output_count, run.lost)}" if run.lost else ""
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
