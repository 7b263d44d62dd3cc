"""The stitcher as a process: starts from its environment, serves, stops in order, survives being killed."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from events.topology import streams
from rushes.edit.v1 import edit_pb2
from rushes.events.v1 import events_pb2
from servicekit.blobs import BlobStore
from servicekit.clock import SystemClock
from servicekit.events import Consumer, Event, EventLog
from servicekit.grpc.client import open_channel
from servicekit.testing import NatsFixture, S3Server, eventually
from stitcher.edges.events import cuts_consumer
from stitcher.main import build

JOB = "job_01J00000000000000000000001"
MEDIA = "med_01J00000000000000000000002"


def environment(nats: str, s3: S3Server, blobs: BlobStore, work: Path) -> dict[str, str]:
    return {
        "GRPC_LISTEN": "127.0.0.1:0",
        "NATS_URL": str(nats),
        "BLOB_ENDPOINT": s3.endpoint,
        "BLOB_ACCESS_KEY": s3.access_key,
        "BLOB_SECRET_KEY": s3.secret_key,
        "BLOB_BUCKET": blobs._client.bucket,
        "STITCHER_WORK_DIR": str(work),
        "STITCHER_PRESET": "faster",
        "RUSHES_LOG": "json",
    }


@asynccontextmanager
async def stitcher(env: dict[str, str]) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """A running stitcher and its gRPC port."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "stitcher", env={**os.environ, **env}, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        port = 0
        async with asyncio.timeout(20):
            while not port:
                line = await process.stdout.readline()
                assert line, f"ended with {await process.wait()}"
                entry = json.loads(line)
                port = entry.get("port", 0) if entry["event"] == "grpc listening" else 0
        yield process, port
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def request_cut(blobs: BlobStore, log: EventLog, path: Path, seconds: float) -> None:
    await blobs.put_file("media/g/0.mp4", path, content_type="video/mp4")
    request = events_pb2.StitchRequested(
        job_id=JOB,
        version=1,
        edit=edit_pb2.Edit(
            width=1280, height=720, fps=30, clips=[edit_pb2.Clip(media_id=MEDIA, out_seconds=seconds)]
        ),
        blob_keys={MEDIA: "media/g/0.mp4"},
        cut_key="cuts/j/v1.mp4",
        thumbnail_key="thumbs/j-v1.jpg",
        round=1,
    )
    await log.publish(
        Event(id="1", type="stitch.requested", key=JOB, data=request.SerializeToString(), refs={"job": JOB})
    )


def working(work: Path) -> list[int]:
    """Ids of the processes that work below a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cwd").readlink().is_relative_to(work):
                found.append(int(entry.name))
        except OSError:  # it has ended
            continue
    return found


async def test_it_serves_and_ends_in_order(
    nats: NatsFixture, s3: S3Server, blobs: BlobStore, tmp_path: Path
) -> None:
    async with stitcher(environment(nats, s3, blobs, tmp_path / "work")) as (process, port):
        async with open_channel(f"127.0.0.1:{port}") as channel:
            health = health_pb2_grpc.HealthStub(channel)
            answer = await health.Check(
                health_pb2.HealthCheckRequest(service="rushes.stitcher.v1.StitcherService")
            )
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            assert await process.wait() == 0
    assert not list((tmp_path / "work").glob("replica-*"))


@pytest.mark.parametrize("victim", ["service", "ffmpeg"])
async def test_killed_in_the_middle_of_a_cut_it_is_made_all_the_same_and_once(
    nats: NatsFixture,
    s3: S3Server,
    blobs: BlobStore,
    tmp_path: Path,
    clip: Callable[..., Path],
    victim: str,
) -> None:
    work = tmp_path / "work"
    log = EventLog(nats, service="test", clock=SystemClock(), streams=streams())
    await log.start()
    source = clip(pattern=True, size="640x360", rate="30", seconds=5)
    async with stitcher(environment(nats, s3, blobs, work)) as (process, _):
        await request_cut(blobs, log, source, 5)
        await eventually(lambda: list(work.glob("*/*/cut.mp4")))
        (ffmpeg,) = working(work)
        os.kill(process.pid if victim == "service" else ffmpeg, signal.SIGKILL)
        await eventually(lambda: ffmpeg not in working(work))
        if victim == "service":
            await process.wait()
            await asyncio.gather(finish(environment(nats, s3, blobs, work)), completed(log))
        else:
            await completed(log)
    types = [event.type async for event in stored(log)]
    assert types.count("stitch.completed") == 1
    assert "stitch.failed" not in types
    assert (await blobs.stat("cuts/j/v1.mp4")).size > 1000
    await log.stop()


async def test_stopped_in_the_middle_of_a_cut_it_leaves_nothing_and_gives_it_back(
    nats: NatsFixture, s3: S3Server, blobs: BlobStore, tmp_path: Path, clip: Callable[..., Path]
) -> None:
    work = tmp_path / "work"
    log = EventLog(nats, service="test", clock=SystemClock(), streams=streams())
    await log.start()
    source = clip(pattern=True, size="1280x720", rate="60", seconds=10)
    async with stitcher({**environment(nats, s3, blobs, work), "STITCHER_PRESET": "slower"}) as (process, _):
        await request_cut(blobs, log, source, 10)
        await eventually(lambda: list(work.glob("*/*/cut.mp4")))
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(15):
            assert await process.wait() == 0
        assert working(work) == []
        assert not list(work.glob("replica-*"))
    await asyncio.gather(finish(environment(nats, s3, blobs, work)), completed(log))
    types = [event.type async for event in stored(log)]
    assert (types.count("stitch.completed"), types.count("stitch.failed")) == (1, 0)
    await log.stop()


async def finish(env: dict[str, str]) -> None:
    """Another replica, in this process, which is given the event after one second instead of twenty."""
    parts = build({**env, "STITCHER_PRESET": "ultrafast"})
    cuts = next(part for part in parts if isinstance(part, Consumer))
    for part in parts[:3]:
        await part.start()
    assert not list(Path(env["STITCHER_WORK_DIR"]).glob("*/*/cut.mp4")), "what the dead left is still there"
    quick = Consumer(cuts._events, dataclasses.replace(cuts_consumer(1), ack_wait=1.0), cuts._handlers)
    assert await quick.run_once(wait=15) == 1
    await quick.stop()
    for part in reversed(parts[:3]):
        await part.stop()


async def completed(log: EventLog) -> None:
    async with asyncio.timeout(30):
        async for event in await log.tail(["stitch.>"], after=0):
            if event.type == "stitch.completed":
                return


async def stored(log: EventLog) -> AsyncIterator[Event]:
    """The events published so far, up to a mark."""
    await log.publish(Event(id="mark", type="stitch.mark", key="end"))
    async for event in await log.tail(["stitch.>"], after=0):
        if event.type == "stitch.mark":
            return
        yield event


async def test_missing_settings_are_all_named(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "stitcher"),
        env={"PATH": os.environ["PATH"], "STITCHER_CRF": "low"},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 2
    for name in ("BLOB_ENDPOINT is missing", "BLOB_ACCESS_KEY is missing", "STITCHER_CRF='low'"):
        assert name in out.decode()
