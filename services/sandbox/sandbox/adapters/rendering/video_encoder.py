"""Encodes frames as H.264 in MP4: constant rate, closed GOPs of at most a second, bt709, `moov` first."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av

from sandbox.adapters.rendering.yuv_planes import Planes

_BT709, _LIMITED = 1, 1
_HEIGHTS = {"360p": 360, "480p": 480, "540p": 540, "720p": 720, "768p": 768, "1080p": 1080}


def frame_size(resolution: str, aspect: str) -> tuple[int, int]:
    """Even width and height. The shorter side has the resolution's lines, the longer at most 1920 pixels."""
    short = _HEIGHTS.get(resolution, 1080)
    try:
        across, down = (int(part) for part in aspect.split(":"))
        ratio = across / down
    except (ValueError, ZeroDivisionError):
        ratio = 16 / 9
    width, height = (short * ratio, float(short)) if ratio >= 1 else (float(short), short / ratio)
    scale = min(1.0, 1920 / max(width, height))
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)


def encode(frames: Iterable[Planes], target: Path, *, size: tuple[int, int], fps: int) -> None:
    """Encode all frames. The file appears when it is complete."""
    part = target.with_suffix(".part")
    with av.open(str(part), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = Fraction(1, fps)
        context.thread_count = 1
        context.sample_aspect_ratio = Fraction(1, 1)
        context.color_primaries = context.color_trc = context.colorspace = _BT709
        context.color_range = _LIMITED
        context.options = {
            "preset": "superfast",
            "crf": "20",
            "g": str(fps),
            "keyint_min": str(fps),
            "sc_threshold": "0",
            "flags": "+cgop",
        }
        for index, planes in enumerate(frames):
            frame = planes.frame()
            frame.pts, frame.time_base = index, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    part.replace(target)
