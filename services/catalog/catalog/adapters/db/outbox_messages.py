"""Turns the catalog's own events into messages for the event log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf.message import Message

from catalog.core.campaigns.domain import Asset
from catalog.core.generations.domain import events as ge
from catalog.core.generations.domain.model import Generation, Stage
from catalog.core.jobs.domain import events as je
from catalog.core.jobs.domain.model import Job
from catalog.core.storage.domain.blob_keys import cut_key, cut_thumbnail_key, thumbnail_key
from catalog.edit_message import resolved_edit
from catalog.proto_enums import PROTO_KINDS, error_to_proto, facts_to_proto, timestamp
from rushes.events.v1 import events_pb2 as pb

DelayedMessage = tuple[Message, float]
"""A message for the log, and the seconds before which it is not published."""


def generation_messages(after: Generation, events: Sequence[ge.GenerationEvent]) -> Sequence[DelayedMessage]:
    return [message for event in events if (message := _of_generation(after, event))]


def job_messages(after: Job, events: Sequence[je.JobEvent]) -> Sequence[DelayedMessage]:
    return [message for event in events if (message := _of_job(after, event))]


def asset_created(asset: Asset) -> DelayedMessage:
    message = pb.AssetCreated(
        asset_id=asset.id,
        campaign_id=asset.campaign_id,
        client_id=asset.client_id,
        blob_key=asset.blob_key,
        thumbnail_key=thumbnail_key(asset.id) if asset.facts.kind.has_thumbnail else "",
        kind=PROTO_KINDS[asset.facts.kind],
    )
    return message, 0.0


def asset_deleted(asset: Asset) -> DelayedMessage:
    keys = [asset.blob_key, thumbnail_key(asset.id)]
    return pb.AssetDeleted(asset_id=asset.id, campaign_id=asset.campaign_id, blob_keys=keys), 0.0


def _of_generation(state: Generation, event: ge.GenerationEvent) -> DelayedMessage | None:
    ids: dict[str, Any] = {
        "generation_id": state.id,
        "job_id": state.job_id,
        "campaign_id": state.campaign_id,
    }
    provider = state.run.provider
    delay = 0.0
    match event:
        case ge.GenerationRequested() if state.stage is Stage.FETCHING and not state.open_attempts:
            message: Message | None = pb.GenerationFetchRequested(**ids, round=event.round, provider=provider)
        case ge.GenerationRequested():
            delay = event.delay
            message = pb.GenerationRequested(
                **ids, round=event.round, provider=provider, asset_ids=state.run.assets
            )
        case ge.CancelRequested():
            message = pb.GenerationCancelRequested(**ids, round=state.round, provider=provider)
        case ge.OutputStored():
            message = pb.MediaStored(
                **ids,
                media_id=event.media_id,
                blob_key=event.blob_key,
                thumbnail_key=thumbnail_key(event.media_id) if event.facts.kind.has_thumbnail else "",
                kind=PROTO_KINDS[event.facts.kind],
            )
        case ge.GenerationCompleted():
            media_ids = [output.media_id for output in state.stored]
            message = pb.GenerationCompleted(**ids, media_ids=media_ids, cost_micros=state.cost_micros)
        case ge.GenerationFailed():
            message = pb.GenerationFailed(**ids, error=error_to_proto(event.error), round=state.round)
        case ge.OutputDeleted() | ge.OutputRefused():
            keys = [event.blob_key, thumbnail_key(event.media_id)]
            late_at = timestamp(event.at) if isinstance(event, ge.OutputRefused) else None
            message = pb.MediaDeleted(**ids, media_id=event.media_id, blob_keys=keys, late_at=late_at)
        case ge.GenerationDeleted():
            message = pb.GenerationDeleted(**ids)
        case ge.GenerationCanceled():
            message = pb.GenerationCanceled(**ids)
        case _:
            message = _of_attempt(event, ids)
    return (message, delay) if message is not None else None


def _of_attempt(event: ge.GenerationEvent, ids: dict[str, Any]) -> Message | None:
    match event:
        case ge.AttemptIntended():
            return pb.AttemptIntended(
                **ids,
                attempt_id=event.attempt_id,
                number=event.number,
                reserved_micros=event.reserved_micros,
            )
        case ge.AttemptSubmitted() | ge.AttemptAdopted():
            return pb.AttemptSubmitted(**ids, attempt_id=event.attempt_id, prediction_id=event.prediction_id)
        case ge.AttemptReleased():
            error = error_to_proto(event.error) if event.error else None
            return pb.AttemptReleased(**ids, attempt_id=event.attempt_id, error=error)
        case _:
            return None


def _of_job(state: Job, event: je.JobEvent) -> DelayedMessage | None:
    ids: dict[str, Any] = {"job_id": state.id, "campaign_id": state.campaign_id}
    delay = 0.0
    match event:
        case je.JobCreated():
            message: Message = pb.JobCreated(**ids)
        case je.JobPlanned():
            message = pb.JobPlanned(**ids, scene_count=len(event.scenes), planner=event.planner)
        case je.JobApproved():
            message = pb.JobApproved(**ids)
        case je.JobPaused():
            message = pb.JobPaused(**ids, at=timestamp(event.at))
        case je.JobResumed():
            message = pb.JobResumed(**ids, at=timestamp(event.at))
        case je.StitchRequested():
            message, delay = _stitch_requested(state, event), event.delay
        case je.CutDeleted():
            keys = [event.cut_key, event.thumbnail_key]
            message = pb.MediaDeleted(**ids, blob_keys=keys, version=event.version)
        case je.JobCompleted():
            message = pb.JobCompleted(
                **ids,
                version=event.version,
                facts=facts_to_proto(state.cuts[-1].facts),
                cost_micros=event.cost_micros,
            )
        case je.JobFailed():
            message = pb.JobFailed(**ids, error=error_to_proto(event.error))
        case je.JobCanceled():
            message = pb.JobCanceled(**ids)
        case _:
            return None
    return message, delay


def _stitch_requested(job: Job, event: je.StitchRequested) -> pb.StitchRequested:
    blob_keys = {scene.media_id: scene.blob_key for scene in job.scenes}
    if job.music is not None:
        blob_keys[job.music.asset_id or job.music.media_id] = job.music.blob_key
    return pb.StitchRequested(
        job_id=job.id,
        campaign_id=job.campaign_id,
        version=event.version,
        round=event.round,
        edit=resolved_edit(job),
        blob_keys=blob_keys,
        cut_key=cut_key(job.id, event.version),
        thumbnail_key=cut_thumbnail_key(job.id, event.version),
    )
