"""Makes films to measure with: real H.264, of any size."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.video.stream import VideoStream

RATE = 25
_SECONDS = 4
_BIT_RATE = 50_000_000
"""Of a rich 1080p output: a gigabyte is then nearly three minutes."""


def film(path: Path, size: int, *, width: int = 1920, height: int = 1080) -> Path:
    """An MP4 of about `size` bytes, index first: four seconds of noise, repeated until the size is reached.

    It has real packets rather than padding, so as many as a real film.
    """
    seed = path.with_suffix(".seed.mp4")
    _four_seconds(seed, width, height)
    with av.open(str(seed)) as source, av.open(str(path), "w", options={"movflags": "faststart"}) as target:
        stream = source.streams.video[0]
        out = target.add_stream_from_template(stream)
        packets = [packet for packet in source.demux(stream) if packet.size]
        datas = [(bytes(packet), packet.is_keyframe, packet.dts or 0) for packet in packets]
        base = cast(Fraction, stream.time_base)
        written = repeat = 0
        while written < size or repeat == 0:
            for data, is_key, stamp in datas:
                packet = av.Packet(data)
                packet.stream, packet.is_keyframe = out, is_key
                packet.time_base = base
                packet.pts = packet.dts = stamp + repeat * round(_SECONDS / base)
                packet.duration = round(1 / RATE / base)
                target.mux(packet)
                written += len(data)
            repeat += 1
    seed.unlink()
    return path


def fragmented(path: Path, fragments: int) -> Path:
    """An MP4 in fragments of a second, as live encoders write it: two boxes each."""
    with av.open(
        str(path), "w", options={"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    ) as target:
        stream = _stream(target, 64, 64)
        stream.gop_size = 2
        stream.rate = Fraction(2)
        frame = av.VideoFrame(64, 64, "yuv420p")
        for number in range(2 * fragments):
            frame.pts = number
            frame.time_base = Fraction(1, 2)
            target.mux(stream.encode(frame))
        target.mux(stream.encode())
    return path


def _four_seconds(path: Path, width: int, height: int) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (height * 3 // 2 + 256, width), np.uint8)
    with av.open(str(path), "w") as target:
        stream = _stream(target, width, height)
        stream.bit_rate = _BIT_RATE * width * height // (1920 * 1080)
        for number in range(_SECONDS * RATE):
            picture = np.ascontiguousarray(noise[number : number + height * 3 // 2])
            target.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="yuv420p")))
        target.mux(stream.encode())


def _stream(target: av.container.OutputContainer, width: int, height: int) -> VideoStream:
    stream = target.add_stream("libx264", rate=RATE, options={"preset": "ultrafast", "bf": "0"})
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    stream.gop_size = RATE
    return stream
