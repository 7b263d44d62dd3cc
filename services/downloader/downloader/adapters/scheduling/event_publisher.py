"""Publishes `download.*` events to the event log."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from downloader.core.fetching.domain.fetch_errors import FetchError
from downloader.core.fetching.domain.media import StoredFile
from downloader.core.scheduling.domain.outputs import Output
from downloader.proto_enums import facts_to_proto
from events.envelope import envelope
from rushes.common.v1.media_pb2 import Error
from rushes.events.v1.events_pb2 import (
    DownloadCompleted,
    DownloadFailed,
    DownloadProgressed,
    DownloadStarted,
    PredictionRef,
)
from servicekit.events import EventLog


class DownloadEventPublisher:
    """See `core.scheduling.ports.DownloadEvents`."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    async def started(self, output: Output) -> None:
        message = DownloadStarted(prediction=_ref(output), index=output.index)
        await self._log.publish(envelope(message))

    async def progressed(self, output: Output, received: int, announced: int) -> None:
        message = DownloadProgressed(
            prediction=_ref(output), index=output.index, received_bytes=received, total_bytes=announced
        )
        await self._log.publish(envelope(message))

    async def completed(self, output: Output, stored: StoredFile) -> None:
        message = DownloadCompleted(
            prediction=_ref(output), index=output.index, blob_key=stored.key, facts=facts_to_proto(stored)
        )
        await self._log.publish(envelope(message))

    async def failed(self, output: Output, error: FetchError) -> None:
        expires_at = Timestamp()
        expires_at.FromDatetime(output.expires_at)
        message = DownloadFailed(
            prediction=_ref(output),
            index=output.index,
            error=Error(code=error.code.value, message=error.message, retryable=error.is_retryable),
            expires_at=expires_at,
        )
        await self._log.publish(envelope(message))


def _ref(output: Output) -> PredictionRef:
    return PredictionRef(
        generation_id=output.generation,
        attempt_id=output.attempt,
        prediction_id=output.prediction,
        job_id=output.job,
        campaign_id=output.campaign,
        round=output.round,
    )
