"""How each event changes a job: `evolve` and its fold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

from catalog.core.jobs.domain import events as ev
from catalog.core.jobs.domain.model import Cut, Job, JobStatus


def fold(state: Job | None, events: Iterable[ev.JobEvent]) -> Job | None:
    """The state after all of them."""
    for event in events:
        state = evolve(state, event)
    return state


def evolve(state: Job | None, event: ev.JobEvent) -> Job:
    """The state after one event."""
    if isinstance(event, ev.JobCreated):
        return Job(
            id=event.id,
            campaign_id=event.campaign_id,
            request=event.request,
            edit=event.edit,
            created_at=event.at,
            updated_at=event.at,
            last_event_at=event.at,
            message="choosing scenes",
        )
    if state is None:
        raise ValueError(f"{type(event).__name__} happened to no job")
    after = replace(_life(state, event) or _parts(state, event), updated_at=event.at)
    if isinstance(event, ev.StitchRequested | ev.PlanningRepeated):
        return after
    return replace(after, last_event_at=max(event.at, after.last_event_at), stalled_rounds=0)


def _life(state: Job, event: ev.JobEvent) -> Job | None:
    """What changes where the job is; None for what does not."""
    match event:
        case ev.JobPlanned():
            edit = replace(state.edit, music=event.music)
            planned = replace(state, scenes=event.scenes, planner=event.planner, edit=edit)
            after = replace(planned, status=JobStatus.AWAITING_APPROVAL, message="waiting for approval")
        case ev.JobApproved():
            after = _approved(state, event)
        case ev.JobPaused():
            after = replace(state, paused=True)
        case ev.JobResumed():
            after = replace(state, paused=False)
        case ev.JobCompleted():
            done = replace(state, status=JobStatus.COMPLETED, paused=False, percent=100.0)
            after = replace(done, message="the video is ready", finished_at=event.at)
        case ev.JobFailed():
            failed = replace(state, status=JobStatus.FAILED, paused=False, error=event.error)
            after = replace(failed, message=event.error.message[:300], finished_at=event.at)
        case ev.JobCanceled():
            canceled = replace(state, status=JobStatus.CANCELED, paused=False)
            after = replace(canceled, message="stopped", finished_at=event.at)
        case _:
            return None
    return after


def _approved(state: Job, event: ev.JobApproved) -> Job:
    scenes = tuple(
        replace(scene, generation_id=generation_id)
        for scene, generation_id in zip(state.scenes, event.generation_ids, strict=True)
    )
    edit = state.edit
    if edit.music is not None and event.music_generation_id:
        edit = replace(edit, music=replace(edit.music, generation_id=event.music_generation_id))
    return replace(state, scenes=scenes, edit=edit, status=JobStatus.RENDERING, message="rendering")


def _parts(state: Job, event: ev.JobEvent) -> Job:  # noqa: PLR0911  # one case each
    match event:
        case ev.ClipStored():
            return _with_scene(state, event.scene_id, media_id=event.media_id, blob_key=event.blob_key)
        case ev.SceneFailed():
            return _with_scene(state, event.scene_id, error=event.error)
        case ev.MusicStored() if state.edit.music is not None:
            music = replace(state.edit.music, blob_key=event.blob_key)
            return replace(state, edit=replace(state.edit, music=music))
        case ev.StitchRequested():
            asked = replace(state, status=JobStatus.STITCHING, version=event.version, percent=0.0)
            return replace(
                asked,
                stitch_round=event.round,
                message="stitching",
                last_event_at=event.at + timedelta(seconds=event.delay),
                stalled_rounds=state.stalled_rounds + 1 if event.stalled else 0,
            )
        case ev.StitchFailed():
            return replace(state, stitch_errors=state.stitch_errors + 1)
        case ev.CutStored():
            cut = Cut(event.version, event.cut_key, event.thumbnail_key, event.facts, event.at)
            return replace(state, cuts=(*state.cuts, cut))
        case ev.ClipDeleted():
            return _with_scene(state, event.scene_id, media_id="", blob_key="")
        case ev.MusicDeleted() if state.edit.music is not None:
            return replace(state, edit=replace(state.edit, music=replace(state.edit.music, blob_key="")))
        case ev.CutDeleted():
            cuts = (
                replace(each, deleted_at=event.at) if each.version == event.version else each
                for each in state.cuts
            )
            return replace(state, cuts=tuple(cuts))
        case ev.PlanningRepeated():
            return replace(state, last_event_at=event.at, stalled_rounds=state.stalled_rounds + 1)
        case _:
            raise TypeError(f"evolve does not know {type(event).__name__}")


def _with_scene(state: Job, scene_id: str, **changes: object) -> Job:
    scenes = tuple(
        replace(scene, **changes) if scene.id == scene_id else scene  # type: ignore[arg-type]
        for scene in state.scenes
    )
    return replace(state, scenes=scenes)
