"""How each event changes a job: `evolve` and its fold. No decision is made here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from catalog.core.jobs.domain import events as ev
from catalog.core.jobs.domain.model import Cut, Job, JobStatus


def fold(state: Job | None, events: Iterable[ev.JobEvent]) -> Job | None:
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
            music=event.music,
            created_at=event.at,
            updated_at=event.at,
            last_event_at=event.at,
            message="choosing scenes",
        )
    if state is None:
        raise ValueError(f"{type(event).__name__} happened to no job")
    after = _status(state, event) or _parts(state, event) or _cut(state, event)
    if after is None:
        raise TypeError(f"evolve does not know {type(event).__name__}")
    after = replace(after, updated_at=event.at)
    if isinstance(event, ev.StitchRequested | ev.PlanningRepeated):
        return after  # they are ours, and set when the next event of others is due
    return replace(after, last_event_at=max(event.at, after.last_event_at), stalled_rounds=0)


def _status(  # noqa: PLR0911  # one case each
    state: Job, event: ev.JobEvent
) -> Job | None:
    """The state after an event about the job as a whole; None for other events."""
    match event:
        case ev.PlanningRepeated():
            return replace(state, last_event_at=event.at, stalled_rounds=state.stalled_rounds + 1)
        case ev.JobPlanned():
            return replace(
                state,
                scenes=event.scenes,
                planner=event.planner,
                edit=event.edit,
                music=event.music,
                status=JobStatus.AWAITING_APPROVAL,
                message="waiting for approval",
            )
        case ev.JobApproved():
            return _approved(state, event)
        case ev.JobPaused():
            return replace(state, paused=True)
        case ev.JobResumed():
            return replace(state, paused=False)
        case ev.JobCompleted():
            ended = _ended(state, JobStatus.COMPLETED, "the video is ready", event.at)
            return replace(ended, percent=100.0)
        case ev.JobFailed():
            ended = _ended(state, JobStatus.FAILED, event.error.message[:300], event.at)
            return replace(ended, error=event.error)
        case ev.JobCanceled():
            return _ended(state, JobStatus.CANCELED, "stopped", event.at)
        case _:
            return None


def _parts(state: Job, event: ev.JobEvent) -> Job | None:
    """The state after an event about a clip or the music; None for other events."""
    match event:
        case ev.ClipStored():
            return _with_scene(state, event.scene_id, media_id=event.media_id, blob_key=event.blob_key)
        case ev.SceneFailed():
            return _with_scene(state, event.scene_id, error=event.error)
        case ev.ClipDeleted():
            return _with_scene(state, event.scene_id, media_id="", blob_key="")
        case ev.MusicStored():
            return _with_music(state, media_id=event.media_id, blob_key=event.blob_key)
        case ev.MusicDeleted():
            return _with_music(state, media_id="", blob_key="")
        case _:
            return None


def _cut(state: Job, event: ev.JobEvent) -> Job | None:
    """The state after an event about the cut; None for other events."""
    match event:
        case ev.StitchRequested():
            return replace(
                state,
                status=JobStatus.STITCHING,
                version=event.version,
                percent=0.0,
                stitch_round=event.round,
                message="stitching",
                last_event_at=event.at + timedelta(seconds=event.delay),
                stalled_rounds=state.stalled_rounds + 1 if event.stalled else 0,
            )
        case ev.StitchProgressed():
            return replace(state, percent=event.percent, message=event.message)
        case ev.StitchFailed():
            return replace(state, stitch_errors=state.stitch_errors + 1)
        case ev.CutStored():
            cut = Cut(event.version, event.cut_key, event.thumbnail_key, event.facts, event.at)
            return replace(state, cuts=(*state.cuts, cut))
        case ev.CutDeleted():
            cuts = (
                replace(each, deleted_at=event.at) if each.version == event.version else each
                for each in state.cuts
            )
            return replace(state, cuts=tuple(cuts))
        case _:
            return None


def _approved(state: Job, event: ev.JobApproved) -> Job:
    scenes = tuple(
        replace(scene, generation_id=generation_id)
        for scene, generation_id in zip(state.scenes, event.generation_ids, strict=True)
    )
    if event.music_generation_id:
        state = _with_music(state, generation_id=event.music_generation_id)
    return replace(state, scenes=scenes, status=JobStatus.RENDERING, message="rendering")


def _ended(state: Job, status: JobStatus, message: str, at: datetime) -> Job:
    return replace(state, status=status, paused=False, message=message, finished_at=at)


def _with_scene(state: Job, scene_id: str, **changes: Any) -> Job:
    scenes = (replace(scene, **changes) if scene.id == scene_id else scene for scene in state.scenes)
    return replace(state, scenes=tuple(scenes))


def _with_music(state: Job, **changes: Any) -> Job:
    if state.music is None:
        raise ValueError(f"job {state.id} has no music")
    return replace(state, music=replace(state.music, **changes))
