"""Counts what has come of jobs and generations, and the money spent, once it is committed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

from prometheus_client import Counter, Histogram

from catalog.core.generations.domain import events as ge
from catalog.core.generations.domain.model import Generation
from catalog.core.jobs.domain import events as je
from catalog.core.shared.domain import MICROS_PER_CENT, MediaKind

MICROS_PER_DOLLAR = 100 * MICROS_PER_CENT

# Seconds: a picture is made in moments, a film in minutes, and a busy provider makes people wait for hours.
_BUCKETS = (1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 21600.0)

JOBS_ENDED = Counter("rushes_jobs_ended", "Jobs that have come to their end", ["outcome"])
JOB_SECONDS = Histogram(
    "rushes_job_seconds", "From the approval of a job to its completed cut", buckets=_BUCKETS
)
GENERATIONS_ENDED = Counter(
    "rushes_generations_ended",
    "Generations that have come to their end; one that is requested again after it failed ends twice",
    ["kind", "outcome"],
)
GENERATION_SECONDS = Histogram(
    "rushes_generation_seconds",
    "From the request of a generation until its outputs are stored",
    ["kind"],
    buckets=_BUCKETS,
)
OUTPUTS_STORED = Counter("rushes_outputs_stored", "Outputs that were stored", ["kind"])
BYTES_STORED = Counter("rushes_outputs_stored_bytes", "Bytes of the outputs that were stored", ["kind"])
SPENT = Counter("rushes_spent_dollars", "What attempts have cost, by the model that was run", ["model"])

_GENERATION_OUTCOMES: dict[type[ge.GenerationEvent], str] = {
    ge.GenerationCompleted: "completed",
    ge.GenerationFailed: "failed",
    ge.GenerationCanceled: "canceled",
}
_JOB_OUTCOMES: dict[type[je.JobEvent], str] = {
    je.JobCompleted: "completed",
    je.JobFailed: "failed",
    je.JobCanceled: "canceled",
}

# From zero on: of a series that begins with 1 nobody sees that it grew.
for _outcome in _JOB_OUTCOMES.values():
    JOBS_ENDED.labels(_outcome)
for _kind in MediaKind:
    OUTPUTS_STORED.labels(_kind.value)
    BYTES_STORED.labels(_kind.value)
    for _outcome in _GENERATION_OUTCOMES.values():
        GENERATIONS_ENDED.labels(_kind.value, _outcome)


class Outcomes:
    """What one unit of work would count. Nothing is counted of one that is rolled back."""

    def __init__(self) -> None:
        self._counts: list[Callable[[], object]] = []

    def of_generation(self, state: Generation, events: Sequence[ge.GenerationEvent]) -> None:
        """Note what these events are to be counted as; `state`: after them."""
        kind = state.run.kind.value
        for event in events:
            match event:
                case ge.AttemptIntended():  # so that the model's series is there before its first cost
                    self._counts.append(partial(SPENT.labels, state.run.model))
                case ge.AttemptEnded() if event.cost_micros:
                    dollars = event.cost_micros / MICROS_PER_DOLLAR
                    self._counts.append(partial(SPENT.labels(state.run.model).inc, dollars))
                case ge.OutputStored():
                    of = event.facts.kind.value
                    self._counts.append(OUTPUTS_STORED.labels(of).inc)
                    self._counts.append(partial(BYTES_STORED.labels(of).inc, event.facts.size_bytes))
            if outcome := _GENERATION_OUTCOMES.get(type(event)):
                self._counts.append(GENERATIONS_ENDED.labels(kind, outcome).inc)
            if isinstance(event, ge.GenerationCompleted):
                seconds = (event.at - state.created_at).total_seconds()
                self._counts.append(partial(GENERATION_SECONDS.labels(kind).observe, seconds))

    def of_job(self, events: Sequence[je.JobEvent], approved_at: datetime | None) -> None:
        """Note what these events are to be counted as."""
        for event in events:
            if outcome := _JOB_OUTCOMES.get(type(event)):
                self._counts.append(JOBS_ENDED.labels(outcome).inc)
            if isinstance(event, je.JobCompleted) and approved_at is not None:
                seconds = (event.at - approved_at).total_seconds()
                self._counts.append(partial(JOB_SECONDS.observe, seconds))

    def count(self) -> None:
        """Count what was noted: it is committed."""
        for count in self._counts:
            count()
