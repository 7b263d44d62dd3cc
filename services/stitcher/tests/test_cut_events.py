"""`stitch.requested` over a real event log and a real store: each request ends with exactly one event."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import cast

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from events.topology import streams
from rushes.common.v1 import media_pb2
from rushes.edit.v1 import edit_pb2
from rushes.events.v1 import events_pb2
from servicekit.blobs import BlobStore
from servicekit.clock import SystemClock
from servicekit.errors import NotFound
from servicekit.events import Consumer, Event, EventLog
from servicekit.ids import new_id
from servicekit.testing import NatsFixture, SimulatedClock, eventually
from stitcher.adapters.event_publisher import CutEventPublisher
from stitcher.adapters.ffmpeg import FFmpegBinary, Progress
from stitcher.adapters.probe import AvProber
from stitcher.adapters.thumbnails import PillowThumbnailRenderer
from stitcher.adapters.workspace import WorkFolders
from stitcher.core.cuts.domain.ffmpeg_plan import CUT, Command, Encoder
from stitcher.core.cuts.make_cut import CutRequest, MakeCut
from stitcher.core.cuts.ports import CutFailed, MadeCut, ReportProgress
from stitcher.edges.events import CutEvents, cuts_consumer

JOB = "job_01J00000000000000000000000"
MEDIA = [new_id("media") for _ in range(2)]
ASSET = new_id("asset")


@pytest_asyncio.fixture
async def log(nats: NatsFixture) -> AsyncIterator[EventLog]:
    events = EventLog(nats, service="stitcher", clock=SystemClock(), streams=streams())
    await events.start()
    yield events
    await events.stop()


class OnceBroken(FFmpegBinary):
    """Real FFmpeg, whose next join can be made to fail."""

    broken = False

    async def run(self, command: Command, folder: Path, progress: Progress | None = None) -> str:
        if self.broken and command.arguments[-1] == CUT:
            self.broken = False
            raise CutFailed("ffmpeg", "FFmpeg failed (exit code 1): on purpose")
        return await super().run(command, folder, progress)


@pytest.fixture
def ffmpeg() -> OnceBroken:
    return OnceBroken()


def make_cut(blobs: BlobStore, work: WorkFolders, ffmpeg: FFmpegBinary) -> MakeCut:
    return MakeCut(
        blobs=blobs,
        ffmpeg=ffmpeg,
        prober=AvProber(),
        thumbnails=PillowThumbnailRenderer(),
        workspace=work,
        encoder=Encoder("ultrafast"),
    )


@pytest_asyncio.fixture
async def cuts(
    log: EventLog, blobs: BlobStore, tmp_path: Path, ffmpeg: OnceBroken
) -> AsyncIterator[Consumer]:
    work = WorkFolders(tmp_path / "work")
    await work.start()
    make = make_cut(blobs, work, ffmpeg)
    publisher_for = partial(CutEventPublisher, log, SystemClock())
    consumer = Consumer(log, cuts_consumer(1), CutEvents(make, publisher_for).handlers())
    yield consumer
    await consumer.stop()
    await work.stop()


async def store(blobs: BlobStore, clips: Sequence[Path]) -> list[edit_pb2.Clip]:
    used = []
    for index, path in enumerate(clips):
        await blobs.put_file(f"media/gen_{index}/0.mp4", path, content_type="video/mp4")
        used.append(edit_pb2.Clip(media_id=MEDIA[index], out_seconds=1.0))
    return used


def requested(
    clips: Sequence[edit_pb2.Clip], *, round_: int = 1, music: str = "", texts: Sequence[str] = ()
) -> Event:
    edit = edit_pb2.Edit(width=320, height=180, fps=24, clips=clips)
    edit.texts.extend(edit_pb2.Text(text=text) for text in texts)
    blob_keys = {media_id: f"media/gen_{index}/0.mp4" for index, media_id in enumerate(MEDIA)}
    if music:
        edit.music.asset_id = ASSET
        blob_keys[ASSET] = music
    request = events_pb2.StitchRequested(
        job_id=JOB,
        campaign_id="cmp_1",
        version=1,
        edit=edit,
        blob_keys=blob_keys,
        cut_key=f"cuts/{JOB}/v1.mp4",
        thumbnail_key=f"thumbs/{JOB}-v1.jpg",
        round=round_,
    )
    return Event(
        id=f"{JOB}:stitch:{round_}", type="stitch.requested", key=JOB, data=request.SerializeToString()
    )


async def events_until(log: EventLog, type_: str) -> list[Event]:
    found: list[Event] = []
    async with asyncio.timeout(10):
        async for event in await log.tail(["stitch.>"], after=0):
            found.append(event)
            if event.type == type_:
                return found
    raise AssertionError("the log ended")


async def test_a_requested_cut_is_stored_checked_and_published(
    log: EventLog, blobs: BlobStore, cuts: Consumer, clip: Callable[..., Path], music: Path
) -> None:
    clips = await store(blobs, [clip(color="red"), clip(color="lime", tone=440)])
    await blobs.put_file("assets/a/original.wav", music, content_type="audio/wav")
    await log.publish(requested(clips, music="assets/a/original.wav"))
    assert await cuts.run_once(wait=5) == 1

    events = await events_until(log, "stitch.completed")
    assert [event.type for event in events[:3]] == ["stitch.requested", "stitch.started", "stitch.progressed"]
    assert events[-1].id == f"{JOB}:v1:completed"
    assert events[-1].refs == {"job": JOB, "campaign": "cmp_1"}
    done = events[-1].message(events_pb2.StitchCompleted)
    assert (done.facts.kind, done.facts.content_type) == (media_pb2.MEDIA_KIND_VIDEO, "video/mp4")
    assert (done.facts.width, done.facts.height, done.facts.fps, done.facts.duration_s) == (320, 180, 24, 2)
    assert list(done.facts.codecs) == ["h264", "aac"]
    stored = await blobs.stat(done.cut_key)
    assert (stored.size, stored.content_type) == (done.facts.size_bytes, "video/mp4")
    assert (await blobs.stat(done.thumbnail_key)).content_type == "image/jpeg"


async def test_an_edit_that_cannot_be_made_fails_with_the_field(
    log: EventLog, blobs: BlobStore, cuts: Consumer, clip: Callable[..., Path]
) -> None:
    clips = await store(blobs, [clip(color="red")])
    clips[0].in_seconds = -1
    await log.publish(requested(clips))
    assert await cuts.run_once(wait=5) == 1
    failed = (await events_until(log, "stitch.failed"))[-1].message(events_pb2.StitchFailed)
    assert failed.error.code == "invalid"
    assert "edit.clips[0].in_seconds must be at least 0, and is -1" in failed.error.message
    assert not failed.error.retryable


async def test_a_part_that_cannot_be_made_yet_fails_the_cut_and_is_not_ignored(
    log: EventLog, blobs: BlobStore, cuts: Consumer, clip: Callable[..., Path]
) -> None:
    clips = await store(blobs, [clip(color="red")])
    await log.publish(requested(clips, texts=["hello"]))
    assert await cuts.run_once(wait=5) == 1
    failed = (await events_until(log, "stitch.failed"))[-1].message(events_pb2.StitchFailed)
    assert (failed.error.code, failed.error.retryable) == ("invalid", False)
    assert failed.error.message == "the cut cannot be made: edit.texts: the stitcher cannot draw texts yet"


async def test_a_clip_without_a_stored_media_fails_the_cut_with_its_field(
    log: EventLog, blobs: BlobStore, cuts: Consumer, clip: Callable[..., Path]
) -> None:
    clips = await store(blobs, [clip(color="red"), clip(color="lime")])
    unknown = new_id("media")
    clips[0].media_id, clips[1].media_id = "", unknown
    await log.publish(requested(clips))
    assert await cuts.run_once(wait=5) == 1
    failed = (await events_until(log, "stitch.failed"))[-1].message(events_pb2.StitchFailed)
    assert failed.error.message == (
        "the cut cannot be made: edit.clips[0].media_id: nothing is stored for it yet; "
        f"edit.clips[1].media_id: blob_keys does not tell where {unknown} lies"
    )


async def test_a_second_request_publishes_the_result_again_and_does_not_make_it_again(
    log: EventLog, blobs: BlobStore, cuts: Consumer, clip: Callable[..., Path]
) -> None:
    clips = await store(blobs, [clip(color="red"), clip(color="lime")])
    await log.publish(requested(clips))
    assert await cuts.run_once(wait=5) == 1
    first = await blobs.stat(f"cuts/{JOB}/v1.mp4")
    await log.publish(requested(clips, round_=2))
    assert await cuts.run_once(wait=5) == 1
    assert (await blobs.stat(f"cuts/{JOB}/v1.mp4")).modified_at == first.modified_at
    await log.publish(Event(id="mark", type="stitch.mark", key="end"))
    ids = [event.id for event in await events_until(log, "stitch.mark")]
    assert ids.count(f"{JOB}:v1:completed") == 1
    assert [id_ for id_ in ids if ":started:" in id_] == [f"{JOB}:v1:started:1.1"]


async def test_a_broken_clip_fails_the_job_with_its_reason(
    log: EventLog, blobs: BlobStore, cuts: Consumer, clip: Callable[..., Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(clip(color="blue").read_bytes()[:700])
    clips = await store(blobs, [clip(color="red"), broken])
    await log.publish(requested(clips, round_=4))
    assert await cuts.run_once(wait=5) == 1
    event = (await events_until(log, "stitch.failed"))[-1]
    assert event.id == f"{JOB}:v1:failed:4"
    error = event.message(events_pb2.StitchFailed).error
    assert (error.code, error.retryable) == ("clip", True)
    assert "clip 2 (media/gen_1/0.mp4) cannot be used: it is broken" in error.message
    with pytest.raises(NotFound):
        await blobs.stat(f"cuts/{JOB}/v1.mp4")


async def test_a_missing_clip_is_retried_and_fails_the_cut_on_the_third_delivery(
    log: EventLog, blobs: BlobStore, cuts: Consumer, clip: Callable[..., Path]
) -> None:
    clips = await store(blobs, [clip(color="red"), clip(color="lime")])
    await blobs.delete("media/gen_1/0.mp4")
    event = requested(clips)
    handle = cuts._handlers["stitch.requested"]
    for deliveries in (1, 2):
        with pytest.raises(NotFound):
            await handle(dataclasses.replace(event, deliveries=deliveries))
    await handle(dataclasses.replace(event, deliveries=3))
    error = (await events_until(log, "stitch.failed"))[-1].message(events_pb2.StitchFailed).error
    assert error.code == "not_found"
    assert error.message == "clip 2 is not in the store: media/gen_1/0.mp4"


async def test_two_requests_for_one_cut_at_once_make_it_once(
    log: EventLog, blobs: BlobStore, cuts: Consumer, clip: Callable[..., Path]
) -> None:
    clips = await store(blobs, [clip(color="red")])
    handle = cuts._handlers["stitch.requested"]
    await asyncio.gather(*(handle(requested(clips, round_=number)) for number in (1, 2)))
    await log.publish(Event(id="mark", type="stitch.mark", key="end"))
    ids = [event.id for event in await events_until(log, "stitch.mark")]
    assert len([id_ for id_ in ids if ":started:" in id_]) == 1
    assert ids.count(f"{JOB}:v1:completed") == 1


def progress_of(events: Sequence[Event]) -> list[media_pb2.Progress]:
    return [
        event.message(events_pb2.StitchProgressed).progress
        for event in events
        if event.type == "stitch.progressed"
    ]


async def test_progress_is_published_once_a_second_at_most(log: EventLog) -> None:
    class Chatty:
        async def run(self, request: CutRequest, report: ReportProgress) -> MadeCut:
            await report(0.0, "fetching 2 clips")
            for percent in range(100):
                await report(float(percent), "joining clips")
                clock.advance(0.1)
            raise CutFailed("ffmpeg", "the end")

    clock = SimulatedClock()
    events = CutEvents(cast("MakeCut", Chatty()), partial(CutEventPublisher, log, clock))
    await events.handlers()["stitch.requested"](requested([edit_pb2.Clip(media_id=MEDIA[0], out_seconds=1)]))
    reports = progress_of(await events_until(log, "stitch.failed"))
    assert [each.message for each in reports[:2]] == ["fetching 2 clips", "joining clips"]
    assert 10 <= len(reports[1:]) <= 11
    assert reports[2].percent == pytest.approx(10, abs=1)


async def test_every_step_of_both_attempts_is_published(
    log: EventLog, blobs: BlobStore, cuts: Consumer, clip: Callable[..., Path], ffmpeg: OnceBroken
) -> None:
    clips = await store(blobs, [clip(color="red", tone=440), clip(color="lime")])
    ffmpeg.broken = True
    await log.publish(requested(clips))
    assert await cuts.run_once(wait=5) == 1
    steps = [each.message for each in progress_of(await events_until(log, "stitch.completed"))]
    assert steps[:2] == ["fetching 2 clips", "listening to clips and music"]
    retry = steps.index("trying again: FFmpeg failed (exit code 1): on purpose")
    second = steps[retry + 1 :]
    assert second[:2] == ["fetching 2 clips", "listening to clips and music"]
    assert {"joining clips", "checking the cut"} <= set(second)


async def test_a_log_that_is_away_for_a_while_does_not_end_the_cut(
    nats: NatsFixture, blobs: BlobStore, tmp_path: Path, clip: Callable[..., Path]
) -> None:
    log = EventLog(nats, service="stitcher", clock=SystemClock(), streams=streams(), patience=0.3)
    await log.start()

    class Away(OnceBroken):
        """The log is away while FFmpeg works."""

        async def run(self, command: Command, folder: Path, progress: Progress | None = None) -> str:
            await nats.kill()
            try:
                return await super().run(command, folder, progress)
            finally:
                await nats.restart()
                await eventually(lambda: log.is_connected)

    work = WorkFolders(tmp_path / "work")
    await work.start()
    publisher_for = partial(CutEventPublisher, log, SystemClock())
    events = CutEvents(make_cut(blobs, work, Away()), publisher_for)
    clips = await store(blobs, [clip(color="red")])
    with capture_logs() as lines:
        await events.handlers()["stitch.requested"](requested(clips))
    assert "progress not published" in [line["event"] for line in lines]
    events = await events_until(log, "stitch.completed")
    assert [each.message for each in progress_of(events)] == ["fetching 1 clips", "checking the cut"]
    await work.stop()
    await log.stop()
