"""Measures a finished video and checks that it is what the main job promises."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import av
import numpy as np

SECONDS, TOLERANCE = 16.0, 0.2
SCENES = 4
_SILENCE = 0.003
"""RMS of samples in -1..1 under which a track counts as silent: about -50 dBFS."""
_DIFFERENT = 12.0
"""Mean difference of two pictures' pixels (0..255) above which they show something else."""


@dataclass(frozen=True)
class CutMeasurements:
    seconds: float
    size: tuple[int, int]
    codec: str
    pixel_format: str
    sar: str
    steps: set[int]
    """Ticks of the stream from one frame to the next: one value when the rate is constant."""
    audio: list[str]
    loudness: float
    scenes: list[np.ndarray]
    """One small picture from the middle of each scene."""
    boxes: list[str]
    """Top-level boxes of the file, in order."""


def measure(path: Path) -> CutMeasurements:
    with av.open(str(path)) as film:
        video = film.streams.video[0]
        assert video.time_base is not None
        assert film.duration is not None
        seconds = film.duration / av.time_base
        times: list[int] = []
        pictures: list[np.ndarray] = []
        wanted = [seconds * (i + 0.5) / SCENES for i in range(SCENES)]
        for frame in film.decode(video):
            assert frame.pts is not None
            times.append(frame.pts)
            if len(pictures) < SCENES and float(frame.pts * video.time_base) >= wanted[len(pictures)]:
                pictures.append(
                    frame.reformat(width=96, height=54, format="rgb24").to_ndarray().astype(float)
                )
        context = video.codec_context
        measured = (
            (context.width, context.height),
            context.name,
            context.pix_fmt or "",
            str(context.sample_aspect_ratio),
        )
        audio = [stream.codec_context.name for stream in film.streams.audio]
    with av.open(str(path)) as film:
        sound = [frame.to_ndarray() for frame in film.decode(film.streams.audio[0])] if audio else []
    rms = float(np.sqrt(np.mean(np.concatenate([s.reshape(-1) for s in sound]) ** 2))) if sound else 0.0
    steps = {b - a for a, b in pairwise(times)}
    return CutMeasurements(seconds, *measured, steps, audio, rms, pictures, _boxes(path))


def _boxes(path: Path) -> list[str]:
    """Names of the top-level boxes: a 32-bit size, four letters, 64 bits after size 1 (ISO 14496-12 §4.2)."""
    names, data = [], path.read_bytes()
    at = 0
    while at + 8 <= len(data):
        (size,) = struct.unpack_from(">I", data, at)
        names.append(data[at + 4 : at + 8].decode("latin-1"))
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, at + 8)
        if size == 0:
            break
        at += size
    return names


def _differences(pictures: list[np.ndarray]) -> list[float]:
    return [float(np.abs(a - b).mean()) for i, a in enumerate(pictures) for b in pictures[i + 1 :]]


CHECKS: dict[str, Callable[[CutMeasurements], bool]] = {
    f"{SECONDS} ± {TOLERANCE} s": lambda seen: abs(seen.seconds - SECONDS) <= TOLERANCE,
    "1920x1080": lambda seen: seen.size == (1920, 1080),
    "H.264": lambda seen: seen.codec == "h264",
    "yuv420p": lambda seen: seen.pixel_format == "yuv420p",
    "SAR 1:1": lambda seen: seen.sar in ("1", "1/1", "1:1"),
    "constant rate": lambda seen: len(seen.steps) == 1,
    "moov before mdat": lambda seen: seen.boxes.index("moov") < seen.boxes.index("mdat"),
    "one AAC track": lambda seen: seen.audio == ["aac"],
    "not silent": lambda seen: seen.loudness > _SILENCE,
    f"{SCENES} scenes that differ": lambda seen: (
        len(seen.scenes) == SCENES and min(_differences(seen.scenes)) > _DIFFERENT
    ),
}


def main(path: Path) -> int:
    """Print every check. Returns 1 if one fails."""
    seen = measure(path)
    width = max(map(len, CHECKS))
    failed = [name for name, check in CHECKS.items() if not check(seen)]
    for name in CHECKS:
        print(f"{'WRONG' if name in failed else 'ok   '}  {name:<{width}}")
    measured = {
        "seconds": f"{seen.seconds:.3f}",
        "size": "x".join(map(str, seen.size)),
        "video": f"{seen.codec} {seen.pixel_format} SAR {seen.sar}",
        "ticks between frames": sorted(seen.steps),
        "audio": f"{' '.join(seen.audio)} RMS {seen.loudness:.4f}",
        "boxes": " ".join(seen.boxes),
        "differences": [round(each) for each in _differences(seen.scenes)],
    }
    print(f"{path.name}: " + ", ".join(f"{name} {value}" for name, value in measured.items()))
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Usage: python tools/probe_cut.py VIDEO")
    sys.exit(main(Path(sys.argv[1])))
