"""Turns the catalog's own events into messages for the event log, each with a deterministic id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncConnection

from catalog.adapters.db import tables as t
from catalog.core.campaigns.domain import Asset
from catalog.core.generations.domain import events as ge
from catalog.core.generations.domain.model import Generation, Stage
from catalog.core.jobs.domain import events as je
from catalog.core.jobs.domain.model import Job, Transition
from catalog.core.storage.domain.blob_keys import cut_key, cut_thumbnail_key, thumbnail_key
from catalog.proto_enums import PROTO_KINDS, error_to_proto, facts_to_proto
from rushes.events.v1 import events_pb2 as pb
from servicekit.clock import Clock
from servicekit.events import Event
from servicekit.outbox import append

DelayedEvent = tuple[Event, float]
"""An event for the log, and the seconds before which it is not published."""


class Outbox:
    """Adds events to the outbox in the transaction of a unit of work."""

    def __init__(self, connection: AsyncConnection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock

    async def add_generation_events(self, after: Generation, events: Sequence[ge.GenerationEvent]) -> None:
        await self._add([message for event in events if (message := _of_generation(after, event))])

    async def add_job_events(self, after: Job, events: Sequence[je.JobEvent]) -> None:
        await self._add([message for event in events if (message := _of_job(after, event))])

    async def add_asset_created(self, asset: Asset) -> None:
        message = pb.AssetCreated(
            asset_id=asset.id,
            campaign_id=asset.campaign_id,
            client_id=asset.client_id,
            blob_key=asset.blob_key,
            thumbnail_key=thumbnail_key(asset.id) if asset.facts.kind.has_thumbnail else "",
            kind=PROTO_KINDS[asset.facts.kind],
        )
        await self._add([_message("asset.created", asset.id, message, refs={"campaign": asset.campaign_id})])

    async def add_asset_deleted(self, asset: Asset) -> None:
        message = pb.AssetDeleted(asset_id=asset.id, blob_keys=[asset.blob_key, thumbnail_key(asset.id)])
        await self._add([_message("asset.deleted", asset.id, message, refs={"campaign": asset.campaign_id})])

    async def _add(self, messages: Sequence[DelayedEvent]) -> None:
        for delay in sorted({delay for _, delay in messages}):
            events = [event for event, wait in messages if wait == delay]
            await append(self._connection, t.outbox, events, clock=self._clock, delay=delay)


def _message(
    type_: str,
    key: str,
    message: Message,
    *,
    suffix: str = "",
    provider: str = "",
    delay: float = 0.0,
    refs: Mapping[str, str],
) -> DelayedEvent:
    """An event for the log.

    Args:
        suffix: ends the id of an event that can happen to its record more than once.
        provider: begins the subject's key where each provider has a consumer of its own.
    """
    name = type_.partition(".")[2]
    event = Event(
        id=f"{key}:{name}" + (f":{suffix}" if suffix else ""),
        type=type_,
        key=f"{provider}.{key}" if provider else key,
        data=message.SerializeToString(),
        refs={name: value for name, value in refs.items() if value},
    )
    return event, delay


def _of_generation(  # noqa: PLR0911  # one case each
    state: Generation, event: ge.GenerationEvent
) -> DelayedEvent | None:
    ids = {"generation_id": state.id, "job_id": state.job_id, "campaign_id": state.campaign_id}
    refs = {"generation": state.id, "job": state.job_id, "campaign": state.campaign_id}
    provider = state.run.provider
    match event:
        case ge.GenerationRequested() if state.stage is Stage.FETCHING and not state.open_attempts:
            message: Message = pb.GenerationFetchRequested(**ids, round=event.round)
            return _message(
                "generation.fetch_requested",
                state.id,
                message,
                suffix=str(event.round),
                provider=provider,
                refs=refs,
            )
        case ge.GenerationRequested():
            message = pb.GenerationRequested(**ids, round=event.round, asset_ids=state.run.assets)
            return _message(
                "generation.requested",
                state.id,
                message,
                suffix=str(event.round),
                provider=provider,
                delay=event.delay,
                refs=refs,
            )
        case ge.CancelRequested():
            message = pb.GenerationCancelRequested(**ids)
            return _message(
                "generation.cancel_requested",
                state.id,
                message,
                suffix=str(state.round),
                provider=provider,
                refs=refs,
            )
        case ge.OutputStored():
            message = pb.MediaStored(
                **ids,
                media_id=event.media_id,
                blob_key=event.blob_key,
                thumbnail_key=thumbnail_key(event.media_id) if event.facts.kind.has_thumbnail else "",
                kind=PROTO_KINDS[event.facts.kind],
            )
            return _message("media.stored", event.media_id, message, refs=refs)
        case ge.GenerationCompleted():
            media_ids = [output.media_id for output in state.stored]
            message = pb.GenerationCompleted(**ids, media_ids=media_ids, cost_micros=state.cost_micros)
            return _message("generation.completed", state.id, message, refs=refs)
        case ge.GenerationFailed():
            message = pb.GenerationFailed(**ids, failure=error_to_proto(event.error))
            return _message("generation.failed", state.id, message, suffix=str(state.round), refs=refs)
        case ge.OutputDeleted() | ge.OutputRefused():
            keys = [event.blob_key, thumbnail_key(event.media_id)]
            message = pb.MediaDeleted(
                generation_id=state.id,
                job_id=state.job_id,
                campaign_id=state.campaign_id,
                media_id=event.media_id,
                blob_keys=keys,
            )
            # Bytes may come too late any number of times: the time tells these events apart.
            suffix = _milliseconds(event.at) if isinstance(event, ge.OutputRefused) else ""
            return _message("media.deleted", event.media_id, message, suffix=suffix, refs=refs)
        case ge.GenerationDeleted():
            return _message("generation.deleted", state.id, pb.GenerationDeleted(**ids), refs=refs)
        case ge.GenerationCanceled():
            return _message("generation.canceled", state.id, pb.GenerationCanceled(**ids), refs=refs)
        case _:
            return _of_attempt(event, ids, refs)


def _of_attempt(event: ge.GenerationEvent, ids: dict[str, Any], refs: dict[str, str]) -> DelayedEvent | None:
    match event:
        case ge.AttemptIntended():
            message: Message = pb.AttemptIntended(
                **ids,
                attempt_id=event.attempt_id,
                number=event.number,
                reserved_micros=event.reserved_micros,
            )
            return _message("attempt.intended", event.attempt_id, message, refs=refs)
        case ge.AttemptSubmitted() | ge.AttemptAdopted():
            message = pb.AttemptSubmitted(
                **ids, attempt_id=event.attempt_id, prediction_id=event.prediction_id
            )
            return _message("attempt.submitted", event.attempt_id, message, refs=refs)
        case ge.AttemptReleased():
            error = error_to_proto(event.error) if event.error else None
            message = pb.AttemptReleased(**ids, attempt_id=event.attempt_id, failure=error)
            return _message("attempt.released", event.attempt_id, message, refs=refs)
        case _:
            return None


def _of_job(state: Job, event: je.JobEvent) -> DelayedEvent | None:
    ids = {"job_id": state.id, "campaign_id": state.campaign_id}
    refs = {"job": state.id, "campaign": state.campaign_id}
    suffix = ""
    match event:
        case je.JobCreated():
            message: Message = pb.JobCreated(**ids)
        case je.JobPlanned():
            message = pb.JobPlanned(**ids, scene_count=len(event.scenes), planner=event.planner)
        case je.JobApproved():
            message = pb.JobApproved(**ids)
        case je.JobPaused():
            message, suffix = pb.JobPaused(**ids), _milliseconds(event.at)
        case je.JobResumed():
            message, suffix = pb.JobResumed(**ids), _milliseconds(event.at)
        case je.StitchRequested():
            suffix = f"v{event.version}:{event.round}"
            message = _stitch_requested(state, event)
            return _message(
                "stitch.requested", state.id, message, suffix=suffix, delay=event.delay, refs=refs
            )
        case je.CutDeleted():
            keys = [event.cut_key, event.thumbnail_key]
            message = pb.MediaDeleted(**ids, blob_keys=keys, version=event.version)
            return _message("media.deleted", state.id, message, suffix=f"v{event.version}", refs=refs)
        case je.JobCompleted():
            message = pb.JobCompleted(
                **ids,
                version=event.version,
                facts=facts_to_proto(state.cuts[-1].facts),
                cost_micros=event.cost_micros,
            )
        case je.JobFailed():
            message = pb.JobFailed(**ids, failure=error_to_proto(event.error))
        case je.JobCanceled():
            message = pb.JobCanceled(**ids)
        case _:
            return None
    return _message(job_event_type(event), state.id, message, suffix=suffix, refs=refs)


def job_event_type(event: je.JobEvent) -> str:
    """`JobPlanned` → `job.planned`."""
    return "job." + type(event).__name__.removeprefix("Job").lower()


def _milliseconds(at: datetime) -> str:
    return str(int(at.timestamp() * 1000))


def _stitch_requested(job: Job, event: je.StitchRequested) -> pb.StitchRequested:
    crossfade = job.edit.transition is Transition.CROSSFADE
    message = pb.StitchRequested(
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
        message.music.CopyFrom(music)
    return message
