"""Says `download.*` facts in the event log."""

from __future__ import annotations

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from downloader.core.containers.domain import Stored
from downloader.core.fetching.domain.fetch_errors import FetchFailed
from downloader.core.scheduling.domain.outputs import Output
from downloader.proto_enums import facts_to_wire
from rushes.common.v1.media_pb2 import Failure
from rushes.events.v1.events_pb2 import (
    DownloadCompleted,
    DownloadFailed,
    DownloadProgressed,
    DownloadStarted,
    PredictionRef,
)
from servicekit.events import Event, EventLog


class LoggedFacts:
    """See `core.ports.Facts`. Ids are those of docs/flow.md: saying a fact twice is saying it once."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    async def started(self, output: Output) -> None:
        """Fetching begins."""
        message = DownloadStarted(prediction=_ref(output), index=output.index)
        await self._say(output, "started", f"started:{output.round}", message)

    async def progressed(self, output: Output, received: int, total: int) -> None:
        """So many bytes are here."""
        message = DownloadProgressed(
            prediction=_ref(output), index=output.index, received_bytes=received, total_bytes=total
        )
        await self._say(output, "progressed", f"progressed:{received}", message)

    async def completed(self, output: Output, stored: Stored) -> None:
        """It is stored."""
        message = DownloadCompleted(
            prediction=_ref(output), index=output.index, blob_key=stored.key, facts=facts_to_wire(stored)
        )
        await self._say(output, "completed", "completed", message)

    async def failed(self, output: Output, failure: FetchFailed) -> None:
        """It is given up."""
        expires_at = Timestamp()
        expires_at.FromDatetime(output.expires_at)
        message = DownloadFailed(
            prediction=_ref(output),
            index=output.index,
            failure=Failure(code=failure.code.value, message=failure.message, retryable=failure.is_retryable),
            expires_at=expires_at,
        )
        await self._say(output, "failed", f"failed:{output.round}", message)

    async def _say(self, output: Output, fact: str, id_end: str, message: Message) -> None:
        refs = {"job": output.job, "generation": output.generation, "campaign": output.campaign}
        await self._log.publish(
            Event(
                id=f"{output.generation}:{output.attempt}:{output.index}:{id_end}",
                type=f"download.{fact}",
                key=output.generation,
                data=message.SerializeToString(),
                refs={name: value for name, value in refs.items() if value},
            )
        )


def _ref(output: Output) -> PredictionRef:
    return PredictionRef(
        generation_id=output.generation,
        attempt_id=output.attempt,
        prediction_id=output.prediction,
        job_id=output.job,
        campaign_id=output.campaign,
        round=output.round,
    )
