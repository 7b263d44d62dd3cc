"""What catalog's events say to others: each becomes a message in the outbox, with a deterministic id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncConnection

from catalog.adapters.db import tables as t
from catalog.core.campaigns.service import has_thumbnail
from catalog.core.generations.domain import events as ge
from catalog.core.generations.domain.model import Generation, Stage
from catalog.core.jobs.domain import events as je
from catalog.core.jobs.domain.model import Job, Transition, cut_key, cut_thumbnail_key, thumbnail_key
from catalog.core.shared.records import Asset
from catalog.proto_enums import KINDS, error_message, facts_message
from rushes.events.v1 import events_pb2 as pb
from servicekit.clock import Clock
from servicekit.events import Event
from servicekit.outbox import append

Said = tuple[Event, float]
"""A message, and the seconds before which it is not published."""


class Outgoing:
    """Writes messages into the outbox of the unit's transaction."""

    def __init__(self, connection: AsyncConnection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock

    async def generation(self, after: Generation, events: Sequence[ge.GenerationEvent]) -> None:
        """Say what happened to a generation."""
        await self._say([said for event in events if (said := _of_generation(after, event))])

    async def job(self, after: Job, events: Sequence[je.JobEvent]) -> None:
        """Say what happened to a job."""
        await self._say([said for event in events if (said := _of_job(after, event))])

    async def asset_created(self, asset: Asset) -> None:
        """Say that a file was uploaded: its small picture is to be made."""
        made = has_thumbnail(asset.facts.kind)
        message = pb.AssetCreated(
            asset_id=asset.id,
            campaign_id=asset.campaign_id,
            client_id=asset.client_id,
            blob_key=asset.blob_key,
            thumbnail_key=thumbnail_key(asset.id) if made else "",
            kind=KINDS[asset.facts.kind],
        )
        await self._say([_event("asset.created", asset.id, message, refs={"campaign": asset.campaign_id})])

    async def asset_deleted(self, asset: Asset) -> None:
        """Say that a file is to be removed."""
        message = pb.AssetDeleted(asset_id=asset.id, blob_keys=[asset.blob_key, thumbnail_key(asset.id)])
        await self._say([_event("asset.deleted", asset.id, message, refs={"campaign": asset.campaign_id})])

    async def _say(self, said: Sequence[Said]) -> None:
        for delay in sorted({delay for _, delay in said}):
            events = [event for event, wait in said if wait == delay]
            await append(self._connection, t.outbox, events, clock=self._clock, delay=delay)


def _event(
    type_: str,
    key: str,
    message: Message,
    *,
    turn: str = "",
    lane: str = "",
    delay: float = 0.0,
    refs: Mapping[str, str],
) -> Said:
    fact = type_.partition(".")[2]
    event = Event(
        id=f"{key}:{fact}" + (f":{turn}" if turn else ""),
        type=type_,
        key=f"{lane}.{key}" if lane else key,
        data=message.SerializeToString(),
        refs={name: value for name, value in refs.items() if value},
    )
    return event, delay


def _of_generation(state: Generation, event: ge.GenerationEvent) -> Said | None:
    whose = {"generation_id": state.id, "job_id": state.job_id, "campaign_id": state.campaign_id}
    refs = {"generation": state.id, "job": state.job_id, "campaign": state.campaign_id}
    lane = state.run.provider
    match event:
        case ge.GenerationRequested() if state.stage is Stage.FETCHING and not state.open_attempts:
            fetch = pb.GenerationFetchRequested(**whose, round=event.round)
            turn = str(event.round)
            said = _event("generation.fetch_requested", state.id, fetch, turn=turn, lane=lane, refs=refs)
        case ge.GenerationRequested():
            asked = pb.GenerationRequested(**whose, round=event.round, asset_ids=state.run.assets)
            turn = str(event.round)
            said = _event(
                "generation.requested", state.id, asked, turn=turn, lane=lane, delay=event.delay, refs=refs
            )
        case ge.CancelRequested():
            stop = pb.GenerationCancelRequested(**whose)
            said = _event(
                "generation.cancel_requested", state.id, stop, turn=str(state.round), lane=lane, refs=refs
            )
        case ge.OutputStored():
            pictured = has_thumbnail(event.facts.kind)
            stored = pb.MediaStored(
                **whose,
                media_id=event.media_id,
                blob_key=event.blob_key,
                thumbnail_key=thumbnail_key(event.media_id) if pictured else "",
                kind=KINDS[event.facts.kind],
            )
            said = _event("media.stored", event.media_id, stored, refs=refs)
        case ge.GenerationCompleted():
            media_ids = [output.media_id for output in state.stored]
            done = pb.GenerationCompleted(**whose, media_ids=media_ids, cost_micros=state.cost_micros)
            said = _event("generation.completed", state.id, done, refs=refs)
        case ge.GenerationFailed():
            failed = pb.GenerationFailed(**whose, failure=error_message(event.error))
            said = _event("generation.failed", state.id, failed, turn=str(state.round), refs=refs)
        case ge.OutputDeleted() | ge.OutputRefused():
            keys = [event.blob_key, thumbnail_key(event.media_id)]
            gone = pb.MediaDeleted(
                generation_id=state.id,
                job_id=state.job_id,
                campaign_id=state.campaign_id,
                media_id=event.media_id,
                blob_keys=keys,
            )
            # Bytes may come too late any number of times: the time tells which.
            turn = _stamp(event.at) if isinstance(event, ge.OutputRefused) else ""
            said = _event("media.deleted", event.media_id, gone, turn=turn, refs=refs)
        case ge.GenerationDeleted():
            said = _event("generation.deleted", state.id, pb.GenerationDeleted(**whose), refs=refs)
        case ge.GenerationCanceled():
            said = _event("generation.canceled", state.id, pb.GenerationCanceled(**whose), refs=refs)
        case _:
            return _of_attempt(event, whose, refs)
    return said


def _of_attempt(event: ge.GenerationEvent, whose: dict[str, Any], refs: dict[str, str]) -> Said | None:
    match event:
        case ge.AttemptIntended():
            intended = pb.AttemptIntended(
                **whose,
                attempt_id=event.attempt_id,
                number=event.number,
                reserved_micros=event.reserved_micros,
            )
            return _event("attempt.intended", event.attempt_id, intended, refs=refs)
        case ge.AttemptSubmitted() | ge.AttemptAdopted():
            submitted = pb.AttemptSubmitted(
                **whose, attempt_id=event.attempt_id, prediction_id=event.prediction_id
            )
            return _event("attempt.submitted", event.attempt_id, submitted, refs=refs)
        case ge.AttemptReleased():
            error = error_message(event.error) if event.error else None
            released = pb.AttemptReleased(**whose, attempt_id=event.attempt_id, failure=error)
            return _event("attempt.released", event.attempt_id, released, refs=refs)
        case _:
            return None


def _of_job(state: Job, event: je.JobEvent) -> Said | None:
    whose = {"job_id": state.id, "campaign_id": state.campaign_id}
    refs = {"job": state.id, "campaign": state.campaign_id}
    turn = ""
    message: Message
    delay = 0.0
    match event:
        case je.JobCreated():
            message = pb.JobCreated(**whose)
        case je.JobPlanned():
            message = pb.JobPlanned(**whose, scene_count=len(event.scenes), planner=event.planner)
        case je.JobApproved():
            message = pb.JobApproved(**whose)
        case je.JobPaused():
            message, turn = pb.JobPaused(**whose), _stamp(event.at)
        case je.JobResumed():
            message, turn = pb.JobResumed(**whose), _stamp(event.at)
        case je.StitchRequested():
            turn, delay = f"v{event.version}:{event.round}", event.delay
            message = _edit(state, event)
            return _event("stitch.requested", state.id, message, turn=turn, delay=delay, refs=refs)
        case je.CutDeleted():
            keys = [event.cut_key, event.thumbnail_key]
            message = pb.MediaDeleted(
                job_id=state.id, campaign_id=state.campaign_id, blob_keys=keys, version=event.version
            )
            return _event("media.deleted", state.id, message, turn=f"v{event.version}", refs=refs)
        case je.JobCompleted():
            facts = facts_message(state.cuts[-1].facts)
            message = pb.JobCompleted(
                **whose, version=event.version, facts=facts, cost_micros=event.cost_micros
            )
        case je.JobFailed():
            message = pb.JobFailed(**whose, failure=error_message(event.error))
        case je.JobCanceled():
            message = pb.JobCanceled(**whose)
        case _:
            return None
    return _event(job_fact(event), state.id, message, turn=turn, refs=refs)


def job_fact(event: je.JobEvent) -> str:
    """`JobPlanned` → `job.planned`."""
    return "job." + type(event).__name__.removeprefix("Job").lower()


def _stamp(at: datetime) -> str:
    """For what can happen again (pausing): the time tells which one it was."""
    return str(int(at.timestamp() * 1000))


def _edit(job: Job, event: je.StitchRequested) -> pb.StitchRequested:
    crossfade = job.edit.transition is Transition.CROSSFADE
    asked = pb.StitchRequested(
        job_id=job.id,
        campaign_id=job.campaign_id,
        version=event.version,
        round=event.round,
        width=job.edit.width,
        height=job.edit.height,
        fps=job.edit.fps,
        crossfade_seconds=job.edit.transition_seconds if crossfade else 0.0,
        clips=[
            pb.EditClip(scene_id=scene.id, blob_key=scene.blob_key, seconds=scene.seconds)
            for scene in job.scenes
        ],
        cut_key=cut_key(job.id, event.version),
        poster_key=cut_thumbnail_key(job.id, event.version),
    )
    if job.edit.music is not None:
        music = pb.EditMusic(blob_key=job.edit.music.blob_key, gain_db=job.edit.music.gain_db)
        asked.music.CopyFrom(music)
    return asked
