"""Makes real cuts for the tests, and measures what is seen and heard in them."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np

from servicekit.blobs import BlobStore
from stitcher.adapters.ffmpeg import FFmpegBinary
from stitcher.core.cuts.domain.edit import Clip, Edit, Loudness, Music
from stitcher.core.cuts.domain.ffmpeg_plan import Command
from stitcher.core.cuts.domain.transitions import Transition
from stitcher.core.cuts.make_cut import CutRequest, MakeCut
from stitcher.core.cuts.ports import CutFailed, MadeCut

RED, GREEN, BLUE, WHITE = (254, 0, 0), (0, 255, 1), (0, 0, 254), (255, 255, 255)


class CountingFFmpeg(FFmpegBinary):
    """Real FFmpeg that records its runs and can be made to fail."""

    def __init__(self) -> None:
        super().__init__()
        self.joins: list[Command] = []
        self.broken = 0
        self.muted = False

    async def run(self, command, folder, progress=None):
        if command.arguments[-1] == "cut.mp4":
            self.joins.append(command)
            if self.broken:
                self.broken -= 1
                raise CutFailed("ffmpeg", "FFmpeg failed (exit code 1): on purpose")
            if self.muted:
                muted = [option.replace("alimiter=", "volume=0,alimiter=") for option in command.arguments]
                command = dataclasses.replace(command, arguments=tuple(muted))
        return await super().run(command, folder, progress)


@dataclass
class CutHarness:
    """What a test needs to make cuts and examine them."""

    blobs: BlobStore
    ffmpeg: CountingFFmpeg
    make: MakeCut
    folder: Path
    reports: list[tuple[float, str]]

    async def report(self, percent: float, message: str) -> None:
        self.reports.append((percent, message))

    async def request(
        self,
        clips: list[Path],
        *,
        seconds: float | list[float] = 1.0,
        begin: float = 0.0,
        joints: Sequence[Transition] = (),
        fps: float = 24,
        fit: str = "auto",
        music: Path | None = None,
        gain: float = 0.0,
        fades: tuple[float, float] = (0.0, 1.5),
        loudness: Loudness | None = None,
        size: tuple[int, int] = (320, 180),
    ) -> CutRequest:
        """The clips, each used from `begin` for so many seconds, in hard cuts where no joint is given."""
        lengths = seconds if isinstance(seconds, list) else [seconds] * len(clips)
        used, blob_keys = [], {}
        for index, (path, length) in enumerate(zip(clips, lengths, strict=True)):
            blob_keys[f"med_{index}"] = f"media/{index}.mp4"
            await self.blobs.put_file(f"media/{index}.mp4", path, content_type="video/mp4")
            used.append(Clip(f"med_{index}", begin, begin + length, fit))
        if music:
            blob_keys["ast_music"] = "assets/music"
            await self.blobs.put_file("assets/music", music, content_type="audio/wav")
        bed = Music("ast_music", gain, *fades) if music else None
        edit = Edit(
            *size,
            fps,
            tuple(used),
            tuple(joints) or (Transition(),) * (len(clips) - 1),
            bed,
            loudness or Loudness(),
        )
        return CutRequest(edit, blob_keys, "cuts/j/v1.mp4", "thumbs/j-v1.jpg")

    async def cut(self, request: CutRequest) -> tuple[MadeCut, Path]:
        made = await self.make.run(request, self.report)
        path = self.folder / "made.mp4"
        await self.blobs.get_file(request.cut_key, path)
        return made, path


def ffmpeg(*options: str) -> str:
    """Run it; returns its log."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostats", "-y", *options]
    return subprocess.run(command, check=True, timeout=60, capture_output=True, text=True).stderr


def centres(path: Path) -> list[np.ndarray]:
    """The colour in the middle of every frame."""
    return [frame[frame.shape[0] // 2, frame.shape[1] // 2] for frame in frames(path)]


def frames(path: Path) -> list[np.ndarray]:
    """Every frame: rows, columns, and red, green, blue."""
    with av.open(path) as container:
        return [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]


def is_color(pixel: np.ndarray, color: tuple[int, int, int]) -> bool:
    return bool(np.abs(pixel - np.array(color)).max() < 30)


def sound(path: Path) -> np.ndarray:
    """Samples of the left channel at 48 kHz."""
    with av.open(path) as container:
        resampler = av.AudioResampler(format="fltp", layout="stereo", rate=48000)
        planar = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
        return np.concatenate([frame.to_ndarray()[0] for frame in planar])


def rms(samples: np.ndarray, start: float, end: float) -> float:
    return float(np.sqrt(np.mean(np.square(samples[int(start * 48000) : int(end * 48000)]))))


def packets(path: Path) -> list[bytes]:
    with av.open(path) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]
