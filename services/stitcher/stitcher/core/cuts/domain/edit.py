"""The edit as the stitcher reads it, and its timeline in whole frames.

Which edits can be cut is decided here and in `stitcher.edges.edit_message`, which reads the contract; nowhere
else. Problems name fields by their path in a message that has the edit in its field `edit`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction

from servicekit.errors import FieldProblem, Invalid
from stitcher.core.cuts.domain.transitions import Transition

SAMPLE_RATE = 48_000
"""Samples of sound per second in every cut."""

MAX_SECONDS = 3600
_NTSC = Fraction(1000, 1001)


@dataclass(frozen=True)
class Clip:
    """A stretch of a stored video, in seconds of that video. `fit` is a row of `video_filters.FITS`."""

    media_id: str
    in_seconds: float
    out_seconds: float
    fit: str = "auto"


@dataclass(frozen=True)
class Music:
    """A stored piece of music, and its loudness against the clips' own sound in decibels."""

    id: str
    """Of an asset or a media; empty as long as it is not composed."""
    gain_db: float = 0.0
    fade_in_seconds: float = 0.0
    fade_out_seconds: float = 1.5


@dataclass(frozen=True)
class Loudness:
    """The default is what web players aim at: AES TD1008 recommends -16 LUFS for streamed speech and music.

    A peak of -1.5 dB leaves room for what AAC adds.
    """

    integrated_lufs: float = -16.0
    true_peak_db: float = -1.5


@dataclass(frozen=True)
class Edit:
    """Everything that decides how a cut looks and sounds. An `fps` of 29.97 means 30000/1001."""

    width: int
    height: int
    fps: float
    clips: tuple[Clip, ...]
    joints: tuple[Transition, ...]
    """From each clip but the last to the next one."""
    music: Music | None = None
    loudness: Loudness = Loudness()

    def fingerprint(self) -> str:
        """A hash in hexadecimal that tells whether a stored cut was made from this edit."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Timeline:
    """An edit in whole frames; the one place that counts them.

    An overlap of n frames covers the last n of one clip and the first n of the next, so each shortens the cut
    by n.
    """

    rate: Fraction
    skipped: tuple[int, ...]
    """Frames of each clip's video before the stretch that is used."""
    frames: tuple[int, ...]
    """Frames of each clip that are used."""
    overlaps: tuple[int, ...]
    """Frames that each clip but the last shares with the next one; 0 for a hard cut."""

    @property
    def starts(self) -> tuple[int, ...]:
        """The frame of the cut at which each clip begins, and with it the transition into that clip."""
        starts = [0]
        for count, overlap in zip(self.frames, self.overlaps, strict=False):
            starts.append(starts[-1] + count - overlap)
        return tuple(starts)

    @property
    def runs(self) -> tuple[range, ...]:
        """The clips by index, in groups that hold together by hard cuts; between the groups clips overlap."""
        first_clips = [0, *(index for index, overlap in enumerate(self.overlaps, 1) if overlap)]
        return tuple(map(range, first_clips, [*first_clips[1:], len(self.frames)]))

    @property
    def total(self) -> int:
        """Frames of the whole cut."""
        return sum(self.frames) - sum(self.overlaps)

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
    return Timeline(
        rate,
        skipped=tuple(round(Fraction(clip.in_seconds) * rate) for clip in edit.clips),
        frames=tuple(
            max(1, round((Fraction(clip.out_seconds) - Fraction(clip.in_seconds)) * rate))
            for clip in edit.clips
        ),
        overlaps=tuple(round(Fraction(joint.seconds) * rate) if joint.blend else 0 for joint in edit.joints),
    )


def validate(edit: Edit) -> Timeline:
    """The edit in frames. The limits of single fields are the contract's rules, and checked before.

    Raises:
        Invalid: it cannot be cut; names every field that is wrong, with its value and the way out.
    """
    problems = [*_size_problems(edit), *_clip_problems(edit)]
    timeline = count_frames(edit)
    if not problems:
        problems = [*_overlap_problems(edit, timeline)]
        if timeline.duration > MAX_SECONDS:
            message = f"the cut would last {float(timeline.duration):.1f} s; at most {MAX_SECONDS} s"
            problems.append(FieldProblem("edit.clips", message))
    if problems:
        raise refusal(problems)
    return timeline


def refusal(problems: Sequence[FieldProblem]) -> Invalid:
    """The error for an edit that cannot be cut."""
    details = "; ".join(f"{problem.field}: {problem.message}" for problem in problems)
    return Invalid(f"the cut cannot be made: {details}", fields=problems, code="edit")


def _size_problems(edit: Edit) -> Iterator[FieldProblem]:
    for name, value in (("width", edit.width), ("height", edit.height)):
        if value % 2:
            yield FieldProblem(f"edit.{name}", f"{value} is odd; H.264 needs an even number of pixels")


def _clip_problems(edit: Edit) -> Iterator[FieldProblem]:
    for index, clip in enumerate(edit.clips):
        if clip.out_seconds <= clip.in_seconds:
            message = f"{clip.out_seconds:g} is not after in_seconds, which is {clip.in_seconds:g}"
            yield FieldProblem(f"edit.clips[{index}].out_seconds", message)


def _overlap_problems(edit: Edit, timeline: Timeline) -> Iterator[FieldProblem]:
    """The transitions at both ends of a clip must not overlap, and must leave one frame of its own."""
    for index, (clip, count) in enumerate(zip(edit.clips, timeline.frames, strict=True)):
        shared = sum(timeline.overlaps[max(0, index - 1) : index + 1])
        if shared and count <= shared:
            message = (
                f"{clip.out_seconds - clip.in_seconds:g} s are too short for the transitions around it: "
                f"use more than {float(timeline.seconds(shared)):g} s of the clip, or shorter transitions"
            )
            yield FieldProblem(f"edit.clips[{index}].out_seconds", message)
