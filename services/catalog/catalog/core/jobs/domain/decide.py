"""Decides what happens to a job.

Every decision is a function `(state, at, …) -> events`: the events that follow, or none when there is nothing
to change. It changes nothing itself; `evolve` does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime

from catalog.core.budget.domain import Account
from catalog.core.jobs.domain import events as ev
from catalog.core.jobs.domain.events import Events
from catalog.core.jobs.domain.model import EditDocument, Job, JobRequest, JobStatus, Music, Scene
from catalog.core.shared.domain import MICROS_PER_CENT, Error, Facts
from servicekit.errors import NotFound, Precondition

MAX_STITCHES = 3
"""How often the stitcher may fail to make one version before the job fails."""

STITCH_WAIT = 2.0
"""Seconds before a version that failed is requested again; doubled each time."""

Decision = Callable[[Job, datetime], Events]
"""A decision whose own arguments are filled in."""


# What people want -------------------------------------------------------------------------------


def create_job(
    at: datetime,
    job_id: str,
    campaign_id: str,
    request: JobRequest,
    edit: EditDocument,
    music: Music | None = None,
) -> Events:
    return (ev.JobCreated(at, job_id, campaign_id, request, edit, music),)


def approve_job(
    state: Job,
    at: datetime,
    *,
    generation_ids: tuple[str, ...],
    music_generation_id: str = "",
    accounts: Collection[Account] = (),
) -> Events:
    """Let it spend money: on these generations, in the order of its scenes, and on that of its music.

    Raises:
        Precondition: it does not wait for approval, or an account has no room for all that it can cost.
    """
    if state.status is not JobStatus.AWAITING_APPROVAL:
        raise Precondition(
            f"job {state.id} is {state.status}: only a job that is awaiting_approval can be approved",
            code="wrong_status",
        )
    most = state.reserve_micros
    for account in accounts:
        if not account.fits(most):
            room = max((account.cap or 0) - account.spent - account.reserved, 0)
            raise Precondition(
                f"job {state.id} can cost up to {most / MICROS_PER_CENT:.2f} cents, and "
                f"{room / MICROS_PER_CENT:.2f} are left under the cap: raise the campaign's budget_cents",
                code="budget",
            )
    return (ev.JobApproved(at, generation_ids, music_generation_id),)


def pause_job(state: Job, at: datetime) -> Events:
    if state.status not in (JobStatus.RENDERING, JobStatus.STITCHING):
        raise Precondition(
            f"job {state.id} is {state.status}: only a job that runs can be paused", code="wrong_status"
        )
    return () if state.paused else (ev.JobPaused(at),)


def resume_job(state: Job, at: datetime) -> Events:
    if state.status not in (JobStatus.RENDERING, JobStatus.STITCHING):
        raise Precondition(
            f"job {state.id} is {state.status}: only a paused job can be resumed", code="wrong_status"
        )
    return (ev.JobResumed(at),) if state.paused else ()


def cancel_job(state: Job, at: datetime) -> Events:
    if state.status is JobStatus.CANCELED:
        return ()
    if state.final:
        raise Precondition(
            f"job {state.id} is {state.status}: there is nothing to cancel", code="wrong_status"
        )
    return (ev.JobCanceled(at),)


def delete_cuts(state: Job, at: datetime) -> Events:
    if not state.present_cuts:
        raise NotFound(f"job {state.id} has no cut to delete")
    if not state.final:
        raise Precondition(
            f"job {state.id} is {state.status}: cancel it first (POST /api/v3/jobs/{state.id}/cancel), "
            "or wait until it is completed, failed or canceled",
            code="in_use",
        )
    return tuple(ev.CutDeleted(at, cut.version, cut.cut_key, cut.thumbnail_key) for cut in state.present_cuts)


# What planning brings ---------------------------------------------------------------------------


def record_plan(
    state: Job,
    at: datetime,
    *,
    scenes: tuple[Scene, ...],
    planner: str,
    edit: EditDocument,
    music: Music | None = None,
) -> Events:
    """Its scenes are chosen, checked and priced.

    Args:
        edit: with a clip for each scene.
        music: with its run, when it is composed.
    """
    if state.status is not JobStatus.DRAFT:
        return ()
    return (ev.JobPlanned(at, scenes, planner, edit, music),)


def repeat_planning(state: Job, at: datetime) -> Events:
    return (ev.PlanningRepeated(at),) if state.status is JobStatus.DRAFT else ()


def fail_job(state: Job, at: datetime, *, error: Error) -> Events:
    """Give it up, for a reason outside its generations and its cut."""
    return () if state.final else (ev.JobFailed(at, error),)


# What its generations bring ---------------------------------------------------------------------


def record_generation_stored(
    state: Job, at: datetime, *, generation_id: str, media_id: str, blob_key: str
) -> Events:
    """A generation has stored the output that it was run for. The last one of them brings the cut."""
    if state.status is not JobStatus.RENDERING:
        return ()
    scene, music = state.scene_of(generation_id), state.music_of(generation_id)
    if scene is not None and not scene.blob_key:
        stored: ev.JobEvent = ev.ClipStored(at, scene.id, media_id, blob_key)
    elif music is not None and not music.blob_key:
        stored = ev.MusicStored(at, media_id, blob_key)
    else:
        return ()
    if state.missing_generations - {generation_id}:
        return (stored,)
    return (stored, ev.StitchRequested(at, state.version + 1, round=1))


def record_generation_ended(state: Job, at: datetime, *, generation_id: str, error: Error) -> Events:
    """One of its generations ended without its output, for good."""
    if state.status is not JobStatus.RENDERING:
        return ()
    if scene := state.scene_of(generation_id):
        reason = Error(error.code, f"scene {scene.position}: {error.message}", error.retryable)
        return (ev.SceneFailed(at, scene.id, error), ev.JobFailed(at, reason))
    if state.music_of(generation_id):
        return (ev.JobFailed(at, Error(error.code, f"music: {error.message}", error.retryable)),)
    return ()


def record_output_deleted(state: Job, at: datetime, *, generation_id: str, blob_key: str) -> Events:
    """An output of one of its generations was deleted: its clip, its music, or one beside them."""
    scene, music = state.scene_of(generation_id), state.music_of(generation_id)
    if scene is not None and scene.blob_key == blob_key:
        return (ev.ClipDeleted(at, scene.id),)
    if music is not None and music.blob_key == blob_key:
        return (ev.MusicDeleted(at),)
    return ()


# What the stitcher brings -----------------------------------------------------------------------


def request_stitch_again(state: Job, at: datetime) -> Events:
    """No event came of the requested cut for too long."""
    if state.status is not JobStatus.STITCHING:
        return ()
    return (ev.StitchRequested(at, state.version, state.stitch_round + 1, stalled=True),)


def record_stitch_progress(state: Job, at: datetime, *, version: int, percent: float, message: str) -> Events:
    """How far the requested cut is. An older report, of less, is a sign of life and nothing else."""
    if not _is_requested(state, version):
        return ()
    if percent < state.percent:
        percent, message = state.percent, state.message
    return (ev.StitchProgressed(at, version, percent, message[:300]),)


def record_stitch_failed(state: Job, at: datetime, *, version: int, error: Error) -> Events:
    if not _is_requested(state, version):
        return ()
    failed = ev.StitchFailed(at, version, error)
    if not error.retryable or state.stitch_errors + 1 >= MAX_STITCHES:
        return (failed, ev.JobFailed(at, error))
    wait = STITCH_WAIT * 2**state.stitch_errors
    return (failed, ev.StitchRequested(at, version, state.stitch_round + 1, delay=wait))


def record_cut(
    state: Job,
    at: datetime,
    *,
    version: int,
    cut_key: str,
    thumbnail_key: str,
    facts: Facts,
    cost_micros: int,
) -> Events:
    """The requested cut is stored; `cost_micros`: of the whole job by now."""
    if not _is_requested(state, version):
        return ()
    stored = ev.CutStored(at, version, cut_key, thumbnail_key, facts)
    return (stored, ev.JobCompleted(at, version, cost_micros))


def _is_requested(state: Job, version: int) -> bool:
    return state.status is JobStatus.STITCHING and version == state.version
