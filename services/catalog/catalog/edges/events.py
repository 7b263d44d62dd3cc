"""Translates the facts of generator, downloader and stitcher into commands; each is applied once."""

from __future__ import annotations

from datetime import UTC, datetime

import structlog
from google.protobuf.timestamp_pb2 import Timestamp

from catalog.core.generations.domain import commands as gc
from catalog.core.inbox.service import Inbox
from catalog.proto_enums import error_from_proto, facts_from_proto
from rushes.events.v1 import events_pb2 as pb
from servicekit.clock import Clock
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
    """What the generator says."""

    def __init__(self, handlers: Inbox, clock: Clock, *, max_attempts: int) -> None:
        self._handlers = handlers
        self._clock = clock
        self._max_attempts = max_attempts
        self._log = structlog.get_logger(__name__)

    def handlers(self) -> dict[str, Handler]:
        """What the consumer `catalog-predictions` calls."""
        return {
            "prediction.started": self.started,
            "prediction.progressed": self.progressed,
            "prediction.succeeded": self.succeeded,
            "prediction.failed": self.failed,
            "prediction.canceled": self.canceled,
        }

    async def started(self, event: Event) -> None:
        """The provider runs it."""
        whose = event.message(pb.PredictionStarted).prediction
        await self._apply(
            event, whose, gc.RecordStarted(self._clock.now(), whose.attempt_id, whose.prediction_id)
        )

    async def progressed(self, event: Event) -> None:
        """How far it is."""
        fact = event.message(pb.PredictionProgressed)
        told = fact.progress
        await self._handlers.running(fact.prediction.generation_id, told.percent, told.message)

    async def succeeded(self, event: Event) -> None:
        """Its outputs wait to be fetched."""
        fact = event.message(pb.PredictionSucceeded)
        command = gc.RecordSucceeded(
            self._clock.now(),
            fact.prediction.attempt_id,
            fact.prediction.prediction_id,
            count=len(fact.outputs),
            cost_micros=fact.cost_micros,
            expires_at=_moment(fact.expires_at) if fact.HasField("expires_at") else None,
        )
        await self._apply(event, fact.prediction, command)

    async def failed(self, event: Event) -> None:
        """It was given up at the provider."""
        fact = event.message(pb.PredictionFailed)
        command = gc.RecordFailed(
            self._clock.now(),
            fact.prediction.attempt_id,
            fact.prediction.prediction_id,
            error_from_proto(fact.failure),
            cost_micros=fact.cost_micros,
            retry_after=fact.retry_after_s,
            max_attempts=self._max_attempts,
            most_retries=fact.most_retries if fact.HasField("most_retries") else None,
        )
        await self._apply(event, fact.prediction, command)

    async def canceled(self, event: Event) -> None:
        """It was stopped at the provider."""
        fact = event.message(pb.PredictionCanceled)
        command = gc.RecordCanceled(
            self._clock.now(),
            fact.prediction.attempt_id,
            fact.prediction.prediction_id,
            cost_micros=fact.cost_micros,
            by_deadline=fact.by_deadline,
        )
        await self._apply(event, fact.prediction, command)

    async def _apply(self, event: Event, whose: pb.PredictionRef, command: gc.GenerationCommand) -> None:
        dearer = await self._handlers.of_generation(PREDICTIONS.name, event.id, whose.generation_id, command)
        if dearer is not None:
            self._log.error(
                "a run has cost more than was set aside for it: it is booked, cap or no cap; "
                "put the model's price or its bounds right in PRICES_FILE",
                generation=whose.generation_id,
                attempt=dearer.attempt_id,
                reserved_micros=dearer.reserved,
                cost_micros=dearer.cost,
            )


class DownloadEvents:
    """What the downloader says."""

    def __init__(self, handlers: Inbox, clock: Clock) -> None:
        self._handlers = handlers
        self._clock = clock

    def handlers(self) -> dict[str, Handler]:
        """What the consumer `catalog-downloads` calls."""
        return {
            "download.progressed": self.progressed,
            "download.completed": self.completed,
            "download.failed": self.failed,
        }

    async def progressed(self, event: Event) -> None:
        """How far one output is."""
        fact = event.message(pb.DownloadProgressed)
        percent = 100 * fact.received_bytes / fact.total_bytes if fact.total_bytes > 0 else 0.0
        told = f"fetching from the provider: {fact.received_bytes / 1e6:.1f} MB"
        await self._handlers.fetching(fact.prediction.generation_id, min(percent, 100.0), told)

    async def completed(self, event: Event) -> None:
        """One output is stored."""
        fact = event.message(pb.DownloadCompleted)
        command = gc.RecordStored(
            self._clock.now(),
            fact.prediction.attempt_id,
            fact.index,
            new_id("media"),
            fact.blob_key,
            facts_from_proto(fact.facts),
        )
        await self._handlers.of_generation(DOWNLOADS.name, event.id, fact.prediction.generation_id, command)

    async def failed(self, event: Event) -> None:
        """One output is given up."""
        fact = event.message(pb.DownloadFailed)
        command = gc.RecordLost(
            self._clock.now(),
            fact.prediction.attempt_id,
            fact.index,
            error_from_proto(fact.failure),
            fact.prediction.round,
            _moment(fact.expires_at) if fact.HasField("expires_at") else None,
        )
        await self._handlers.of_generation(DOWNLOADS.name, event.id, fact.prediction.generation_id, command)


class StitchEvents:
    """What the stitcher says."""

    def __init__(self, handlers: Inbox) -> None:
        self._handlers = handlers
        self._log = structlog.get_logger(__name__)

    def handlers(self) -> dict[str, Handler]:
        """What the consumer `catalog-stitches` calls."""
        return {
            "stitch.started": self.started,
            "stitch.progressed": self.progressed,
            "stitch.completed": self.completed,
            "stitch.failed": self.failed,
        }

    async def started(self, event: Event) -> None:
        """A cut is being made."""
        fact = event.message(pb.StitchStarted)
        await self._handlers.stitching(fact.job_id, fact.version, 0.0, "stitching")

    async def progressed(self, event: Event) -> None:
        """How far a cut is."""
        fact = event.message(pb.StitchProgressed)
        told = fact.progress
        await self._handlers.stitching(fact.job_id, fact.version, told.percent, told.message)

    async def completed(self, event: Event) -> None:
        """A cut is stored."""
        fact = event.message(pb.StitchCompleted)
        keys = (fact.cut_key, fact.poster_key)
        facts = facts_from_proto(fact.facts)
        await self._handlers.cut_stored(STITCHES.name, event.id, fact.job_id, fact.version, keys, facts)

    async def failed(self, event: Event) -> None:
        """A cut was given up."""
        fact = event.message(pb.StitchFailed)
        self._log.warning("cut failed", job=fact.job_id, code=fact.failure.code, why=fact.failure.message)
        error = error_from_proto(fact.failure)
        await self._handlers.cut_failed(STITCHES.name, event.id, fact.job_id, fact.version, error)


def _moment(message: Timestamp) -> datetime:
    return message.ToDatetime(tzinfo=UTC)
