"""What a command makes happen to a job: `decide`."""

from __future__ import annotations

from catalog.core.jobs.domain import commands as cmd
from catalog.core.jobs.domain import events as ev
from catalog.core.jobs.domain.evolve import fold
from catalog.core.jobs.domain.model import Job, JobStatus
from catalog.core.shared.domain import MICROS_PER_CENT, Error
from servicekit.errors import NotFound, Precondition

MAX_STITCHES = 3
"""Times that the stitcher may give one version up before the job fails."""

STITCH_WAIT = 2.0
"""Seconds before a version is asked for again after it was given up; doubled each time."""

Events = tuple[ev.JobEvent, ...]


def decide(state: Job | None, command: cmd.JobCommand) -> Events:  # noqa: PLR0911  # one case each
    """The events that a command makes happen; none when there is nothing to change.

    Raises:
        Precondition: people asked for what the job's status does not allow, or for more than the cap allows.
    """
    if isinstance(command, cmd.CreateJob):
        if state is not None:
            return ()
        return (ev.JobCreated(command.at, command.id, command.campaign_id, command.request, command.edit),)
    if state is None:
        raise NotFound("there is no such job")
    match command:
        case cmd.ApproveJob():
            return _approve(state, command)
        case cmd.PauseJob():
            return _pause(state, command)
        case cmd.ResumeJob():
            return _resume(state, command)
        case cmd.CancelJob():
            return _cancel(state, command)
        case cmd.DeleteCuts():
            return _delete_cuts(state, command)
        case cmd.RecordRunDeleted():
            return _run_deleted(state, command)
        case _:
            return () if state.final else _heard(state, command)


def _heard(state: Job, command: cmd.JobCommand) -> Events:
    """What planner, generations and stitcher make happen to a job that is not final."""
    match command:
        case cmd.PlanJob() if state.status is JobStatus.DRAFT:
            events: Events = (ev.JobPlanned(command.at, command.scenes, command.planner, command.music),)
        case cmd.PlanAgain() if state.status is JobStatus.DRAFT:
            events = (ev.PlanningRepeated(command.at),)
        case cmd.FailJob():
            events = (ev.JobFailed(command.at, command.error),)
        case cmd.RecordRunStored() if state.status is JobStatus.RENDERING:
            events = _run_stored(state, command)
        case cmd.RecordRunEnded() if state.status is JobStatus.RENDERING:
            events = _run_ended(state, command)
        case cmd.RequestStitchAgain() if state.status is JobStatus.STITCHING:
            again = ev.StitchRequested(command.at, state.version, state.stitch_round + 1, stalled=True)
            events = (again,)
        case cmd.RecordStitchFailed() if _is_asked(state, command.version):
            events = _stitch_failed(state, command)
        case cmd.RecordCut() if _is_asked(state, command.version):
            events = (
                ev.CutStored(
                    command.at, command.version, command.cut_key, command.thumbnail_key, command.facts
                ),
                ev.JobCompleted(command.at, command.version, command.cost_micros),
            )
        case _:
            events = ()
    return events


def _is_asked(state: Job, version: int) -> bool:
    return state.status is JobStatus.STITCHING and version == state.version


def _approve(state: Job, command: cmd.ApproveJob) -> Events:
    if state.status is not JobStatus.AWAITING_APPROVAL:
        raise Precondition(
            f"job {state.id} is {state.status}: only a job that is awaiting_approval can be approved",
            code="wrong_status",
        )
    most = state.reserve_micros
    for account in command.accounts:
        if not account.fits(most):
            room = max((account.cap or 0) - account.spent - account.reserved, 0)
            raise Precondition(
                f"job {state.id} can cost up to {most / MICROS_PER_CENT:.2f} cents, and "
                f"{room / MICROS_PER_CENT:.2f} are left under the cap: raise the campaign's budget_cents",
                code="budget",
            )
    return (ev.JobApproved(command.at, command.generation_ids, command.music_generation_id),)


def _pause(state: Job, command: cmd.PauseJob) -> Events:
    if state.status not in (JobStatus.RENDERING, JobStatus.STITCHING):
        raise Precondition(
            f"job {state.id} is {state.status}: only a job that runs can be paused", code="wrong_status"
        )
    return () if state.paused else (ev.JobPaused(command.at),)


def _resume(state: Job, command: cmd.ResumeJob) -> Events:
    if state.status not in (JobStatus.RENDERING, JobStatus.STITCHING):
        raise Precondition(
            f"job {state.id} is {state.status}: only a paused job can be resumed", code="wrong_status"
        )
    return (ev.JobResumed(command.at),) if state.paused else ()


def _cancel(state: Job, command: cmd.CancelJob) -> Events:
    if state.status is JobStatus.CANCELED:
        return ()
    if state.final:
        raise Precondition(
            f"job {state.id} is {state.status}: there is nothing to cancel", code="wrong_status"
        )
    return (ev.JobCanceled(command.at),)


def _delete_cuts(state: Job, command: cmd.DeleteCuts) -> Events:
    if not state.present_cuts:
        raise NotFound(f"job {state.id} has no cut to delete")
    if not state.final:
        raise Precondition(
            f"job {state.id} is {state.status}: cancel it first (POST /api/v3/jobs/{state.id}/cancel), "
            "or wait until it is completed, failed or canceled",
            code="in_use",
        )
    return tuple(
        ev.CutDeleted(command.at, cut.version, cut.cut_key, cut.thumbnail_key) for cut in state.present_cuts
    )


def _run_deleted(state: Job, command: cmd.RecordRunDeleted) -> Events:
    for scene in state.scenes:
        if scene.generation_id == command.generation_id and scene.blob_key == command.blob_key:
            return (ev.ClipDeleted(command.at, scene.id),)
    music = state.edit.music
    if music is not None and (music.generation_id, music.blob_key) == (
        command.generation_id,
        command.blob_key,
    ):
        return (ev.MusicDeleted(command.at),)
    return ()


def _run_stored(state: Job, command: cmd.RecordRunStored) -> Events:
    stored: ev.JobEvent
    music = state.edit.music
    scene = next((each for each in state.scenes if each.generation_id == command.generation_id), None)
    if scene is not None and not scene.blob_key:
        stored = ev.ClipStored(command.at, scene.id, command.media_id, command.blob_key)
    elif music is not None and music.generation_id == command.generation_id and not music.blob_key:
        stored = ev.MusicStored(command.at, command.blob_key)
    else:
        return ()
    after = fold(state, (stored,))
    if after is None or not after.complete:
        return (stored,)
    return (stored, ev.StitchRequested(command.at, state.version + 1, round=1))


def _run_ended(state: Job, command: cmd.RecordRunEnded) -> Events:
    scene = next((each for each in state.scenes if each.generation_id == command.generation_id), None)
    error = command.error
    if scene is not None:
        told = Error(error.code, f"scene {scene.position}: {error.message}", error.retryable)
        return (ev.SceneFailed(command.at, scene.id, error), ev.JobFailed(command.at, told))
    music = state.edit.music
    if music is not None and music.generation_id == command.generation_id:
        told = Error(error.code, f"music: {error.message}", error.retryable)
        return (ev.JobFailed(command.at, told),)
    return ()


def _stitch_failed(state: Job, command: cmd.RecordStitchFailed) -> Events:
    failed = ev.StitchFailed(command.at, command.version, command.error)
    if not command.error.retryable or state.stitch_errors + 1 >= MAX_STITCHES:
        return (failed, ev.JobFailed(command.at, command.error))
    wait = STITCH_WAIT * 2**state.stitch_errors
    again = ev.StitchRequested(command.at, command.version, state.stitch_round + 1, delay=wait)
    return (failed, again)
