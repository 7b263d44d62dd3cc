"""Consumes events: outputs to fetch, blobs to remove."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from downloader.core.fetching.ports import Storage
from downloader.core.scheduling.domain.outputs import Output
from downloader.core.scheduling.domain.retry_policy import expiry
from downloader.core.scheduling.download_outputs import DownloadOutputs
from downloader.proto_enums import kind_from_proto
from rushes.events.v1.events_pb2 import AssetDeleted, MediaDeleted, PredictionSucceeded
from servicekit.clock import Clock
from servicekit.events import ConsumerSpec, Event, Handler, RetryLater

MAX_LEASED = 256
"""Events that one replica leases: many more than it fetches at once, so that it can choose who expires
first."""

LEASE_S = 9.0
"""Until another replica takes over what a dead one had leased: an output may have little time left."""

REMOVALS = ConsumerSpec("downloader-removals", ("asset.deleted.>", "media.deleted.>"))


def outputs_consumer(in_flight: int) -> ConsumerSpec:
    """The consumer of predictions that have succeeded.

    `in_flight` bounds what all replicas lease together, and what waits for its delayed redelivery counts:
    it is far above the fetches at once, or one dead host would keep everything else waiting.
    """
    return ConsumerSpec(
        "downloader-outputs",
        ("prediction.succeeded.>",),
        slots=MAX_LEASED,
        max_in_flight=in_flight,
        ack_wait=LEASE_S,
    )


def output_handlers(downloads: DownloadOutputs, clock: Clock) -> dict[str, Handler]:
    async def succeeded(event: Event) -> None:
        """Acknowledged when every output is stored or given up; else later."""
        outputs = outputs_of(event, now=clock.now())
        delay = await downloads.handle(outputs, deliveries=event.deliveries)
        if delay is not None:
            raise RetryLater(delay, "an output is not stored yet")

    return {"prediction.succeeded": succeeded}


def removal_handlers(storage: Storage) -> dict[str, Handler]:
    async def asset_deleted(event: Event) -> None:
        await _remove(storage, event.message(AssetDeleted).blob_keys)

    async def media_deleted(event: Event) -> None:
        await _remove(storage, event.message(MediaDeleted).blob_keys)

    return {"asset.deleted": asset_deleted, "media.deleted": media_deleted}


async def _remove(storage: Storage, keys: Iterable[str]) -> None:
    for key in keys:
        await storage.delete(key)


def outputs_of(event: Event, *, now: datetime) -> list[Output]:
    message = event.message(PredictionSucceeded)
    prediction = message.prediction
    expires_at = expiry(_time(message, "expires_at"), _time(message, "completed_at"), event.time, now)
    return [
        Output(
            generation=prediction.generation_id,
            attempt=prediction.attempt_id,
            prediction=prediction.prediction_id,
            round=prediction.round,
            index=output.index,
            url=output.source_url,
            stem=output.blob_key_stem,
            likely_kind=kind_from_proto(message.kind),
            expires_at=expires_at,
            job=prediction.job_id,
            campaign=prediction.campaign_id,
        )
        for output in message.outputs
    ]


def _time(message: PredictionSucceeded, field: str) -> datetime | None:
    value: Timestamp = getattr(message, field)
    return value.ToDatetime(UTC) if message.HasField(field) else None  # type: ignore[arg-type]
