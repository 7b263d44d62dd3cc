"""Translates facts into use cases and back: `stitch.requested` into a cut, new files into small pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog

from rushes.common.v1 import media_pb2
from rushes.events.v1 import events_pb2
from servicekit.clock import Clock
from servicekit.errors import Invalid, NotFound, Unavailable
from servicekit.events import ConsumerSpec, Event, EventLog, Handler
from stitcher.core.edit import Clip, Edit, Music
from stitcher.core.facts import FileFacts
from stitcher.core.make_cut import Made, MakeCut, Order
from stitcher.core.make_thumbnail import Kind, MakeThumbnail
from stitcher.core.ports import CutFailed

FACTS_EVERY = 1.0
"""Seconds between two `stitch.progressed` of one step of a cut."""

PATIENCE = 3
"""Deliveries on which a missing clip may still turn up before the cut is given up."""

_KINDS: Mapping[int, Kind] = {
    media_pb2.MEDIA_KIND_VIDEO: Kind.VIDEO,
    media_pb2.MEDIA_KIND_IMAGE: Kind.IMAGE,
    media_pb2.MEDIA_KIND_AUDIO: Kind.AUDIO,
}


def cuts_consumer(cuts_at_once: int) -> ConsumerSpec:
    """The durable for cuts: four in work over all replicas."""
    return ConsumerSpec(
        name="stitcher-cuts", subjects=("stitch.requested.>",), slots=cuts_at_once, max_in_flight=4
    )


def thumbnails_consumer() -> ConsumerSpec:
    """The durable for small pictures."""
    return ConsumerSpec(name="stitcher-thumbnails", subjects=("asset.created.>", "media.stored.>"), slots=2)


class CutEvents:
    """Answers `stitch.requested` with `stitch.started`, `.progressed` and one of `.completed`, `.failed`."""

    def __init__(self, make_cut: MakeCut, log: EventLog, clock: Clock) -> None:
        self._make_cut = make_cut
        self._events = log
        self._clock = clock

    def handlers(self) -> dict[str, Handler]:
        """What the consumer `stitcher-cuts` calls."""
        return {"stitch.requested": self.requested}

    async def requested(self, event: Event) -> None:
        """Make the cut, or say again what became of it."""
        asked: events_pb2.StitchRequested = event.message(events_pb2.StitchRequested)
        voice = _Voice(asked, event, self._events, self._clock)
        try:
            made = await self._make_cut.run(_order(asked), voice.progress)
        except CutFailed as failure:
            await voice.failed(failure.code, failure.message, retryable=True)
        except Invalid as error:
            await voice.failed("invalid", error.message, retryable=False)
        except NotFound as error:
            if event.deliveries < PATIENCE:
                raise
            await voice.failed("not_found", error.message, retryable=True)
        else:
            await voice.completed(made)


class _Voice:
    """Says the facts of one cut."""

    def __init__(self, asked: events_pb2.StitchRequested, event: Event, log: EventLog, clock: Clock) -> None:
        self._asked = asked
        self._turn = f"{asked.round}.{event.deliveries}"
        self._events = log
        self._clock = clock
        self._started = False
        self._reports = 0
        self._step = ""
        self._said_at = 0.0
        self._log = structlog.get_logger(__name__).bind(job=asked.job_id, version=asked.version)

    async def progress(self, percent: float, message: str) -> None:
        """Say each step at once and how far it is once a second; before the first, that it has started.

        What cannot be said is left out: a log that is away is no reason to end the work.
        """
        ago = self._clock.monotonic() - self._said_at
        if message == self._step and ago < FACTS_EVERY:
            return
        self._step = message
        self._reports += 1
        told = media_pb2.Progress(percent=round(percent, 1), message=message)
        fact = events_pb2.StitchProgressed(**self._whose(), progress=told)
        try:
            if not self._started:
                started = events_pb2.StitchStarted(**self._whose())
                await self._say("started", f"started:{self._turn}", started.SerializeToString())
                self._started = True
            await self._say(
                "progressed", f"progressed:{self._turn}:{self._reports}", fact.SerializeToString()
            )
        except Unavailable as error:
            self._log.warning("progress not told", percent=round(percent, 1), reason=error.message)
        self._said_at = self._clock.monotonic()

    async def completed(self, made: Made) -> None:
        """Say that the cut is stored and checked."""
        fact = events_pb2.StitchCompleted(
            **self._whose(),
            cut_key=self._asked.cut_key,
            poster_key=self._asked.poster_key,
            facts=_facts(made.facts),
        )
        self._log.info("cut completed", again=made.again, duration_s=made.facts.duration)
        await self._say("completed", "completed", fact.SerializeToString())

    async def failed(self, code: str, message: str, *, retryable: bool) -> None:
        """Say that the cut is given up, and why."""
        failure = media_pb2.Failure(code=code, message=message, retryable=retryable)
        fact = events_pb2.StitchFailed(**self._whose(), failure=failure)
        self._log.warning("cut failed", code=code, reason=message)
        await self._say("failed", f"failed:{self._asked.round}", fact.SerializeToString())

    def _whose(self) -> dict[str, Any]:
        asked = self._asked
        return {"job_id": asked.job_id, "campaign_id": asked.campaign_id, "version": asked.version}

    async def _say(self, fact: str, id_end: str, data: bytes) -> None:
        asked = self._asked
        refs = {"job": asked.job_id, "campaign": asked.campaign_id}
        await self._events.publish(
            Event(
                id=f"{asked.job_id}:v{asked.version}:{id_end}",
                type=f"stitch.{fact}",
                key=asked.job_id,
                data=data,
                refs={name: value for name, value in refs.items() if value},
            )
        )


class ThumbnailEvents:
    """Answers new assets and media with their small pictures."""

    def __init__(self, make_thumbnail: MakeThumbnail) -> None:
        self._make_thumbnail = make_thumbnail
        self._log = structlog.get_logger(__name__)

    def handlers(self) -> dict[str, Handler]:
        """What the consumer `stitcher-thumbnails` calls."""
        return {"asset.created": self.asset_created, "media.stored": self.media_stored}

    async def asset_created(self, event: Event) -> None:
        """A photo, a logo or music was uploaded."""
        fact: events_pb2.AssetCreated = event.message(events_pb2.AssetCreated)
        await self._make(event, fact.blob_key, fact.thumbnail_key, fact.kind)

    async def media_stored(self, event: Event) -> None:
        """An output of a model is on record."""
        fact: events_pb2.MediaStored = event.message(events_pb2.MediaStored)
        await self._make(event, fact.blob_key, fact.thumbnail_key, fact.kind)

    async def _make(self, event: Event, blob_key: str, thumbnail_key: str, kind: int) -> None:
        """Make the picture. A file that is not there was deleted before its turn came: then there is none."""
        if not thumbnail_key:
            return
        try:
            known = _KINDS.get(kind, Kind.UNKNOWN)
            await self._make_thumbnail.run(blob_key, thumbnail_key, kind=known, new=event.deliveries == 1)
        except NotFound:
            self._log.info("no small picture: the file is gone", blob=blob_key, fact=event.id)


def _order(asked: events_pb2.StitchRequested) -> Order:
    clips = tuple(Clip(clip.scene_id, clip.blob_key, clip.seconds) for clip in asked.clips)
    music = Music(asked.music.blob_key, asked.music.gain_db) if asked.HasField("music") else None
    edit = Edit(asked.width, asked.height, asked.fps, clips, asked.crossfade_seconds, music)
    return Order(edit, asked.cut_key, asked.poster_key)


def _facts(cut: FileFacts) -> media_pb2.MediaFacts:
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
