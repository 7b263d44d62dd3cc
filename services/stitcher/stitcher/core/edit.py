"""The edit: which clips, how long, how they meet, what plays under them; counted in whole frames."""

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
MAX_CROSSFADE = 5.0
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
    """Everything that decides how a cut looks and sounds. `fps` is as asked for: 29.97 means 30000/1001."""

    width: int
    height: int
    fps: float
    clips: tuple[Clip, ...]
    crossfade_seconds: float = 0.0
    music: Music | None = None

    def fingerprint(self) -> str:
        """The same for the same edit, in hexadecimal: tells whether a stored cut is of this edit."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Timeline:
    """An edit in whole frames; the one place that counts them.

    A cross-fade of n frames lies over the last n of one clip and the first n of the next, so each shortens
    the cut by n.
    """

    rate: Fraction
    frames: tuple[int, ...]
    fade: int

    @property
    def starts(self) -> tuple[int, ...]:
        """At which frame of the cut each clip begins: for all but the first, its cross-fade's first frame."""
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
        """How long so many frames last, exactly."""
        return frames / self.rate

    def samples(self, frames: int) -> int:
        """How many samples of sound last as long, to the nearest."""
        return round(frames * SAMPLE_RATE / self.rate)


def exact_rate(fps: float) -> Fraction:
    """The fraction meant by a rate: 23.976, 29.97 and 59.94 are NTSC's, others as written to 1/1000."""
    whole = round(fps)
    if whole and abs(fps - whole) > 0.001 and abs(fps - float(whole * _NTSC)) < 0.006:
        return whole * _NTSC
    return Fraction(fps).limit_denominator(1000)


def timeline(edit: Edit) -> Timeline:
    """Count a valid edit in frames: each length is the nearest whole number of frames, and at least one."""
    rate = exact_rate(edit.fps)
    frames = tuple(max(1, round(Fraction(clip.seconds) * rate)) for clip in edit.clips)
    fade = round(Fraction(edit.crossfade_seconds) * rate) if len(frames) > 1 else 0
    return Timeline(rate, frames, fade)


def validate(edit: Edit) -> Timeline:
    """The edit in frames, when it can be made.

    Raises:
        Invalid: it cannot; names every field that is wrong, with its value and the way out.
    """
    problems = [*_frame_problems(edit), *_clip_problems(edit), *_sound_problems(edit)]
    if not problems:
        line = timeline(edit)
        problems = [*_fade_problems(edit, line)]
        if line.duration > MAX_SECONDS:
            said = f"the cut would last {float(line.duration):.1f} s; at most {MAX_SECONDS:g} s"
            problems.append(FieldProblem("clips", said))
    if problems:
        raise Invalid(
            "the edit cannot be made: " + "; ".join(f"{one.field}: {one.message}" for one in problems),
            fields=problems,
            code="edit",
        )
    return line


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
            said = f"{clip.seconds:g} is not a length above 0 and up to {MAX_SECONDS:g} s"
            yield FieldProblem(f"clips[{index}].seconds", said)


def _sound_problems(edit: Edit) -> Iterator[FieldProblem]:
    if not (math.isfinite(edit.crossfade_seconds) and 0 <= edit.crossfade_seconds <= MAX_CROSSFADE):
        said = f"{edit.crossfade_seconds:g} is not a length from 0 to {MAX_CROSSFADE:g} s"
        yield FieldProblem("crossfade_seconds", said)
    if edit.music is None:
        return
    if not edit.music.blob_key:
        yield FieldProblem("music.blob_key", "is empty; name the stored music, or leave the music out")
    if not (math.isfinite(edit.music.gain_db) and abs(edit.music.gain_db) <= MAX_GAIN_DB):
        said = f"{edit.music.gain_db:g} dB is not between -{MAX_GAIN_DB:g} and {MAX_GAIN_DB:g} dB"
        yield FieldProblem("music.gain_db", said)


def _fade_problems(edit: Edit, line: Timeline) -> Iterator[FieldProblem]:
    """A clip must hold the cross-fades at both its ends without their overlapping, and a frame of its own."""
    last = len(line.frames) - 1
    for index, count in enumerate(line.frames):
        fades = line.fade * ((index > 0) + (index < last))
        if fades and count <= fades:
            said = (
                f"{edit.clips[index].seconds:g} s is too short for the cross-fades of "
                f"{edit.crossfade_seconds:g} s around it: use more than {float(line.seconds(fades)):g} s "
                "of the clip, or shorter cross-fades"
            )
            yield FieldProblem(f"clips[{index}].seconds", said)
