"""The edit: which clips, how long, how they are joined, what plays under them; counted in whole frames."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction

from servicekit.errors import FieldProblem, Invalid

SAMPLE_RATE = 48_000
"""Samples of sound per second in every cut."""

MAX_CLIPS, MAX_SECONDS, MAX_SIDE, MAX_FPS = 200, 3600.0, 4096, 120.0
MAX_CROSSFADE_SECONDS = 5.0
MAX_GAIN_DB = 40.0
_NTSC = Fraction(1000, 1001)


@dataclass(frozen=True)
class Clip:
    """A stored clip and how many seconds of it are used."""

    scene_id: str
    blob_key: str
    seconds: float


@dataclass(frozen=True)
class Music:
    """A stored piece of music and its loudness against the clips' own sound, in decibels."""

    blob_key: str
    gain_db: float = 0.0


@dataclass(frozen=True)
class Edit:
    """Everything that decides how a cut looks and sounds. An `fps` of 29.97 means 30000/1001."""

    width: int
    height: int
    fps: float
    clips: tuple[Clip, ...]
    crossfade_seconds: float = 0.0
    music: Music | None = None

    def fingerprint(self) -> str:
        """A hash in hexadecimal that tells whether a stored cut was made from this edit."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Timeline:
    """An edit in whole frames; the one place that counts them.

    A cross-fade of n frames covers the last n of one clip and the first n of the next, so each shortens the
    cut by n.
    """

    rate: Fraction
    frames: tuple[int, ...]
    fade: int

    @property
    def starts(self) -> tuple[int, ...]:
        """The frame of the cut at which each clip begins, and with it the cross-fade into that clip."""
        starts, at = [], 0
        for count in self.frames:
            starts.append(at)
            at += count - self.fade
        return tuple(starts)

    @property
    def total(self) -> int:
        """Frames of the whole cut."""
        return sum(self.frames) - self.fade * (len(self.frames) - 1)

    @property
    def duration(self) -> Fraction:
        """Seconds of the whole cut, exactly."""
        return self.seconds(self.total)

    def seconds(self, frames: int) -> Fraction:
        """Exact."""
        return frames / self.rate

    def samples(self, frames: int) -> int:
        """How many samples of sound last as long, rounded to the nearest."""
        return round(frames * SAMPLE_RATE / self.rate)


def exact_rate(fps: float) -> Fraction:
    """The fraction that a rate stands for: 23.976, 29.97 and 59.94 are NTSC's, others are kept to 1/1000."""
    whole = round(fps)
    if whole and abs(fps - whole) > 0.001 and abs(fps - float(whole * _NTSC)) < 0.006:
        return whole * _NTSC
    return Fraction(fps).limit_denominator(1000)


def count_frames(edit: Edit) -> Timeline:
    """A valid edit in frames: each length is rounded to the nearest whole number of frames, at least one."""
    rate = exact_rate(edit.fps)
    frames = tuple(max(1, round(Fraction(clip.seconds) * rate)) for clip in edit.clips)
    fade = round(Fraction(edit.crossfade_seconds) * rate) if len(frames) > 1 else 0
    return Timeline(rate, frames, fade)


def validate(edit: Edit) -> Timeline:
    """The edit in frames.

    Raises:
        Invalid: it cannot be made; names every field that is wrong, with its value and the way out.
    """
    problems = [*_frame_problems(edit), *_clip_problems(edit), *_sound_problems(edit)]
    if not problems:
        timeline = count_frames(edit)
        problems = [*_fade_problems(edit, timeline)]
        if timeline.duration > MAX_SECONDS:
            message = f"the cut would last {float(timeline.duration):.1f} s; at most {MAX_SECONDS:g} s"
            problems.append(FieldProblem("clips", message))
    if problems:
        raise Invalid(
            "the edit cannot be made: "
            + "; ".join(f"{problem.field}: {problem.message}" for problem in problems),
            fields=problems,
            code="edit",
        )
    return timeline


def _frame_problems(edit: Edit) -> Iterator[FieldProblem]:
    for name, value in (("width", edit.width), ("height", edit.height)):
        if not 16 <= value <= MAX_SIDE or value % 2:
            yield FieldProblem(name, f"{value} is not an even number from 16 to {MAX_SIDE}")
    if not (math.isfinite(edit.fps) and 1 <= edit.fps <= MAX_FPS):
        yield FieldProblem("fps", f"{edit.fps:g} is not a rate from 1 to {MAX_FPS:g} frames per second")


def _clip_problems(edit: Edit) -> Iterator[FieldProblem]:
    if not 1 <= len(edit.clips) <= MAX_CLIPS:
        yield FieldProblem("clips", f"{len(edit.clips)} clips; an edit has 1 to {MAX_CLIPS}")
    for index, clip in enumerate(edit.clips):
        if not clip.blob_key:
            yield FieldProblem(f"clips[{index}].blob_key", "is empty; name the stored clip")
        if not (math.isfinite(clip.seconds) and 0 < clip.seconds <= MAX_SECONDS):
            message = f"{clip.seconds:g} is not a length above 0 and up to {MAX_SECONDS:g} s"
            yield FieldProblem(f"clips[{index}].seconds", message)


def _sound_problems(edit: Edit) -> Iterator[FieldProblem]:
    if not (math.isfinite(edit.crossfade_seconds) and 0 <= edit.crossfade_seconds <= MAX_CROSSFADE_SECONDS):
        message = f"{edit.crossfade_seconds:g} is not a length from 0 to {MAX_CROSSFADE_SECONDS:g} s"
        yield FieldProblem("crossfade_seconds", message)
    if edit.music is None:
        return
    if not edit.music.blob_key:
        yield FieldProblem("music.blob_key", "is empty; name the stored music, or leave the music out")
    if not (math.isfinite(edit.music.gain_db) and abs(edit.music.gain_db) <= MAX_GAIN_DB):
        message = f"{edit.music.gain_db:g} dB is not between -{MAX_GAIN_DB:g} and {MAX_GAIN_DB:g} dB"
        yield FieldProblem("music.gain_db", message)


def _fade_problems(edit: Edit, timeline: Timeline) -> Iterator[FieldProblem]:
    """The cross-fades at both ends of a clip must not overlap, and must leave one frame of its own."""
    last = len(timeline.frames) - 1
    for index, count in enumerate(timeline.frames):
        fades = timeline.fade * ((index > 0) + (index < last))
        if fades and count <= fades:
            message = (
                f"{edit.clips[index].seconds:g} s is too short for the cross-fades of "
                f"{edit.crossfade_seconds:g} s around it: use more than {float(timeline.seconds(fades)):g} s "
                "of the clip, or shorter cross-fades"
            )
            yield FieldProblem(f"clips[{index}].seconds", message)
