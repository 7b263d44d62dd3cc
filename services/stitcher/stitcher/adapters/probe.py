"""Measures media files with PyAV: their tracks, how even their frames are, how loud their sound is."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from mediakit.streams import is_cover
from mediakit.structure import is_faststart
from stitcher.core.media.domain import AudioFacts, FileFacts, VideoFacts
from stitcher.core.media.ports import Unreadable

# Containers that hold media and nothing else: a playlist would make FFmpeg open the addresses in it.
_CONTAINERS = {"mov", "mp4", "matroska", "webm", "avi", "mp3", "wav", "flac", "ogg", "aac", "mpegts"}
_MATRICES = {1: "bt709", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020nc", 10: "bt2020c"}
_MAX_SAMPLES = 24


class AvProber:
    """Works in a thread, so that the event loop goes on."""

    async def probe(self, path: Path, *, thoroughly: bool = False) -> FileFacts:
        return await asyncio.to_thread(probe, path, thoroughly=thoroughly)


def probe(path: Path, *, thoroughly: bool = False) -> FileFacts:
    """As `Prober.probe`, in the calling thread."""
    try:
        with av.open(path, metadata_errors="ignore") as container:
            name = container.format.name
            if not _CONTAINERS & set(name.split(",")):
                raise Unreadable(f"it is {name}, not a video or sound file that we know")
            return _measure(path, container, name, thoroughly=thoroughly)
    except (FFmpegError, EOFError, ValueError) as error:
        raise Unreadable(f"it is broken or not media: {error}") from error


def _measure(path: Path, container: InputContainer, name: str, *, thoroughly: bool) -> FileFacts:
    videos = [stream for stream in container.streams.video if not is_cover(stream)]
    audio_tracks = container.streams.audio
    audio = None
    if audio_tracks and has_decoder(audio_tracks[0]) and _has_audio_packets(path):
        stream = audio_tracks[0]
        duration = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
        context = stream.codec_context
        audio = AudioFacts(context.name, context.sample_rate, context.channels, duration)
    video = _video(path, container, videos[0]) if videos else None
    if audio is not None and thoroughly:
        audio = _measure_levels(path, audio)
    digest = ""
    if thoroughly:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileFacts(
        container=name,
        size=path.stat().st_size,
        duration=(container.duration or 0) / av.time_base,
        faststart=is_faststart(path),
        video=video,
        audio=audio,
        sha256=digest,
        audio_tracks=len(audio_tracks),
    )


def has_decoder(stream: AudioStream | VideoStream) -> bool:
    """False for a format that FFmpeg does not know; PyAV's types claim that there always is a decoder."""
    return getattr(stream, "codec_context", None) is not None


def _has_audio_packets(path: Path) -> bool:
    """A track without one packet is no sound: as music it would be looped for ever without making any."""
    with av.open(path, metadata_errors="ignore") as container:
        return any(packet.size for packet in container.demux(audio=0))


def _video(path: Path, container: InputContainer, stream: VideoStream) -> VideoFacts:
    if not has_decoder(stream):
        raise Unreadable("its picture is in a format that we do not know")
    times: list[int] = []
    keyed: list[bool] = []
    for packet in container.demux(stream):
        if packet.pts is not None and not packet.is_discard:
            times.append(packet.pts)
            keyed.append(packet.is_keyframe)
    if not times:
        raise Unreadable("its video track has no frame")
    context = stream.codec_context
    base = Fraction(stream.time_base or 1)
    first, times = times[0], sorted(times)
    nominal = Fraction(stream.average_rate or stream.guessed_rate or 0)
    rate, constant = frame_rate(times, base, nominal)
    sampled_frames, rotation = _sample_frames(path)
    return VideoFacts(
        codec=context.name,
        width=context.width,
        height=context.height,
        pixel_format=context.pix_fmt or "",
        rate=rate,
        frames=len(times),
        constant_rate=constant,
        starts_with_key=keyed[0] and first == times[0],
        start=times[0] * base,
        time_base=base,
        sar=Fraction(stream.sample_aspect_ratio or 1) or Fraction(1),
        rotation=rotation,
        matrix=_MATRICES.get(int(context.colorspace), ""),
        codec_header=context.extradata or b"",
        sampled_frames=sampled_frames,
    )


def frame_rate(times: Sequence[int], base: Fraction, nominal: Fraction) -> tuple[Fraction, bool]:
    """The rate, and whether it is constant, from sorted presentation times in units of `base` seconds.

    A container with a coarse time base (Matroska: milliseconds) rounds each time: a constant rate then has no
    frame off its place by more than one unit. `nominal` is the rate that the container claims.
    """
    steps = {later - earlier for earlier, later in itertools.pairwise(times)}
    if len(steps) == 1 and (step := next(iter(steps))) > 0:
        exact = 1 / (step * base)
        coarse = nominal and abs(1 / nominal - 1 / exact) < base / max(1, len(times) - 1)
        return (nominal if coarse else exact), True
    if not steps or not nominal:
        return nominal, bool(nominal)
    drift = max(abs(at - times[0] - index / nominal / base) for index, at in enumerate(times))
    return nominal, drift <= 1


def _sample_frames(path: Path) -> tuple[tuple[bytes, ...], int]:
    """Up to 24 key frames as 16x9 bytes of luminance, and the rotation of the first in degrees."""
    samples: list[bytes] = []
    rotation = 0
    with av.open(path, metadata_errors="ignore") as container:
        stream = container.streams.video[0]
        stream.codec_context.skip_frame = "NONKEY"
        for frame in container.decode(stream):
            if not samples:
                rotation = round(frame.rotation) % 360
            small = frame.reformat(width=16, height=9, format="gray").to_ndarray()
            samples.append(np.ascontiguousarray(small).tobytes())
            if len(samples) == _MAX_SAMPLES:
                break
    if not samples:
        raise Unreadable("not one of its frames can be decoded")
    return tuple(samples), rotation


def _measure_levels(path: Path, audio: AudioFacts) -> AudioFacts:
    """Decodes the whole track for its true length and its highest sample."""
    peak, samples = 0.0, 0
    with av.open(path, metadata_errors="ignore") as container:
        resampler = av.AudioResampler(format="fltp")  # the channels as they are: a mix would change peaks
        for frame in container.decode(audio=0):
            for planar in resampler.resample(frame):
                peak = max(peak, float(np.abs(planar.to_ndarray()).max(initial=0.0)))
                samples += planar.samples
    return replace(
        audio,
        duration=samples / audio.rate if audio.rate else 0.0,
        peak=peak,
    )
