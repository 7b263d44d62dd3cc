"""Publishes what becomes of a requested cut as `stitch.*` events."""

from __future__ import annotations

from typing import Any

import structlog

from events.envelope import envelope
from rushes.common.v1 import media_pb2
from rushes.events.v1 import events_pb2
from servicekit.clock import Clock
from servicekit.errors import Unavailable
from servicekit.events import EventLog
from stitcher.core.cuts.ports import MadeCut
from stitcher.core.media.domain import FileFacts

PROGRESS_INTERVAL = 1.0
"""Seconds between two `stitch.progressed` of one step of a cut."""


class CutEventPublisher:
    """Publishes the events of one delivery of one `stitch.requested`."""

    def __init__(
        self, log: EventLog, clock: Clock, request: events_pb2.StitchRequested, delivery: int
    ) -> None:
        self._events = log
        self._clock = clock
        self._round = request.round
        self._delivery = delivery
        self._cut: dict[str, Any] = {
            "job_id": request.job_id, "campaign_id": request.campaign_id, "version": request.version
        }  # fmt: skip
        self._started = False
        self._reports = 0
        self._step = ""
        self._published_at = 0.0
        self._log = structlog.get_logger(__name__).bind(job_id=request.job_id, version=request.version)

    async def progress(self, percent: float, message: str) -> None:
        now = self._clock.monotonic()
        if message == self._step and now - self._published_at < PROGRESS_INTERVAL:
            return
        self._step = message
        self._reports += 1
        progress = media_pb2.Progress(percent=round(percent, 1), message=message)
        delivery: dict[str, Any] = {"round": self._round, "delivery": self._delivery}
        try:
            if not self._started:
                started = events_pb2.StitchStarted(**self._cut, **delivery)
                await self._events.publish(envelope(started))
                self._started = True
            progressed = events_pb2.StitchProgressed(
                **self._cut, **delivery, progress=progress, report=self._reports
            )
            await self._events.publish(envelope(progressed))
        except Unavailable as error:
            self._log.warning("progress not published", percent=progress.percent, reason=error.message)
        self._published_at = self._clock.monotonic()

    async def completed(self, cut: MadeCut) -> None:
        completed = events_pb2.StitchCompleted(
            **self._cut,
            cut_key=cut.cut_key,
            thumbnail_key=cut.thumbnail_key,
            facts=_facts_message(cut.facts),
        )
        self._log.info("cut completed", again=cut.already_stored, duration_s=cut.facts.duration)
        await self._events.publish(envelope(completed))

    async def failed(self, code: str, message: str, *, retryable: bool) -> None:
        error = media_pb2.Error(code=code, message=message, retryable=retryable)
        self._log.warning("cut failed", code=code, reason=message)
        failed = events_pb2.StitchFailed(**self._cut, error=error, round=self._round)
        await self._events.publish(envelope(failed))


def _facts_message(cut: FileFacts) -> media_pb2.MediaFacts:
    video, audio = cut.video, cut.audio
    return media_pb2.MediaFacts(
        kind=media_pb2.MEDIA_KIND_VIDEO,
        content_type="video/mp4",
        size_bytes=cut.size,
        sha256=cut.sha256,
        duration_s=float(video.duration) if video else cut.duration,
        width=video.width if video else 0,
        height=video.height if video else 0,
        fps=float(video.rate) if video else 0.0,
        codecs=[track.codec for track in (video, audio) if track],
    )
