"""Clips and music for the tests, made by FFmpeg once a session; small, so that they are quick."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from servicekit.blobs import BlobStore
from stitcher.adapters.probe import AvProber
from stitcher.adapters.thumbnails import PillowThumbnailRenderer
from stitcher.adapters.workspace import WorkFolders
from stitcher.core.cuts.domain.ffmpeg_plan import Encoder
from stitcher.core.cuts.make_cut import MakeCut

sys.path.insert(0, str(Path(__file__).parent))
from cut_harness import CountingFFmpeg, CutHarness, ffmpeg

Make = Callable[..., Path]


def make_clip(
    path: Path,
    *,
    color: str = "red",
    size: str = "320x180",
    rate: str = "24",
    seconds: float = 1.0,
    tone: float | None = None,
    sar: str = "1",
    pattern: bool = False,
    filters: str = "",
    extra: tuple[str, ...] = (),
) -> Path:
    """A clip of one colour (or a moving pattern), with a tone of so many hertz or without sound."""
    source = f"testsrc2=s={size}:r={rate}" if pattern else f"color=c={color}:s={size}:r={rate}"
    sound = ["-f", "lavfi", "-i", f"sine=frequency={tone}:sample_rate=44100"] if tone else []
    coded = ["-c:a", "aac", "-shortest"] if tone else []
    chain = ",".join(filter(None, [f"setsar={sar}", filters]))
    ffmpeg(
        *("-f", "lavfi", "-i", source, *sound, "-t", str(seconds), "-vf", chain),
        *("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", *coded, *extra, str(path)),
    )
    return path


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Makes clips (see `make_clip`), each kind once."""
    folder = tmp_path_factory.mktemp("clips")
    made: dict[str, Path] = {}

    def make(**wanted: object) -> Path:
        key = repr(sorted(wanted.items()))
        if key not in made:
            made[key] = make_clip(folder / f"clip{len(made)}.mp4", **wanted)  # type: ignore[arg-type]
        return made[key]

    return make


@pytest.fixture(scope="session")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of two tones: shorter than most cuts, so that it must be looped."""
    path = tmp_path_factory.mktemp("music") / "music.wav"
    tones = "sine=frequency=330:duration=2[a];sine=frequency=495:duration=2[b];[a][b]amix,volume=0.5"
    ffmpeg("-f", "lavfi", "-i", "anullsrc", "-filter_complex", f"{tones}[m]", "-map", "[m]", str(path))
    return path


@pytest_asyncio.fixture
async def harness(blobs: BlobStore, tmp_path: Path) -> AsyncIterator[CutHarness]:
    work = WorkFolders(tmp_path / "work")
    await work.start()
    counting = CountingFFmpeg()
    make = MakeCut(
        blobs=blobs,
        ffmpeg=counting,
        prober=AvProber(),
        thumbnails=PillowThumbnailRenderer(),
        workspace=work,
        encoder=Encoder("ultrafast"),
    )
    yield CutHarness(blobs, counting, make, tmp_path, [])
    assert [left for left in (tmp_path / "work").glob("*/*") if left.is_dir()] == []
    await work.stop()
