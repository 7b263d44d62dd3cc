"""`stitch.requested` over a real event log and a real store: each job ends with one fact, the right one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest_asyncio

from rushes.common.v1 import media_pb2
from rushes.events.v1 import events_pb2
from servicekit.blobs import BlobStore
from servicekit.clock import SystemClock
from servicekit.events import Consumer, Event, EventLog
from servicekit.testing import NatsFixture
from stitcher.adapters.ffmpeg import FFmpegBinary
from stitcher.adapters.poster import PosterMaker
from stitcher.adapters.probe import AvProber
from stitcher.adapters.workspace import WorkFolders
from stitcher.core.make_cut import MakeCut
from stitcher.core.plan import Encoder
from stitcher.edges.events import CutEvents, cuts_consumer

JOB = "job_01J00000000000000000000000"


@pytest_asyncio.fixture
async def log(nats: NatsFixture) -> AsyncIterator[EventLog]:
    events = EventLog(nats, service="stitcher", clock=SystemClock())
    await events.start()
    yield events
    await events.stop()


@pytest_asyncio.fixture
async def cuts(log: EventLog, blobs: BlobStore, tmp_path: Path) -> AsyncIterator[Consumer]:
    work = WorkFolders(tmp_path / "work")
    await work.start()
    make = MakeCut(
        blobs=blobs,
        ffmpeg=FFmpegBinary(),
        prober=AvProber(),
        posters=PosterMaker(),
        workspace=work,
        encoder=Encoder("ultrafast"),
    )
    consumer = Consumer(log, cuts_consumer(1), CutEvents(make, log, SystemClock()).handlers())
    yield consumer
    await consumer.stop()
    await work.stop()


async def store(blobs: BlobStore, clips: Sequence[Path]) -> list[events_pb2.EditClip]:
    edit = []
    for index, path in enumerate(clips):
        key = f"media/gen_{index}/0.mp4"
        await blobs.put_file(key, path, content_type="video/mp4")
        edit.append(events_pb2.EditClip(scene_id=f"scn_{index}", blob_key=key, seconds=1.0))
    return edit


def requested(clips: Sequence[events_pb2.EditClip], *, round_: int = 1, music: str = "") -> Event:
    asked = events_pb2.StitchRequested(
        job_id=JOB,
        campaign_id="cmp_1",
        version=1,
        width=320,
        height=180,
        fps=24,
        clips=clips,
        music=events_pb2.EditMusic(blob_key=music) if music else None,
        cut_key=f"cuts/{JOB}/v1.mp4",
        poster_key=f"thumbs/{JOB}-v1.jpg",
        round=round_,
    )
    return Event(
        id=f"{JOB}:stitch:{round_}", type="stitch.requested", key=JOB, data=asked.SerializeToString()
    )


async def said(log: EventLog, *, until: str) -> list[Event]:
    found: list[Event] = []
    async with asyncio.timeout(10):
        async for event in await log.tail(["stitch.>"], after=0):
            found.append(event)
            if event.type == until:
                return found
    raise AssertionError("the log ended")


async def test_a_requested_cut_is_stored_checked_and_said(
    log: EventLog, blobs: BlobStore, cuts: Consumer, clip, music: Path
) -> None:
    clips = await store(blobs, [clip(color="red"), clip(color="lime", tone=440)])
    await blobs.put_file("assets/a/original.wav", music, content_type="audio/wav")
    await log.publish(requested(clips, music="assets/a/original.wav"))
    assert await cuts.run_once(wait=5) == 1

    facts = await said(log, until="stitch.completed")
    assert [fact.type for fact in facts[:3]] == ["stitch.requested", "stitch.started", "stitch.progressed"]
    assert facts[-1].id == f"{JOB}:v1:completed"
    assert facts[-1].refs == {"job": JOB, "campaign": "cmp_1"}
    done = facts[-1].message(events_pb2.StitchCompleted)
    assert (done.facts.kind, done.facts.content_type) == (media_pb2.MEDIA_KIND_VIDEO, "video/mp4")
    assert (done.facts.width, done.facts.height, done.facts.fps, done.facts.duration_s) == (320, 180, 24, 2)
    assert list(done.facts.codecs) == ["h264", "aac"]
    stored = await blobs.stat(done.cut_key)
    assert (stored.size, stored.content_type) == (done.facts.size_bytes, "video/mp4")
    assert (await blobs.stat(done.poster_key)).content_type == "image/jpeg"


async def test_an_edit_that_cannot_be_made_fails_with_the_field(
    log: EventLog, blobs: BlobStore, cuts: Consumer, clip
) -> None:
    clips = await store(blobs, [clip(color="red")])
    clips[0].seconds = -1
    await log.publish(requested(clips))
    assert await cuts.run_once(wait=5) == 1
    failed = (await said(log, until="stitch.failed"))[-1].message(events_pb2.StitchFailed)
    assert failed.failure.code == "invalid"
    assert "clips[0].seconds: -1" in failed.failure.message
    assert not failed.failure.retryable
