"""B6: a large output into the store, by the downloader as a process, beside curl piped into an S3 upload."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from google.protobuf.timestamp_pb2 import Timestamp

from bench import films
from bench.measure import Line, Scale, ratio, side_by_side
from bench.memory import MemoryGain, settled
from events.topology import streams
from rushes.common.v1.media_pb2 import MEDIA_KIND_VIDEO
from rushes.events.v1.events_pb2 import Output, PredictionRef, PredictionSucceeded
from rushes_cli.stack.supervised import is_serving
from servicekit.blobs import BlobStore
from servicekit.clock import SystemClock
from servicekit.embedded.process import ServerProcess, free_port
from servicekit.events import Event, EventLog
from servicekit.testing import S3Server, nats_server, s3_store

PART = 8 * 1024 * 1024
"""Bytes of a part: the blob store's default."""

BUCKET = "rushes"
BAR_MIB = 120
"""MiB above idle that a download may take."""

_PATH = {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
"""For processes that import this package from another folder."""

NOTE = (
    "B6: a film of real H.264 packets, index first, from a sendfile server on this machine; both into the "
    "same SeaweedFS in parts of 8 MiB. Here: from `prediction.succeeded` published to `download.completed` "
    "read back, with SHA-256, every packet found in the index, first and last frames decoded. There: from "
    "the start of curl to the end of the minio client's streaming upload (three parts at once), already "
    "imported; nothing is checked. Memory: the kernel's high-water marks of the downloader and its decoders, "
    "summed, less their idle sizes (there: the uploader's alone); the bar counts the highest run."
)


class Comparison:
    """What both sides use, and both ways to store the file."""

    def __init__(
        self, s3: S3Server, blobs: BlobStore, log: EventLog, url: str, size: int, downloader: int
    ) -> None:
        self._s3 = s3
        self._blobs = blobs
        self._log = log
        self._url = url
        self._size = size
        self._number = 0
        self.gain = MemoryGain(downloader)
        self.peaks: list[float] = []
        self.peer_peaks: list[float] = []

    async def here(self) -> float:
        """MiB a second by the downloader."""
        await self._quiet()
        self._number += 1
        name = f"gen_{self._number}"
        events = await self._log.tail((f"download.completed.{name}", f"download.failed.{name}"))
        self.gain.reset()
        begun = time.perf_counter()
        await self._log.publish(_succeeded(name, self._url))
        event = await anext(events)
        took = time.perf_counter() - begun
        self.peaks.append(self.gain.peak_mib())
        await events.aclose()  # type: ignore[attr-defined]
        assert event.type == "download.completed", event
        return await self._stored(f"media/{name}/0.mp4", took)

    async def there(self) -> float:
        """MiB a second by curl and the minio client."""
        await self._quiet()
        self._number += 1
        key = f"peer/{self._number}.mp4"
        reading, writing = os.pipe()
        upload = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bench.peer_upload", self._s3.endpoint, BUCKET, key, str(PART)),
            stdin=reading,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, **_keys(self._s3), **_PATH},
        )
        os.close(reading)
        assert upload.stdout is not None
        assert await upload.stdout.readline() == b"ready\n"
        begun = time.perf_counter()
        curl = await asyncio.create_subprocess_exec(
            "curl", "--silent", "--fail", "--no-buffer", self._url, stdout=writing
        )
        os.close(writing)
        gained = await upload.stdout.readline()
        took = time.perf_counter() - begun
        assert (await curl.wait(), await upload.wait()) == (0, 0)
        self.peer_peaks.append(int(gained) / 1024)
        return await self._stored(key, took)

    async def _stored(self, key: str, took: float) -> float:
        info = await self._blobs.stat(key)
        assert info.size == self._size, f"{key} has {info.size} of {self._size} bytes"
        await self._blobs.delete(key)
        return self._size / 1024**2 / took

    async def _quiet(self) -> None:
        """Write what earlier runs have left to the disk, before the clock runs."""
        await asyncio.to_thread(os.sync)


async def measure(scale: Scale) -> list[Line]:
    with tempfile.TemporaryDirectory(prefix="rushes-bench-") as folder:
        wanted = scale.of(1024**3, 24 * 1024**2)
        path = await asyncio.to_thread(films.film, Path(folder) / "output.mp4", wanted)
        size = path.stat().st_size
        async with _comparison(path, size, Path(folder)) as comparison:
            if not scale.quick:  # once without measuring: imports, buffers, the store's first volumes
                await comparison.here()
                await comparison.there()
            comparison.peaks.clear()
            comparison.peer_peaks.clear()
            here, there = await side_by_side(scale.of(5, 1), comparison.here, comparison.there)
            return _lines(scale, size, comparison, here, there)


def _lines(
    scale: Scale, size: int, comparison: Comparison, here: list[float], there: list[float]
) -> list[Line]:
    what = f"{size / 1024**2:,.0f} MiB into the store"
    fast = None if scale.quick else ratio(here, there) >= 0.9
    small = None if scale.quick else max(comparison.peaks) <= BAR_MIB
    peer = "curl \\| minio client"
    return [
        Line("B6", f"{what}: throughput", "MiB/s", here, peer, there, "≥ 0.9 times", fast, NOTE),
        Line(
            "B6", f"{what}: memory above idle", "MiB", comparison.peaks, peer, comparison.peer_peaks,
            f"≤ {BAR_MIB} MiB", small, NOTE,
        ),
    ]  # fmt: skip


@asynccontextmanager
async def _comparison(path: Path, size: int, folder: Path) -> AsyncIterator[Comparison]:
    """Starts log, store, origin and downloader, each as a process."""
    async with nats_server() as nats, s3_store() as s3:
        blobs = BlobStore(s3.endpoint, s3.access_key, s3.secret_key, BUCKET)
        log = EventLog(nats.url, service="bench", clock=SystemClock(), streams=streams())
        origin, port = ServerProcess("origin", folder / "origin.log"), free_port()
        downloader, health = (
            ServerProcess("downloader", folder / "downloader.log"),
            f"127.0.0.1:{free_port()}",
        )
        try:
            await blobs.start()
            await log.start()
            origin.spawn([sys.executable, "-m", "bench.origin", str(path), str(port)], env=_PATH)
            downloader.spawn(
                [sys.executable, "-m", "downloader"],
                env={
                    **_keys(s3),
                    "NATS_URL": nats.url,
                    "BLOB_ENDPOINT": s3.endpoint,
                    "BLOB_BUCKET": BUCKET,
                    "GRPC_LISTEN": health,
                    "FETCH_ALLOW": f"127.0.0.1:{port}",
                    "SPOOL_DIR": str(folder / "spool"),
                },
            )
            await origin.ready(lambda: _listens(port), within=20)
            await downloader.ready(lambda: is_serving(health), within=40)
            assert downloader.pid is not None
            await settled(downloader.pid)
            url = f"http://127.0.0.1:{port}/output.mp4"
            yield Comparison(s3, blobs, log, url, size, downloader.pid)
        finally:
            await downloader.stop(within=20)
            await origin.stop(within=5)
            await log.stop()
            await blobs.stop()


def _succeeded(name: str, url: str) -> Event:
    expires_at = Timestamp()
    expires_at.FromDatetime(datetime.now(UTC) + timedelta(hours=1))
    message = PredictionSucceeded(
        prediction=PredictionRef(generation_id=name, attempt_id="att_1", prediction_id="p1", round=1),
        outputs=[Output(index=0, source_url=url, blob_key_stem=f"media/{name}/0")],
        kind=MEDIA_KIND_VIDEO,
        expires_at=expires_at,
    )
    return Event(f"{name}:succeeded", "prediction.succeeded", name, message.SerializeToString())


def _keys(s3: S3Server) -> dict[str, str]:
    return {"BLOB_ACCESS_KEY": s3.access_key, "BLOB_SECRET_KEY": s3.secret_key}


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True
