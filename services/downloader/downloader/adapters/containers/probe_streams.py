"""Checks that a film or a sound is whole and can be decoded, and measures it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from downloader.adapters.containers.probe_index import indexed_end
from downloader.core.containers.domain import FLAC, Container, MediaFacts, MediaKind
from downloader.core.fetching.domain.fetch_errors import ErrorCode, FetchError

START_PIXELS = 100_000_000
"""Pixels decoded from the start: small clips whole, 1080p about two seconds. The end is decoded besides."""

KEY_FRAME_PIXELS = 130_000_000
"""Pixels decoded in all before the end is: after `START_PIXELS` only the key frames, each by itself."""

TWO_THREADS = (1280 * 720, 4096 * 2304)
"""Least and most pixels of a picture that two threads decode. For smaller ones the next process uses the
other core; with larger ones, or more threads, more pictures would be in memory than the time is worth."""

SOUND_S = 10.0
"""Seconds of sound decoded from the start, and before the end."""

MAX_PIXELS = 8192 * 8192

ROUNDING_S = 0.12
"""Seconds, besides a frame, that the last packet may end before the announced duration: writers round."""


_DEMUXERS = {"mp4": "mov", "mov": "mov", "m4a": "mov", "webm": "webm"}
_ANNOUNCED = frozenset({"mp4", "mov", "m4a", "webm", "avi", "wav", "flac"})
"""Containers that announce how long they are. For MP3 and Ogg the length is guessed from what is there."""


@dataclass
class _Track:
    """What was read and decoded of one stream."""

    stream: VideoStream | AudioStream
    end_s: float = 0.0
    covered_s: float = 0.0
    packets: int = 0
    frames: int = 0
    decoded: float = 0.0
    """Pixels, or seconds of sound."""
    is_all_decoded: bool = True

    def skip_start(self) -> None:
        """As if it had just been decoded, and there was a frame."""
        self.decoded, self.is_all_decoded, self.frames = self.budget, False, 1

    @property
    def is_video(self) -> bool:
        return isinstance(self.stream, VideoStream)

    @property
    def budget(self) -> float:
        """How much of the start is decoded: pixels, or seconds of sound."""
        return START_PIXELS if self.is_video else SOUND_S

    @property
    def within_budget(self) -> bool:
        return self.decoded < self.budget

    @property
    def name(self) -> str:
        return f"{'picture' if self.is_video else 'sound'} ({self.stream.codec_context.codec.canonical_name})"


def probe_streams(path: Path, container: Container, *, start_decoded: bool = False) -> MediaFacts:
    """Read every packet, decode the first and the last frames.

    The demuxer is the one for the container, and opens no other file: a playlist in disguise reads nothing.

    Args:
        path: the whole file.
        container: what its first bytes show.
        start_decoded: `start_decodes` has decoded the start of this very file.

    Raises:
        FetchError: `undecodable`, `truncated`, `too_big` (pixels).
    """
    with _opened(path, container) as opened:
        tracks = _tracks(opened, container)
        if start_decoded:
            for track in tracks.values():
                track.skip_start()
        announced = opened.duration / av.time_base if opened.duration else 0.0
        _read_packets(opened, tracks)
        _check_length(tracks, announced, container)
        _decode_end(opened, tracks)
        return _facts(tracks, announced)


def start_decodes(path: Path, container: Container) -> bool:
    """Whether the start of a file that is still growing decodes: as much of it as is decoded of a whole one.

    False: there is not enough of it yet, or its index comes last. It raises what `probe_streams` does, but
    that need not be the file's fault: only the whole file can tell.
    """
    with _opened(path, container) as opened:
        tracks = _tracks(opened, container)
        for packet in opened.demux([track.stream for track in tracks.values()]):
            _decode_start(tracks[packet.stream_index], packet)
            if not any(track.within_budget for track in tracks.values()):
                return True
    return False


@contextmanager
def _opened(path: Path, container: Container) -> Iterator[InputContainer]:
    try:
        with av.open(
            str(path),
            format=_DEMUXERS.get(container.extension, container.extension),
            options={"protocol_whitelist": "file"},
            metadata_errors="ignore",
        ) as opened:
            yield opened
    except av.error.MemoryError as error:
        raise FetchError(ErrorCode.TOO_BIG, "decoding it takes more memory than allowed") from error
    except av.error.FFmpegError as error:
        raise FetchError(
            ErrorCode.UNDECODABLE, f"the {container.name} cannot be read: {error.strerror}"
        ) from error


def _tracks(opened: InputContainer, container: Container) -> dict[int, _Track]:
    tracks = {}
    for stream in opened.streams:
        if isinstance(stream, AudioStream) or (isinstance(stream, VideoStream) and not _is_cover(stream)):
            if stream.codec_context is None:
                raise FetchError(ErrorCode.UNDECODABLE, "it has a stream that no decoder knows")
            stream.codec_context.thread_type = "FRAME"
            stream.codec_context.thread_count = 2 if _is_worth_two_threads(stream) else 1
            # Smoothing the finished picture cannot fail, and nobody sees it: damage shows before.
            stream.codec_context.options = {"skip_loop_filter": "all"}
            tracks[stream.index] = _Track(stream)
            if isinstance(stream, VideoStream) and stream.width * stream.height > MAX_PIXELS:
                raise FetchError(
                    ErrorCode.TOO_BIG, f"its pictures have {stream.width} x {stream.height} pixels"
                )
    if not tracks:
        raise FetchError(ErrorCode.UNDECODABLE, f"the {container.name} holds neither picture nor sound")
    return tracks


def _is_worth_two_threads(stream: VideoStream | AudioStream) -> bool:
    least, most = TWO_THREADS
    return isinstance(stream, VideoStream) and least <= stream.width * stream.height <= most


def _is_cover(stream: VideoStream) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _read_packets(opened: InputContainer, tracks: dict[int, _Track]) -> None:
    index_checked = False
    for packet in opened.demux([track.stream for track in tracks.values()]):
        track = tracks[packet.stream_index]
        if packet.size:
            _count_packet(track, packet)
        _decode_start(track, packet)
        if not index_checked and not any(track.is_all_decoded for track in tracks.values()):
            index_checked = True
            if _is_indexed(opened, tracks):
                break
    for track in tracks.values():
        if not track.packets:
            raise FetchError(ErrorCode.TRUNCATED, f"its {track.name} has no data")
        if track.frames == 0:
            raise FetchError(ErrorCode.UNDECODABLE, f"no frame of its {track.name} can be decoded")


def _is_indexed(opened: InputContainer, tracks: dict[int, _Track]) -> bool:
    """Whether the index vouches for the packets not yet read. If so, the tracks are as if they had been."""
    found = [indexed_end(opened, track.stream) for track in tracks.values()]
    ends = [end for end in found if end is not None]
    if len(ends) < len(found):
        return False
    for track, (packets, end_s) in zip(tracks.values(), ends, strict=True):
        track.packets, track.end_s = packets, end_s
    return True


def _decode_start(track: _Track, packet: Packet[Any]) -> None:
    """Decode what lies within the budgets: first every packet, then the key frames."""
    if track.within_budget and track.is_all_decoded:
        _decode(track, packet)
        return
    track.is_all_decoded = False
    if packet.is_keyframe and track.is_video and track.decoded < KEY_FRAME_PIXELS:
        _decode_alone(track, packet)


def _count_packet(track: _Track, packet: Packet[Any]) -> None:
    if packet.is_corrupt:
        raise FetchError(ErrorCode.TRUNCATED, f"its {track.name} breaks off in packet {track.packets + 1}")
    track.packets += 1
    stamp = packet.pts if packet.pts is not None else packet.dts
    base = packet.time_base or Fraction(1)
    track.covered_s += float((packet.duration or 0) * base)
    if stamp is not None:
        track.end_s = max(track.end_s, float((stamp + (packet.duration or 0)) * base))


def _decode(track: _Track, packet: Packet[Any]) -> None:
    for frame in packet.decode():
        _count_frame(track, frame)


def _count_frame(track: _Track, frame: Any) -> None:
    if frame.is_corrupt:
        raise FetchError(ErrorCode.UNDECODABLE, f"frame {track.frames + 1} of its {track.name} is damaged")
    track.frames += 1
    if isinstance(frame, AudioFrame):
        track.decoded += frame.samples / (frame.sample_rate or 48000)
    else:
        track.decoded += frame.width * frame.height


def _decode_alone(track: _Track, packet: Packet[Any]) -> None:
    """Decode a key frame, which needs no other: what lies between it and the one before is skipped."""
    decoder = track.stream.codec_context
    decoder.flush_buffers()
    _decode(track, packet)
    for frame in decoder.decode(None):
        _count_frame(track, frame)
    decoder.flush_buffers()


def _check_length(tracks: dict[int, _Track], announced: float, container: Container) -> None:
    """Refuse a file whose packets end long before the announced end: its tail is missing."""
    if container.extension not in _ANNOUNCED or not announced:
        return
    # The parser of FLAC drops damaged frames silently: add up what is left.
    ends = [track.covered_s if container is FLAC else track.end_s for track in tracks.values()]
    longest, frame = max(ends), max(_frame_s(track) for track in tracks.values())
    if longest < announced - ROUNDING_S - frame:
        raise FetchError(
            ErrorCode.TRUNCATED, f"it announces {announced:.2f} seconds, but ends after {longest:.2f}"
        )
    for track in tracks.values():
        stream = track.stream
        if stream.frames and track.packets < stream.frames * 0.99 - 1:
            raise FetchError(
                ErrorCode.TRUNCATED,
                f"its {track.name} has {track.packets} of {stream.frames} announced packets",
            )


def _frame_s(track: _Track) -> float:
    """Seconds that one picture is shown; 0 for sound."""
    rate = track.stream.average_rate if isinstance(track.stream, VideoStream) else None
    return float(1 / rate) if rate else 0.0


def _decode_end(opened: InputContainer, tracks: dict[int, _Track]) -> None:
    for track in tracks.values():
        if track.is_all_decoded:
            continue
        before = 1 if track.is_video else SOUND_S
        opened.seek(int(max(track.end_s - before, 0) * av.time_base))
        track.stream.codec_context.flush_buffers()
        track.frames = 0
        for packet in opened.demux(track.stream):
            _decode(track, packet)
        if track.frames == 0:
            raise FetchError(ErrorCode.UNDECODABLE, f"the end of its {track.name} cannot be decoded")


def _facts(tracks: dict[int, _Track], announced: float) -> MediaFacts:
    pictures = [track for track in tracks.values() if track.is_video]
    sounds = [track for track in tracks.values() if not track.is_video]
    codecs = tuple(track.stream.codec_context.codec.canonical_name for track in pictures + sounds)
    longest = max(track.end_s for track in tracks.values())
    duration = round(announced or longest, 6)
    if not pictures:
        return MediaFacts(MediaKind.AUDIO, duration_s=duration, codecs=codecs)
    stream = pictures[0].stream
    if not isinstance(stream, VideoStream):
        raise TypeError("a picture track is a video stream")
    rate = stream.average_rate or stream.guessed_rate or stream.base_rate
    return MediaFacts(
        MediaKind.VIDEO,
        duration_s=duration,
        width=stream.width,
        height=stream.height,
        fps=round(float(rate), 6) if rate else 0.0,
        codecs=codecs,
    )
