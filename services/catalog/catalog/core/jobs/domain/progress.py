"""How far generations and jobs are, from 0 to 100, and what is happening now, in words."""

from __future__ import annotations

from collections.abc import Mapping

from catalog.core.generations.domain.model import Generation, Stage
from catalog.core.jobs.domain.model import Job, JobStatus

RUN_SHARE, FETCH_SHARE = 80.0, 15.0
"""Percent of a generation's progress that running and fetching take; the rest is waiting and submitting."""

STITCH_SHARE = 15.0
"""Percent of a job's progress that the cut takes."""


def generation_percent(generation: Generation) -> float:
    """How far a generation is over all its stages."""
    match generation.stage:
        case Stage.SUBMITTING:
            return 2.0
        case Stage.RUNNING:
            return 5.0 + generation.percent / 100 * RUN_SHARE
        case Stage.FETCHING:
            return 5.0 + RUN_SHARE + generation.percent / 100 * FETCH_SHARE
        case Stage.COMPLETED:
            return 100.0
        case _:
            return 0.0


def job_progress(job: Job, generations: Mapping[str, Generation]) -> tuple[float, str]:
    """How far a job is, and what is happening now."""
    if job.status is JobStatus.STITCHING:
        percent = 100 - STITCH_SHARE + job.percent / 100 * STITCH_SHARE
        return round(percent, 1), f"{job.message or 'stitching'}: {job.percent:.0f} %"
    if job.status is JobStatus.COMPLETED:
        return 100.0, job.message
    done = sum(generation_percent(each) for each in generations.values()) / max(len(generations), 1)
    percent = round(done / 100 * (100 - STITCH_SHARE), 1)
    if job.status is not JobStatus.RENDERING:
        return percent, job.message
    message = _rendering(job, generations)
    return percent, f"paused: {message}" if job.paused else message


_VERBS = {
    Stage.FETCHING: "fetching",
    Stage.RUNNING: "rendering",
    Stage.SUBMITTING: "submitting",
    Stage.REQUESTED: "waiting for a free slot for",
}


def _rendering(job: Job, generations: Mapping[str, Generation]) -> str:
    """What is done for the first scene that is worked on, else for the music, else what waits."""
    parts = [
        (f"scene {scene.position} of {len(job.scenes)}", generations.get(scene.generation_id))
        for scene in job.scenes
    ]
    if job.music is not None:
        parts.append(("the music", generations.get(job.music.generation_id)))
    for stages in ((Stage.FETCHING, Stage.RUNNING, Stage.SUBMITTING), (Stage.REQUESTED,)):
        for name, generation in parts:
            if generation is not None and generation.stage in stages:
                shown = f": {generation.percent:.0f} %" if generation.percent else ""
                return f"{_VERBS[generation.stage]} {name}{shown}"
    return job.message
