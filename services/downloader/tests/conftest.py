"""Fixtures: real small media, an origin that fails on demand, and a fetcher over the real store."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import pytest
import pytest_asyncio
from PIL import Image

from downloader.adapters.blob_store import BlobStorage
from downloader.adapters.fetching.http_origin import HttpOrigin
from downloader.adapters.fetching.spool import FolderSpool
from downloader.adapters.media.probe_pool import ProbePool
from downloader.core.fetching.domain.fetch_errors import FetchError
from downloader.core.fetching.domain.media import FetchRequest, StoredFile
from downloader.core.fetching.domain.ssrf_guard import parse_allowed_hosts
from downloader.core.fetching.fetch import Fetcher, FetchLimits
from downloader.core.scheduling.domain.outputs import Output
from downloader.core.scheduling.download_outputs import PermittedFetch
from downloader.core.scheduling.slot_scheduler import SlotScheduler
from mediakit.formats import Kind
from servicekit.blobs import BlobStore
from servicekit.testing import SimulatedClock, tcp_server

sys.path.insert(0, str(Path(__file__).parent))  # the modules of the simulation become importable

STEM = "media/gen_1/0"


# Media ----------------------------------------------------------------------------------------------
def make_video(
    extension: str,
    *,
    seconds: float = 2.0,
    size: tuple[int, int] = (320, 240),
    sound: bool = True,
    key_every: int = 250,
    **options: str,
) -> bytes:
    """A moving gradient, with a tone."""
    codecs = {"webm": ("libvpx", "libopus"), "avi": ("mpeg4", "libmp3lame")}.get(
        extension, ("libx264", "aac")
    )
    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name) / "made"  # a real file: an index in front is written by reading again
    with folder, av.open(str(path), "w", format=extension, options=options) as box:
        picture = box.add_stream(codecs[0], rate=24)
        picture.width, picture.height, picture.pix_fmt = *size, "yuv420p"
        picture.bit_rate = 400_000
        if codecs[0] == "libx264":
            picture.options = {"preset": "ultrafast", "g": str(key_every)}
        tone = box.add_stream(codecs[1], rate=48000) if sound else None
        for number in range(int(seconds * 24)):
            shade = Image.linear_gradient("L").resize(size).rotate(number * 3).convert("RGB")
            frame = av.VideoFrame.from_image(shade)
            frame.pts, frame.time_base = number, Fraction(1, 24)
            box.mux(picture.encode(frame))
        box.mux(picture.encode(None))
        if tone is not None:
            _sound(box, tone, seconds)
        box.close()
        return path.read_bytes()


def make_sound(extension: str, *, seconds: float = 2.0) -> bytes:
    codec = {"mp3": "libmp3lame", "wav": "pcm_s16le", "flac": "flac", "ogg": "libopus", "m4a": "aac"}[
        extension
    ]
    out = io.BytesIO()
    with av.open(out, "w", format={"m4a": "ipod"}.get(extension, extension)) as box:
        _sound(box, box.add_stream(codec, rate=48000), seconds)
    return out.getvalue()


def _sound(box: av.container.OutputContainer, stream: av.AudioStream, seconds: float) -> None:
    resampler = av.AudioResampler(format=stream.format, layout=stream.layout, rate=48000)
    fifo = av.AudioFifo()
    block = bytes(byte for n in range(1024) for byte in (((n * 37) % 256), (n // 4) % 64) * 2)
    for number in range(int(seconds * 48000 / 1024)):
        frame = av.AudioFrame(format="s16", layout="stereo", samples=1024)
        frame.planes[0].update(block)
        frame.rate, frame.pts, frame.time_base = 48000, number * 1024, Fraction(1, 48000)
        for ready in resampler.resample(frame):
            fifo.write(ready)
    while (chunk := fifo.read(stream.frame_size or 1024, partial=True)) is not None:
        box.mux(stream.encode(chunk))
    box.mux(stream.encode(None))


def make_image(name: str, size: tuple[int, int] = (320, 200)) -> bytes:
    out = io.BytesIO()
    noise = Image.effect_noise(size, 80).convert("RGB")
    noise.save(out, name)
    return out.getvalue()


@dataclass
class Media:
    """One of each container that is accepted, by extension."""

    files: dict[str, bytes]

    def __getitem__(self, extension: str) -> bytes:
        return self.files[extension]

    video = staticmethod(make_video)
    image = staticmethod(make_image)


@pytest.fixture(scope="session")
def media() -> Media:
    files = {extension: make_video(extension) for extension in ("mp4", "mov", "webm", "avi")}
    files |= {extension: make_sound(extension) for extension in ("mp3", "wav", "flac", "ogg", "m4a")}
    pictures = {"png": "PNG", "jpg": "JPEG", "gif": "GIF", "webp": "WEBP"}
    return Media(files | {extension: make_image(name) for extension, name in pictures.items()})


# The origin -----------------------------------------------------------------------------------------
@dataclass
class ReceivedRequest:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]

    @property
    def start(self) -> int | None:
        """Where the requested range begins."""
        wanted = self.headers.get("range")
        return int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted else None


class Reply:
    """Writes an answer byte by byte, so that it can be wrong in every way."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def head(self, status: int, **headers: object) -> None:
        lines = [f"HTTP/1.1 {status} Whatever", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.send(("\r\n".join(lines) + "\r\n\r\n").encode())

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def whole(self, data: bytes, status: int = 200, **headers: object) -> None:
        await self.head(status, Content_Length=len(data), **headers)
        await self.send(data)

    async def rest(self, data: bytes, start: int, **headers: object) -> None:
        text = f"bytes {start}-{len(data) - 1}/{len(data)}"
        await self.whole(data[start:], 206, Content_Range=text, **headers)

    def reset(self) -> None:
        """Cut the connection hard."""
        self._writer.transport.abort()


Script = Callable[[ReceivedRequest, Reply], Awaitable[None]]


@dataclass
class FaultyOrigin:
    """A real HTTP server whose every path is a script; the connection closes after each answer."""

    port: int = 0
    where: str = "http://127.0.0.1"
    scripts: dict[str, Script] = field(default_factory=dict)
    requests: list[ReceivedRequest] = field(default_factory=list)
    running: set[asyncio.Task] = field(default_factory=set)

    def url(self, path: str = "/out.mp4") -> str:
        return f"{self.where}:{self.port}{path}"

    def at(self, path: str, script: Script) -> str:
        self.scripts[path] = script
        return self.url(path)

    def answer_with(self, script: Script) -> str:
        return self.at("/out.mp4", script)

    def serve(self, data: bytes, path: str = "/out.mp4", *, etag: str | None = '"v1"') -> str:
        """A well-behaved file."""
        tag = {"ETag": etag} if etag else {}

        async def script(request: ReceivedRequest, reply: Reply) -> None:
            if request.start is not None and request.headers.get("if-range") == etag:
                await reply.rest(data, request.start, **tag)
            else:
                await reply.whole(data, **tag)

        return self.at(path, script)

    def answer_in_turn(self, *scripts: Script, path: str = "/out.mp4") -> str:
        """The first request gets the first script, and so on; the last one stays."""
        count = iter(range(1_000_000))

        async def script(request: ReceivedRequest, reply: Reply) -> None:
            await scripts[min(next(count), len(scripts) - 1)](request, reply)

        return self.at(path, script)

    # Scripts -------------------------------------------------------------------------------------
    @staticmethod
    def whole_of(data: bytes, **headers: object) -> Script:
        async def script(request: ReceivedRequest, reply: Reply) -> None:
            await reply.whole(data, **headers)

        return script

    @staticmethod
    def half_of(data: bytes, **headers: object) -> Script:
        """Announces all, sends half, ends."""

        async def script(request: ReceivedRequest, reply: Reply) -> None:
            await reply.head(200, Content_Length=len(data), **headers)
            await reply.send(data[: len(data) // 2])

        return script

    @staticmethod
    def rest_of(data: bytes, **headers: object) -> Script:
        async def script(request: ReceivedRequest, reply: Reply) -> None:
            await reply.rest(data, request.start or 0, **headers)

        return script

    @staticmethod
    def to(location: str) -> Script:
        async def script(request: ReceivedRequest, reply: Reply) -> None:
            await reply.whole(b"", 302, Location=location)

        return script

    @staticmethod
    async def free_port() -> int:
        server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
        port: int = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        return port

    async def close(self) -> None:
        """End the answers that hang."""
        for task in self.running:
            task.cancel()
        await asyncio.gather(*self.running, return_exceptions=True)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.running.add(asyncio.current_task())
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError), contextlib.closing(writer):
            text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = text.strip().split("\r\n")
            headers = {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
            }
            request = ReceivedRequest(first.split(" ")[1], headers)
            self.requests.append(request)
            reply = Reply(writer)
            script = self.scripts.get(request.path.partition("?")[0])
            await (script(request, reply) if script else reply.whole(b"nothing here", 404))


@pytest_asyncio.fixture
async def origin() -> AsyncIterator[FaultyOrigin]:
    faulty = FaultyOrigin()
    async with tcp_server(faulty.handle) as faulty.port:
        yield faulty
        await faulty.close()


# The fetcher ----------------------------------------------------------------------------------------
class NoEvents:
    """`DownloadEvents`, as far as an attempt publishes any, to nobody."""

    async def progressed(self, output: Output, received: int, announced: int) -> None:
        pass


@dataclass
class FetchHarness:
    """A fetcher with all its real parts."""

    fetcher: Fetcher
    origin: HttpOrigin
    spool: FolderSpool
    prober: ProbePool
    blobs: BlobStore
    clock: SimulatedClock
    """Nobody waits on it; it knows for how long they wanted to."""
    spool_dir: Path

    @staticmethod
    def request(url: str, kind: Kind | None = Kind.VIDEO, *, max_bytes: int = 0) -> FetchRequest:
        return FetchRequest(url, STEM, required_kind=kind, max_bytes=max_bytes)

    async def fetch(self, request: FetchRequest, *, retry: bool = True) -> StoredFile:
        """As an output is fetched, with quick retries; or else as for a person, with one try."""
        if not retry:
            async with self.fetcher.begin(request) as fetch:
                return await fetch.try_once()
        output = Output("gen_1", "att_1", "p1", 1, 0, request.url, request.stem, None, self.clock.now())
        async with SlotScheduler(1).permit(output.expires_at) as permit:
            return await PermittedFetch(output, permit, NoEvents(), self.clock).fetch(self.fetcher, request)

    async def refusal_of(
        self, url: str, kind: Kind | None = Kind.VIDEO, *, max_bytes: int = 0, retry: bool = True
    ) -> FetchError:
        """The error; and nothing of the file is visible anywhere."""
        with pytest.raises(FetchError) as caught:
            await self.fetch(self.request(url, kind, max_bytes=max_bytes), retry=retry)
        assert await self.keys() == []
        assert await self.open_uploads() == 0
        assert self.spooled() == []
        return caught.value

    async def expect_stored(self, request: FetchRequest, data: bytes, extension: str = "mp4") -> None:
        """It is stored, exactly so, and nothing else is left anywhere."""
        found = await self.fetch(request)
        assert found.key == f"{STEM}.{extension}"
        assert (found.size, found.sha256) == (len(data), hashlib.sha256(data).hexdigest())
        assert await self.keys() == [found.key]
        assert await self.blobs.get(found.key, limit=2**30) == data
        assert await self.open_uploads() == 0
        assert self.spooled() == []

    async def keys(self) -> list[str]:
        return [blob.key async for blob in self.blobs.list()]

    async def open_uploads(self) -> int:
        client = self.blobs._client
        found = await client.call(lambda: client.minio._list_multipart_uploads(client.bucket))
        return len(found.uploads)

    def spooled(self) -> list[Path]:
        return [path for path in self.spool_dir.rglob("*") if path.is_file() and path.name != "lock"]


@pytest_asyncio.fixture
async def harness(
    blobs: BlobStore, prober: ProbePool, origin: FaultyOrigin, tmp_path: Path
) -> AsyncIterator[FetchHarness]:
    allowed = parse_allowed_hosts([f"127.0.0.1:{origin.port}"])
    clock = SimulatedClock.running(skip=lambda: True)
    http = HttpOrigin(allowed, idle_s=0.5)
    spool = FolderSpool(tmp_path / "spool")
    await spool.start()
    fetcher = Fetcher(
        origin=http,
        storage=BlobStorage(blobs),
        spool=spool,
        prober=prober,
        clock=clock,
        allowed=allowed,
        limits=FetchLimits(max_bytes=1024**3, total_s=60, window_s=0.3, least_rate=50_000),
    )
    yield FetchHarness(fetcher, http, spool, prober, blobs, clock, tmp_path / "spool")
    await http.stop()
    await spool.stop()


@pytest_asyncio.fixture
async def prober() -> AsyncIterator[ProbePool]:
    pool = ProbePool(1, timeout_s=20)
    pool._idle.put_nowait(None)  # started by the first test that comes as far as decoding
    yield pool
    await pool.stop()
