"""Encodes samples as AAC in M4A, as MP3 or as WAV."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from sandbox.adapters.rendering.music import RATE, Sound

CODECS = {
    "m4a": ("mp4", "aac", "fltp"),
    "mp3": ("mp3", "libmp3lame", "fltp"),
    "wav": ("wav", "pcm_s16le", "s16"),
}
CONTENT_TYPES = {"m4a": "audio/mp4", "mp3": "audio/mpeg", "wav": "audio/wav"}


def encode(samples: Sound, target: Path) -> None:
    """Encode stereo float samples in the format of the suffix. The file appears when it is complete."""
    container_name, codec, sample_format = CODECS[target.suffix[1:]]
    part = target.with_suffix(".part")
    options = {"movflags": "+faststart"} if container_name == "mp4" else {}
    with av.open(str(part), "w", format=container_name, options=options) as container:
        stream = container.add_stream(codec, rate=RATE)
        assert isinstance(stream, av.AudioStream)  # noqa: S101 - an audio codec makes one; for the types alone
        stream.layout = "stereo"
        stream.format = sample_format
        if codec != "pcm_s16le":
            stream.bit_rate = 160_000
        position = 0
        while position < samples.shape[1]:
            block = np.ascontiguousarray(samples[:, position : position + 1024], dtype=np.float32)
            frame = _frame(block, sample_format)
            frame.pts, frame.time_base = position, Fraction(1, RATE)
            position += block.shape[1]
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    part.replace(target)


def _frame(block: Sound, sample_format: str) -> av.AudioFrame:
    if sample_format == "s16":
        packed = (block.T * 32767).astype(np.int16).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="s16", layout="stereo")
    else:
        frame = av.AudioFrame.from_ndarray(block, format=sample_format, layout="stereo")
    frame.sample_rate = RATE
    return frame
