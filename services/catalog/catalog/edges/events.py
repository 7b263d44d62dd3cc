"""Translates the events of generator, downloader and stitcher into decisions; each is applied once."""

from __future__ import annotations

from functools import partial

import structlog

from catalog.core.generations.domain import attempts, outputs, recovery
from catalog.core.generations.domain.requesting import Decision
from catalog.core.inbox.service import Inbox
from catalog.proto_enums import datetime_of, error_from_proto, facts_from_proto, plain_text
from rushes.events.v1 import events_pb2 as pb
from servicekit.events import ConsumerSpec, Event, Handler
from servicekit.ids import new_id

PREDICTIONS = ConsumerSpec(name="catalog-predictions", subjects=("prediction.>",), slots=16)
DOWNLOADS = ConsumerSpec(
    name="catalog-downloads",
    # Not download.started: that an output is being fetched is known since its prediction has succeeded.
    subjects=("download.progressed.>", "download.completed.>", "download.failed.>"),
    slots=16,
)
STITCHES = ConsumerSpec(
    name="catalog-stitches",
    # Not stitch.requested: that is our own.
    subjects=("stitch.started.>", "stitch.progressed.>", "stitch.completed.>", "stitch.failed.>"),
)


class PredictionEvents:
    """Handles what the generator publishes."""

    def __init__(self, inbox: Inbox, *, max_attempts: int) -> None:
        self._inbox = inbox
        self._max_attempts = max_attempts
        self._log = structlog.get_logger(__name__)

    def handlers(self) -> dict[str, Handler]:
        return {
            "prediction.started": self.started,
            "prediction.progressed": self.progressed,
            "prediction.succeeded": self.succeeded,
            "prediction.failed": self.failed,
            "prediction.canceled": self.canceled,
        }

    async def started(self, event: Event) -> None:
        prediction = event.message(pb.PredictionStarted).prediction
        decision = partial(
            attempts.record_started,
            attempt_id=prediction.attempt_id,
            prediction_id=prediction.prediction_id,
        )
        await self._apply(event, prediction, decision)

    async def progressed(self, event: Event) -> None:
        message = event.message(pb.PredictionProgressed)
        progress = message.progress
        decision = partial(
            attempts.record_run_progress, percent=progress.percent, message=plain_text(progress.message)
        )
        await self._inbox.report_progress(message.prediction.generation_id, decision)

    async def succeeded(self, event: Event) -> None:
        message = event.message(pb.PredictionSucceeded)
        decision = partial(
            attempts.record_succeeded,
            attempt_id=message.prediction.attempt_id,
            prediction_id=message.prediction.prediction_id,
            output_count=len(message.outputs),
            cost_micros=message.cost_micros,
            expires_at=datetime_of(message.expires_at) if message.HasField("expires_at") else None,
        )
        await self._apply(event, message.prediction, decision)

    async def failed(self, event: Event) -> None:
        message = event.message(pb.PredictionFailed)
        decision = partial(
            attempts.record_failed,
            attempt_id=message.prediction.attempt_id,
            prediction_id=message.prediction.prediction_id,
            error=error_from_proto(message.error),
            cost_micros=message.cost_micros,
            retry_after=message.retry_after_s,
            max_attempts=self._max_attempts,
            most_retries=message.most_retries if message.HasField("most_retries") else None,
        )
        await self._apply(event, message.prediction, decision)

    async def canceled(self, event: Event) -> None:
        message = event.message(pb.PredictionCanceled)
        decision = partial(
            attempts.record_canceled,
            attempt_id=message.prediction.attempt_id,
            prediction_id=message.prediction.prediction_id,
            cost_micros=message.cost_micros,
            by_deadline=message.by_deadline,
        )
        await self._apply(event, message.prediction, decision)

    async def _apply(self, event: Event, prediction: pb.PredictionRef, decision: Decision) -> None:
        overrun = await self._inbox.apply(PREDICTIONS.name, event.id, prediction.generation_id, decision)
        if overrun is not None:
            self._log.error(
                "a run has cost more than its reserve: it is booked, cap or no cap; "
                "put the model's price or its bounds right in PRICES_FILE",
                generation_id=prediction.generation_id,
                attempt_id=overrun.attempt_id,
                reserved_micros=overrun.reserved,
                cost_micros=overrun.cost,
            )


class DownloadEvents:
    """Handles what the downloader publishes."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    def handlers(self) -> dict[str, Handler]:
        return {
            "download.progressed": self.progressed,
            "download.completed": self.completed,
            "download.failed": self.failed,
        }

    async def progressed(self, event: Event) -> None:
        message = event.message(pb.DownloadProgressed)
        percent = 100 * message.received_bytes / message.total_bytes if message.total_bytes > 0 else 0.0
        text = f"fetching from the provider: {message.received_bytes / 1e6:.1f} MB"
        decision = partial(outputs.record_fetch_progress, percent=min(percent, 100.0), message=text)
        await self._inbox.report_progress(message.prediction.generation_id, decision)

    async def completed(self, event: Event) -> None:
        message = event.message(pb.DownloadCompleted)
        decision = partial(
            outputs.record_stored,
            attempt_id=message.prediction.attempt_id,
            index=message.index,
            media_id=new_id("media"),
            blob_key=message.blob_key,
            facts=facts_from_proto(message.facts),
        )
        await self._inbox.apply(DOWNLOADS.name, event.id, message.prediction.generation_id, decision)

    async def failed(self, event: Event) -> None:
        message = event.message(pb.DownloadFailed)
        decision = partial(
            recovery.record_lost,
            attempt_id=message.prediction.attempt_id,
            index=message.index,
            error=error_from_proto(message.error),
            in_round=message.prediction.round,
            expires_at=datetime_of(message.expires_at) if message.HasField("expires_at") else None,
        )
        await self._inbox.apply(DOWNLOADS.name, event.id, message.prediction.generation_id, decision)


class StitchEvents:
    """Handles what the stitcher publishes."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._log = structlog.get_logger(__name__)

    def handlers(self) -> dict[str, Handler]:
        return {
            "stitch.started": self.started,
            "stitch.progressed": self.progressed,
            "stitch.completed": self.completed,
            "stitch.failed": self.failed,
        }

    async def started(self, event: Event) -> None:
        message = event.message(pb.StitchStarted)
        await self._inbox.report_stitch_progress(message.job_id, message.version, 0.0, "stitching")

    async def progressed(self, event: Event) -> None:
        message = event.message(pb.StitchProgressed)
        progress = message.progress
        await self._inbox.report_stitch_progress(
            message.job_id, message.version, progress.percent, plain_text(progress.message)
        )

    async def completed(self, event: Event) -> None:
        message = event.message(pb.StitchCompleted)
        keys = (message.cut_key, message.thumbnail_key)
        facts = facts_from_proto(message.facts)
        await self._inbox.record_cut(STITCHES.name, event.id, message.job_id, message.version, keys, facts)

    async def failed(self, event: Event) -> None:
        message = event.message(pb.StitchFailed)
        error = error_from_proto(message.error)
        self._log.warning("cut failed", job_id=message.job_id, code=error.code, why=error.message)
        await self._inbox.record_stitch_failed(
            STITCHES.name, event.id, message.job_id, message.version, error
        )
