"""The whole process: settings, health, a kill in the middle, and memory while much goes through."""

from __future__ import annotations

import asyncio
import os
import signal
import struct
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from google.protobuf.timestamp_pb2 import Timestamp

from events.topology import streams
from rushes.common.v1.media_pb2 import MEDIA_KIND_AUDIO
from rushes.events.v1.events_pb2 import DownloadCompleted, Output, PredictionRef, PredictionSucceeded
from servicekit.clock import SystemClock
from servicekit.events import Event, EventLog
from servicekit.testing import eventually

SIZE = 320_000_000
"""Bytes: well over what the memory may grow by."""


def wav_header(size: int) -> bytes:
    form = struct.pack("<IHHIIHH", 16, 1, 2, 48000, 192000, 4, 16)
    return b"".join(
        (b"RIFF", struct.pack("<I", size + 36), b"WAVEfmt ", form, b"data", struct.pack("<I", size))
    )


@asynccontextmanager
async def downloader(
    nats, s3, bucket: str, origin, folder: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    environ = {
        "PATH": os.environ["PATH"],
        "NATS_URL": nats,
        "BLOB_ENDPOINT": s3.endpoint,
        "BLOB_ACCESS_KEY": s3.access_key,
        "BLOB_SECRET_KEY": s3.secret_key,
        "BLOB_BUCKET": bucket,
        "FETCH_ALLOW": f"127.0.0.1:{origin.port}",
        "SPOOL_DIR": str(folder),
        "PROBE_WORKERS": "1",
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "downloader", env=environ)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()


def resident(pid: int) -> int:
    """Bytes of memory that the process has had at most."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmHWM:")[2].split()[0]) * 1024


def big_sound(origin):
    """A script that sends SIZE bytes of silence, and where the first one stops for good."""
    stuck = asyncio.Event()

    async def whole(request, reply) -> None:
        await reply.head(200, Content_Length=SIZE + 44)
        await reply.send(wav_header(SIZE))
        for _ in range(SIZE // 1_000_000):
            await reply.send(bytes(1_000_000))

    async def part(request, reply) -> None:
        await reply.head(200, Content_Length=SIZE + 44)
        await reply.send(wav_header(SIZE))
        for _ in range(40):
            await reply.send(bytes(1_000_000))
        stuck.set()
        await asyncio.Event().wait()

    return whole, part, stuck


def work(url: str) -> Event:
    expires_at = Timestamp()
    expires_at.GetCurrentTime()
    expires_at.seconds += 3600
    message = PredictionSucceeded(
        prediction=PredictionRef(generation_id="gen_1", attempt_id="att_1"),
        outputs=[Output(index=0, source_url=url, blob_key_stem="media/gen_1/0")],
        kind=MEDIA_KIND_AUDIO,
        expires_at=expires_at,
    )
    return Event("gen_1:att_1:succeeded:1", "prediction.succeeded", "gen_1", message.SerializeToString())


async def test_killed_in_the_middle_another_finishes_within_bounded_memory(
    nats, s3, blobs, origin, tmp_path
) -> None:
    bucket = blobs._client.bucket
    whole, part, stuck = big_sound(origin)
    log = EventLog(nats, service="test", clock=SystemClock(), streams=streams())
    await log.start()
    await log.publish(work(origin.answer_in_turn(part, whole)))
    async with downloader(nats, s3, bucket, origin, tmp_path) as first:
        await asyncio.wait_for(stuck.wait(), 20)
        first.kill()
        await first.wait()
    assert [blob.key async for blob in blobs.list()] == []
    left_behind = [path for path in tmp_path.glob("replica-*/*") if path.name != "lock"]
    assert left_behind
    async with downloader(nats, s3, bucket, origin, tmp_path) as second:
        await eventually(lambda: not any(path.exists() for path in left_behind), within=20)
        idle = resident(second.pid)
        tail = await log.tail(("download.completed.>",), after=0)
        async with asyncio.timeout(80):  # the first one's lease and claim run out first
            fact = (await anext(tail)).message(DownloadCompleted)
        await tail.aclose()
        assert resident(second.pid) - idle < 120e6
    await log.stop()
    assert fact.facts.size_bytes == SIZE + 44
    assert (await blobs.stat("media/gen_1/0.wav")).size == SIZE + 44
    assert [blob.key async for blob in blobs.list()] == ["media/gen_1/0.wav"]
    assert second.returncode == 0
    assert not list(tmp_path.glob("replica-*"))
