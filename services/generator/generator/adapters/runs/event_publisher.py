"""Publishes the generator's events to the event log."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from events.envelope import envelope
from generator.core.runs.domain import events as domain
from generator.proto_enums import MEDIA_KINDS
from rushes.common.v1 import media_pb2
from rushes.events.v1 import events_pb2 as pb
from servicekit.events import EventLog


class LogEventPublisher:
    """An `EventPublisher` over the event log."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    async def publish(self, event: domain.PredictionEvent) -> None:
        await self._log.publish(envelope(event_message(event)))


def event_message(event: domain.PredictionEvent) -> Message:
    """The event as its contract."""
    ref = pb.PredictionRef(**asdict(event.prediction))
    match event:
        case domain.PredictionStarted():
            return pb.PredictionStarted(prediction=ref)
        case domain.PredictionProgressed():
            progress = media_pb2.Progress(percent=event.percent, message=event.message)
            return pb.PredictionProgressed(prediction=ref, progress=progress)
        case domain.PredictionSucceeded():
            return _succeeded(event, ref)
        case domain.PredictionFailed():
            error = event.error
            return pb.PredictionFailed(
                prediction=ref,
                error=media_pb2.Error(code=error.code, message=error.message, retryable=error.retryable),
                retry_after_s=error.retry_after,
                cost_micros=event.cost_micros,
                most_retries=error.most_retries,
                # A later round requests the outputs once more: that they are gone is the answer to it.
                gone_in_round=event.prediction.round if error.code == domain.GONE else 0,
            )
        case domain.PredictionCanceled():
            return pb.PredictionCanceled(
                prediction=ref, cost_micros=event.cost_micros, by_deadline=event.by_deadline
            )


def _succeeded(event: domain.PredictionSucceeded, ref: pb.PredictionRef) -> pb.PredictionSucceeded:
    generation, metrics = event.prediction.generation_id, Struct()
    expires, completed = Timestamp(), Timestamp()
    expires.FromDatetime(event.expires_at)
    completed.FromDatetime(event.completed_at)
    metrics.update({name: value for name, value in event.metrics.items() if _is_scalar(value)})
    return pb.PredictionSucceeded(
        prediction=ref,
        outputs=[
            pb.Output(index=index, source_url=address, blob_key_stem=f"media/{generation}/{index}")
            for index, address in enumerate(event.addresses)
        ],
        kind=MEDIA_KINDS[event.kind],
        expires_at=expires,
        completed_at=completed,
        cost_micros=event.cost_micros,
        metrics=metrics,
    )


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool)
