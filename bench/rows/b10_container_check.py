"""B10: is this file media, and as long as its structure says? Beside `file` (libmagic) and libavformat."""

from __future__ import annotations

import asyncio
import io
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av

from bench import films
from bench.measure import Line, Scale
from mediakit.formats import HEAD, Format, sniff
from mediakit.structure import check_structure

NOTE = (
    "B10: open, first 4 KiB recognised, lengths of the structure followed, closed, file in the page cache. "
    "`file` reads a list of the same path, so that starting it costs nothing; it does not look at lengths. "
    "libavformat opens and reads the headers, as ffprobe does, in this process."
)


class CountingFile(io.FileIO):
    """A file that counts what is read of it."""

    bytes_read = 0

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        got = super().readinto(buffer)
        self.bytes_read += got or 0
        return got or 0


async def measure(scale: Scale) -> list[Line]:
    return await asyncio.to_thread(_measure, scale)


def _measure(scale: Scale) -> list[Line]:
    with tempfile.TemporaryDirectory(prefix="rushes-bench-") as folder:
        size = scale.of(1024**3, 4 * 1024**2)
        large = films.film(Path(folder) / "large.mp4", size)
        pieces = films.fragmented(Path(folder) / "pieces.mp4", scale.of(600, 10))
        name = f"MP4 of {size / 1024**2:,.0f} MiB"
        live = f"fragmented MP4, {scale.of(600, 10)} fragments"
        return [
            *_compared(scale, large, name, bar=True),
            *_compared(scale, pieces, live, bar=False),
            _bytes_read(scale, large, name),
        ]


def _compared(scale: Scale, path: Path, name: str, *, bar: bool) -> list[Line]:
    runs, times = scale.of(9, 2), scale.of(200, 50)
    here: list[float] = []
    opened: list[float] = []
    magic: list[float] = []
    for _ in range(runs):
        here.append(_each(lambda: _check(path), times))
        opened.append(_each(lambda: _open(path), min(times, 10)))
        if shutil.which("file"):
            magic.append(_file(path, min(times, 50)))
    holds = max(here) < 1.0 if bar and not scale.quick else None
    peers = {"file": magic, "libavformat": opened}
    return [
        Line("B10", f"check of {name}", "ms", here, peer, there, "< 1 ms" if bar else "", holds, NOTE)
        for peer, there in peers.items()
        if there
    ]


def _bytes_read(scale: Scale, path: Path, name: str) -> Line:
    with io.BufferedReader(file := CountingFile(str(path))) as reader:
        check_structure(reader, path.stat().st_size, _recognised(reader.read(HEAD)))
        bytes_read = file.bytes_read
    whole = path.stat().st_size
    holds = None if scale.quick else bytes_read < whole / 100
    return Line(
        "B10", f"read of {name}", "KiB", [bytes_read / 1024], bar="no whole read", holds=holds, note=NOTE
    )


def _check(path: Path) -> None:
    with path.open("rb") as file:
        check_structure(file, path.stat().st_size, _recognised(file.read(HEAD)))


def _recognised(head: bytes) -> Format:
    found = sniff(head)
    if found is None:
        raise ValueError("the benchmark's own film is not recognised")
    return found


def _open(path: Path) -> None:
    with av.open(str(path)):
        pass


def _file(path: Path, times: int) -> float:
    """Milliseconds a file, starting the program left out: long lists less a list of one."""
    return (_listed(path, times + 1) - _listed(path, 1)) / times


def _listed(path: Path, times: int) -> float:
    begun = time.perf_counter()
    subprocess.run(
        ["file", "--brief", "--mime-type", "-f", "-"],
        input=f"{path}\n" * times,
        capture_output=True,
        text=True,
        check=True,
    )
    return (time.perf_counter() - begun) * 1000


def _each(work: Callable[[], None], times: int) -> float:
    begun = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - begun) * 1000 / times
