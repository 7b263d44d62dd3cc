"""Maps jobs, scenes and cuts to their rows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from catalog.adapters.db import tables as t
from catalog.adapters.db.rows import to_row
from catalog.core.generations.domain.recovery import stalled_at
from catalog.core.jobs.domain.model import Cut, Job, JobStatus, Scene

_MAY_STALL = frozenset({JobStatus.DRAFT, JobStatus.STITCHING})
"""Where events of the job itself are due, and not of its generations or from people."""


def job_row(job: Job, stalled_after: timedelta) -> dict[str, Any]:
    due = stalled_at(job.last_event_at, job.stalled_rounds, stalled_after)
    return to_row(t.jobs, job, stalled_at=due if job.status in _MAY_STALL else None)


def scene_row(job_id: str, scene: Scene) -> dict[str, Any]:
    return to_row(t.scenes, scene, job_id=job_id)


def cut_row(job_id: str, cut: Cut) -> dict[str, Any]:
    return to_row(t.cuts, cut, job_id=job_id, size_bytes=cut.facts.size_bytes)
