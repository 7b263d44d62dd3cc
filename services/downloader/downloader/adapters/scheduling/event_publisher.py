"""Publishes `download.*` events to the event log."""

from __future__ import annotations

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from downloader.core.fetching.domain.fetch_errors import FetchError
from downloader.core.fetching.domain.media import StoredFile
from downloader.core.scheduling.domain.outputs import Output
from downloader.proto_enums import facts_to_proto
from events.envelope import envelope
from rushes.common.v1 import media_pb2
from rushes.events.v1 import events_pb2 as pb
from servicekit.events import EventLog


class DownloadEventPublisher:
    """See `core.scheduling.ports.DownloadEvents`."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    async def started(self, output: Output) -> None:
        await self._publish(pb.DownloadStarted(prediction=_ref(output), index=output.index))

    async def progressed(self, output: Output, received: int, announced: int) -> None:
        message = pb.DownloadProgressed(
            prediction=_ref(output), index=output.index, received_bytes=received, total_bytes=announced
        )
        await self._publish(message)

    async def completed(self, output: Output, stored: StoredFile) -> None:
        facts = facts_to_proto(stored)
        message = pb.DownloadCompleted(
            prediction=_ref(output), index=output.index, blob_key=stored.key, facts=facts
        )
        await self._publish(message)

    async def failed(self, output: Output, error: FetchError) -> None:
        expires_at = Timestamp()
        expires_at.FromDatetime(output.expires_at)
        reason = media_pb2.Error(code=error.code, message=error.message, retryable=error.is_retryable)
        message = pb.DownloadFailed(
            prediction=_ref(output), index=output.index, error=reason, expires_at=expires_at
        )
        await self._publish(message)

    async def _publish(self, message: Message) -> None:
        await self._log.publish(envelope(message))


def _ref(output: Output) -> pb.PredictionRef:
    return pb.PredictionRef(
        generation_id=output.generation,
        attempt_id=output.attempt,
        prediction_id=output.prediction,
        job_id=output.job,
        campaign_id=output.campaign,
        round=output.round,
    )
