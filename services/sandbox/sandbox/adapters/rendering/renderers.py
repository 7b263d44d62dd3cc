"""Renders the outputs of all models, in threads."""

from __future__ import annotations

import asyncio
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from PIL import Image

from sandbox.adapters.rendering import audio_encoder, camera_moves, drawing, music
from sandbox.adapters.rendering.video_encoder import encode, frame_size
from sandbox.adapters.rendering.yuv_planes import Planes, fit, open_picture, to_planes
from sandbox.core.predictions.ports import Progress, Rendered, RenderedFile, RenderError, RenderJob

_FIRST = ("image", "first_image", "start_image", "first_frame_image", "image_prompt")
_LAST = ("last_image", "last_frame", "last_frame_image", "end_image")
_STYLES: dict[str, tuple[drawing.Colour, drawing.Colour, int]] = {
    "dark": ((18, 24, 38), (52, 62, 84), 235),
    "light": ((238, 240, 242), (206, 212, 220), 24),
    "warm": ((92, 44, 36), (196, 124, 74), 235),
}


class _Stopped(Exception):  # noqa: N818 - nothing went wrong
    """The prediction was canceled: ends the work of the thread at the next frame."""


class LocalRenderer:
    """Threads suffice, because Pillow and FFmpeg release the interpreter lock."""

    def __init__(self, folder: Path, *, at_once: int) -> None:
        self._folder = folder
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="render")
        self._clip_lock = threading.Lock()

    async def stop(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def render(self, job: RenderJob, progress: Progress) -> Rendered:
        """Being cancelled stops the work at the next frame."""
        stop = threading.Event()

        def progress_unless_stopped(fraction: float, line: str) -> None:
            if stop.is_set():
                raise _Stopped
            if line:
                progress(fraction, line)

        if job.kind == "instant" and (ready := self._folder / "ready" / "instant.mp4").exists():
            return _clip(ready, 1.0)
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._pool, self._run, job, progress_unless_stopped
            )
        except asyncio.CancelledError:
            stop.set()
            raise

    def _run(self, job: RenderJob, progress: Progress) -> Rendered:
        job.folder.mkdir(parents=True, exist_ok=True)
        work: dict[str, Callable[[RenderJob, Progress], Rendered]] = {
            "video": _video,
            "title": _title,
            "image": _pictures,
            "music": _music,
            "speech": _speech,
            "instant": self._instant,
        }
        return work[job.kind](job, progress)

    def _instant(self, _job: RenderJob, progress: Progress) -> Rendered:
        target = self._folder / "ready" / "instant.mp4"
        with self._clip_lock:
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                planes = to_planes(drawing.draw("instant", 1, (400, 226)))
                box = camera_moves.box_at("zoom-in", planes.size)
                frames = (planes.sample(box(i / 24), (320, 180)) for i in range(25))
                encode(frames, target, size=(320, 180), fps=25)
        progress(1.0, " ready")
        return _clip(target, 1.0)


def _clip(path: Path, seconds: float, **metrics: Any) -> Rendered:
    return Rendered(
        (RenderedFile(path, "output.mp4", "video/mp4"),),
        {"video_output_count": 1, "video_output_duration_seconds": seconds, **metrics},
        notes=f"{seconds:g} s of video",
    )


def _seed(job: RenderJob) -> int:
    given = job.input.get("seed")
    return int(given) if given is not None else zlib.crc32(job.prediction_id.encode())


def _shape(job: RenderJob) -> tuple[int, int, str, tuple[int, int]]:
    """Frames, frames per second, resolution and size: models have different names for them."""
    value = job.input
    fps = int(value.get("fps") or value.get("frames_per_second") or 25)
    frames = (
        int(value["num_frames"]) if "num_frames" in value else round(float(value.get("duration") or 5) * fps)
    )
    resolution = str(value.get("resolution") or value.get("quality") or "1080p")
    return frames, fps, resolution, frame_size(resolution, str(value.get("aspect_ratio") or "16:9"))


def _canvas(size: tuple[int, int]) -> tuple[int, int]:
    return round(size[0] * camera_moves.CANVAS / 2) * 2, round(size[1] * camera_moves.CANVAS / 2) * 2


def _scenes(job: RenderJob, canvas: tuple[int, int]) -> list[Planes]:
    found = [next((job.pictures[n] for n in names if n in job.pictures), None) for names in (_FIRST, _LAST)]
    pictures = [fit(open_picture(path, near=canvas), canvas) for path in found if path is not None]
    if not pictures:
        pictures = [drawing.draw(str(job.input.get("prompt") or ""), _seed(job), canvas)]
    return [to_planes(picture) for picture in pictures]


def _reported(frames: Iterator[Planes], total: int, progress: Progress) -> Iterator[Planes]:
    step = max(1, total // 20)
    for index, planes in enumerate(frames):
        # Called for every frame, so that a canceled prediction stops at once; a line is written every 5 %.
        progress((index + 1) / total, f" {index + 1}/{total} frames" if (index + 1) % step == 0 else "")
        yield planes


def _video(job: RenderJob, progress: Progress) -> Rendered:
    total, fps, resolution, size = _shape(job)
    scenes = _scenes(job, _canvas(size))
    move = camera_moves.choose(str(job.input.get("move") or "auto"), _seed(job))
    frames = _moving(scenes[0], move, total, size) if len(scenes) == 1 else _between(scenes, total, size)
    target = job.folder / "output.mp4"
    encode(_reported(frames, total, progress), target, size=size, fps=fps)
    return _clip(target, total / fps, resolution_target=resolution, camera_move=move)


def _moving(scene: Planes, move: str, total: int, size: tuple[int, int]) -> Iterator[Planes]:
    box = camera_moves.box_at(move, scene.size)
    for index in range(total):
        yield scene.sample(box(index / max(1, total - 1)), size)


def _between(scenes: list[Planes], total: int, size: tuple[int, int]) -> Iterator[Planes]:
    """A cross-fade with moves: the first frame shows the first picture, the last frame the last one."""
    first, last = scenes
    into, out = camera_moves.box_at("zoom-in", first.size), camera_moves.box_at("zoom-out", last.size)
    for index in range(total):
        moment = index / max(1, total - 1)
        share = camera_moves.ease(min(1.0, max(0.0, (moment - 0.25) / 0.5)))
        if share <= 0:
            yield first.sample(into(moment), size)
        elif share >= 1:
            yield last.sample(out(moment), size)
        else:
            yield first.sample(into(moment), size).blend(last.sample(out(moment), size), share)


def _title(job: RenderJob, progress: Progress) -> Rendered:
    total, fps, resolution, size = _shape(job)
    canvas = _canvas(size)
    top, bottom, ink = _STYLES[str(job.input.get("style") or "dark")]
    ground = to_planes(drawing.gradient(top, bottom, canvas))
    mask = drawing.text_mask(str(job.input["text"]), str(job.input.get("subtitle") or ""), canvas)
    move = camera_moves.box_at("push-left", canvas)
    drift = camera_moves.box_at("zoom-in", canvas)
    target = job.folder / "output.mp4"

    def frames() -> Iterator[Planes]:
        for index in range(total):
            moment = index / max(1, total - 1)
            back = ground.sample(move(moment), size)
            strength = min(1.0, moment * 5, (1 - moment) * 5 + 0.2)
            text = mask.resize(size, Image.Resampling.BICUBIC, box=drift(moment)).point(
                [int(v * strength) for v in range(256)]
            )
            small = text.resize((size[0] // 2, size[1] // 2), Image.Resampling.BOX)
            yield Planes(_inked(back.y, ink, text), _inked(back.u, 128, small), _inked(back.v, 128, small))

    encode(_reported(frames(), total, progress), target, size=size, fps=fps)
    return _clip(target, total / fps, resolution_target=resolution)


def _inked(plane: Image.Image, value: int, mask: Image.Image) -> Image.Image:
    plane.paste(value, (0, 0, *plane.size), mask)
    return plane


def _pictures(job: RenderJob, progress: Progress) -> Rendered:
    count = int(job.input.get("num_outputs") or 1)
    suffix = str(job.input.get("output_format") or "jpg")
    size = frame_size("1080p", str(job.input.get("aspect_ratio") or "16:9"))
    made: list[RenderedFile] = []
    for index in range(count):
        progress((index + 1) / count, f" {index + 1}/{count} pictures")
        path = job.folder / f"out-{index}.{suffix}"
        picture = drawing.draw(str(job.input.get("prompt") or ""), _seed(job) + index, size)
        picture.save(path, quality=88, compress_level=1)  # each format takes its own option of the two
        made.append(RenderedFile(path, path.name, "image/jpeg" if suffix == "jpg" else f"image/{suffix}"))
    return Rendered(tuple(made), {"image_output_count": count})


def _music(job: RenderJob, progress: Progress) -> Rendered:
    seconds = float(job.input.get("duration") or 8)
    progress(0.1, " composing")
    samples = music.compose(str(job.input.get("prompt") or ""), _seed(job), seconds)
    progress(0.6, " encoding")
    return _sound(job, samples, str(job.input.get("output_format") or "m4a"))


def _speech(job: RenderJob, progress: Progress) -> Rendered:
    line = str(job.input.get("text") or "")
    if not line.strip():
        raise RenderError("There is no text to speak")
    progress(0.2, " speaking")
    speaker = str(job.input.get("voice") or job.input.get("voice_id") or "")
    return _sound(job, music.speak(line, speaker, _seed(job)), "mp3")


def _sound(job: RenderJob, samples: music.Sound, suffix: str) -> Rendered:
    path = job.folder / f"output.{suffix}"
    audio_encoder.encode(samples, path)
    seconds = samples.shape[1] / music.RATE
    metrics = {"audio_output_duration_seconds": seconds}
    return Rendered((RenderedFile(path, path.name, audio_encoder.CONTENT_TYPES[suffix]),), metrics)
