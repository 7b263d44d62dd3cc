"""Decodes enough of a film or a sound to tell that it is whole, and measures it."""

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

from mediakit.errors import MediaError, Problem
from mediakit.facts import Facts
from mediakit.formats import FLAC, Format, Kind
from mediakit.index import indexed_end
from mediakit.limits import FILM_PIXELS
from mediakit.structure import has_unknown_length

START_PIXELS = 100_000_000
"""Pixels decoded from the start: small clips whole, 1080p about two seconds. The end is decoded besides."""

KEY_FRAME_PIXELS = 130_000_000
"""Pixels decoded before the end is reached: beyond `START_PIXELS` key frames alone, each by itself."""

TWO_THREADS = (1280 * 720, 4096 * 2304)
"""Pixels, least and most, of a picture that two threads decode. Smaller ones leave the second core to the
next file; larger ones, and more threads, would hold more pictures in memory than the time is worth."""

SOUND_S = 10.0
"""Seconds of sound decoded from the start, and before the end."""

SLACK_S = 0.12
"""Seconds, besides one frame, by which the last packet may end before the announced end: writers round."""

_DEMUXERS = {"mp4": "mov", "mov": "mov", "m4a": "mov", "webm": "webm"}
_ANNOUNCED = frozenset({"mp4", "mov", "m4a", "webm", "avi", "wav", "flac"})
"""Containers that say how long they are. For MP3 and Ogg the length is guessed from what is there."""


@dataclass
class _Track:
    """What was seen of one stream."""

    stream: VideoStream | AudioStream
    end_s: float = 0.0
    covered_s: float = 0.0
    packets: int = 0
    frames: int = 0
    spent: float = 0.0
    whole: bool = True
    rotation: int = 0
    """Degrees by which its pictures are turned before they are shown."""

    def skip_start(self) -> None:
        """Take the start for decoded: `start_decodes` has done it."""
        self.spent, self.whole, self.frames = self.budget, False, 1

    @property
    def is_video(self) -> bool:
        return isinstance(self.stream, VideoStream)

    @property
    def budget(self) -> float:
        """How much of the start is decoded: pixels, or seconds of sound."""
        return START_PIXELS if self.is_video else SOUND_S

    @property
    def within_budget(self) -> bool:
        return self.spent < self.budget

    @property
    def name(self) -> str:
        return f"{'picture' if self.is_video else 'sound'} ({self.stream.codec_context.codec.canonical_name})"


def check_streams(path: Path, found: Format, *, start_decoded: bool = False) -> Facts:
    """Read every packet, decode the first frames and the last ones, and measure.

    The demuxer is that of the format, and opens no other file: a playlist in disguise reads nothing.

    Args:
        path: the whole file.
        found: what its first bytes show.
        start_decoded: `start_decodes` has decoded the start of this very file already.

    Raises:
        MediaError: `undecodable`, `truncated`, `too_big` (pixels).
    """
    with path.open("rb") as file:
        is_unbounded = has_unknown_length(file, found)
    with _opened(path, found) as opened:
        tracks = _tracks(opened, found)
        if start_decoded:
            for track in tracks.values():
                track.skip_start()
        is_announced = found.extension in _ANNOUNCED and not is_unbounded
        announced = opened.duration / av.time_base if opened.duration and is_announced else 0.0
        _read_all(opened, tracks, is_unbounded=is_unbounded)
        _check_length(tracks, announced, found)
        _decode_end(opened, tracks)
        return _facts(tracks, announced)


def start_decodes(path: Path, found: Format) -> bool:
    """Whether the start of a file decodes whose end is still to come.

    As much of it is decoded as `check_streams` does. False: there is not enough of it, or its index comes
    last. It raises what `check_streams` raises; only the whole file can tell whether that is its fault.
    """
    with _opened(path, found) as opened:
        tracks = _tracks(opened, found)
        for packet in opened.demux([track.stream for track in tracks.values()]):
            _decode_start(tracks[packet.stream_index], packet)
            if not any(track.within_budget for track in tracks.values()):
                return True
    return False


@contextmanager
def _opened(path: Path, found: Format) -> Iterator[InputContainer]:
    try:
        with av.open(
            str(path),
            format=_DEMUXERS.get(found.extension, found.extension),
            options={"protocol_whitelist": "file"},
            metadata_errors="ignore",
        ) as opened:
            yield opened
    except av.error.MemoryError as error:
        raise MediaError(Problem.TOO_BIG, "decoding it takes more memory than allowed") from error
    except av.error.FFmpegError as error:
        raise MediaError(Problem.UNDECODABLE, f"the {found.name} cannot be read: {error.strerror}") from error


def _tracks(opened: InputContainer, found: Format) -> dict[int, _Track]:
    tracks = {}
    for stream in opened.streams:
        if isinstance(stream, AudioStream) or (isinstance(stream, VideoStream) and not is_cover(stream)):
            if stream.codec_context is None:
                raise MediaError(Problem.UNDECODABLE, "it has a stream that no decoder knows")
            stream.codec_context.thread_type = "FRAME"
            stream.codec_context.thread_count = 2 if _is_worth_two(stream) else 1
            # Smoothing a decoded picture cannot fail, and nobody is shown it: damage shows before.
            stream.codec_context.options = {"skip_loop_filter": "all"}
            tracks[stream.index] = _Track(stream)
            if isinstance(stream, VideoStream) and stream.width * stream.height > FILM_PIXELS:
                raise MediaError(
                    Problem.TOO_BIG, f"its pictures have {stream.width} x {stream.height} pixels"
                )
    if not tracks:
        raise MediaError(Problem.UNDECODABLE, f"the {found.name} holds neither picture nor sound")
    return tracks


def _is_worth_two(stream: VideoStream | AudioStream) -> bool:
    least, most = TWO_THREADS
    return isinstance(stream, VideoStream) and least <= stream.width * stream.height <= most


def is_cover(stream: VideoStream) -> bool:
    """Whether it is an album's cover in a music file, which FFmpeg counts as a video stream."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _read_all(opened: InputContainer, tracks: dict[int, _Track], *, is_unbounded: bool) -> None:
    is_index_read = False
    for packet in opened.demux([track.stream for track in tracks.values()]):
        track = tracks[packet.stream_index]
        if packet.size:
            # Where no length is known, the last packet ends with the file: FFmpeg calls it cut short.
            _count_packet(track, packet, may_be_short=is_unbounded)
        _decode_start(track, packet)
        if not is_index_read and not any(track.whole for track in tracks.values()):
            is_index_read = True
            if _is_indexed(opened, tracks):
                break
    for track in tracks.values():
        if not track.packets:
            raise MediaError(Problem.TRUNCATED, f"its {track.name} has no data")
        if track.frames == 0:
            raise MediaError(Problem.UNDECODABLE, f"no frame of its {track.name} can be decoded")


def _is_indexed(opened: InputContainer, tracks: dict[int, _Track]) -> bool:
    """Whether the index lists all packets not read yet; then they count as read."""
    found = [indexed_end(opened, track.stream) for track in tracks.values()]
    whole = [ends for ends in found if ends is not None]
    if len(whole) < len(found):
        return False
    for track, (packets, end_s) in zip(tracks.values(), whole, strict=True):
        track.packets, track.end_s = packets, end_s
    return True


def _decode_start(track: _Track, packet: Packet[Any]) -> None:
    """Decode within the budgets: first every packet, then key frames alone."""
    if track.within_budget and track.whole:
        _decode(track, packet)
        return
    track.whole = False
    if packet.is_keyframe and track.is_video and track.spent < KEY_FRAME_PIXELS:
        _decode_alone(track, packet)


def _count_packet(track: _Track, packet: Packet[Any], *, may_be_short: bool) -> None:
    if packet.is_corrupt and not may_be_short:
        raise MediaError(Problem.TRUNCATED, f"its {track.name} breaks off in packet {track.packets + 1}")
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
        raise MediaError(Problem.UNDECODABLE, f"frame {track.frames + 1} of its {track.name} is damaged")
    track.frames += 1
    if isinstance(frame, AudioFrame):
        track.spent += frame.samples / (frame.sample_rate or 48000)
    else:
        track.spent += frame.width * frame.height
        track.rotation = round(frame.rotation) % 360


def _decode_alone(track: _Track, packet: Packet[Any]) -> None:
    """Decode one key frame by itself: it needs no other."""
    decoder = track.stream.codec_context
    decoder.flush_buffers()
    _decode(track, packet)
    for frame in decoder.decode(None):
        _count_frame(track, frame)
    decoder.flush_buffers()


def _check_length(tracks: dict[int, _Track], announced: float, found: Format) -> None:
    """A tail that is missing shows in packets that end long before the announced end."""
    if not announced:
        return
    # The parser of FLAC drops damaged frames without an error: the length of what is left shows it.
    ends = [track.covered_s if found is FLAC else track.end_s for track in tracks.values()]
    longest, frame = max(ends), max(_frame_s(track) for track in tracks.values())
    if longest < announced - SLACK_S - frame:
        raise MediaError(
            Problem.TRUNCATED, f"it announces {announced:.2f} seconds, but ends after {longest:.2f}"
        )
    for track in tracks.values():
        stream = track.stream
        if stream.frames and track.packets < stream.frames * 0.99 - 1:
            raise MediaError(
                Problem.TRUNCATED,
                f"its {track.name} has {track.packets} of {stream.frames} announced packets",
            )


def _frame_s(track: _Track) -> float:
    """Seconds that one picture stands; 0 for sound."""
    rate = track.stream.average_rate if isinstance(track.stream, VideoStream) else None
    return float(1 / rate) if rate else 0.0


def _decode_end(opened: InputContainer, tracks: dict[int, _Track]) -> None:
    for track in tracks.values():
        if track.whole:
            continue
        before = 1 if track.is_video else SOUND_S
        opened.seek(int(max(track.end_s - before, 0) * av.time_base))
        track.stream.codec_context.flush_buffers()
        track.frames = 0
        for packet in opened.demux(track.stream):
            _decode(track, packet)
        if track.frames == 0:
            raise MediaError(Problem.UNDECODABLE, f"the end of its {track.name} cannot be decoded")


def _facts(tracks: dict[int, _Track], announced: float) -> Facts:
    """What was measured. `announced`: seconds, as the file says; 0 where that is a guess."""
    pictures = [track for track in tracks.values() if track.is_video]
    sounds = [track for track in tracks.values() if not track.is_video]
    codecs = tuple(track.stream.codec_context.codec.canonical_name for track in pictures + sounds)
    longest = max(track.end_s for track in tracks.values())
    duration = round(announced or longest, 6)
    if not pictures:
        return Facts(Kind.AUDIO, duration_s=duration, codecs=codecs)
    stream = pictures[0].stream
    if not isinstance(stream, VideoStream):
        raise TypeError("a picture track is a video stream")
    rate = stream.average_rate or stream.guessed_rate or stream.base_rate
    width, height = stream.width, stream.height
    if pictures[0].rotation in (90, 270):
        width, height = height, width
    return Facts(
        Kind.VIDEO,
        duration_s=duration,
        width=width,
        height=height,
        fps=round(float(rate), 6) if rate else 0.0,
        codecs=codecs,
    )
