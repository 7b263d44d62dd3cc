"""The arithmetic of an edit: whole frames, exact sums, and refusals that name the field."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicekit.errors import Invalid
from stitcher.core.cuts.domain.edit import (
    SAMPLE_RATE,
    Clip,
    Edit,
    Loudness,
    Music,
    count_frames,
    exact_rate,
    validate,
)
from stitcher.core.cuts.domain.transitions import Transition

RATES = st.sampled_from([23.976, 24, 25, 29.97, 30, 50, 59.94, 60, 12.5])
CLIPS = st.lists(st.tuples(st.floats(0, 60), st.floats(0.5, 12)), min_size=1, max_size=12)
JOINTS = st.lists(st.one_of(st.just(0.0), st.floats(0, 0.2)), min_size=11, max_size=11)
"""Seconds of a cross-fade; 0: a hard cut."""


def edit(seconds: list[float], fps: float = 24, fade: float = 0, **more: object) -> Edit:
    """Clips used from their beginning, all joined alike."""
    return edit_of([(0, length) for length in seconds], [fade] * (len(seconds) - 1), fps, **more)


def edit_of(
    stretches: list[tuple[float, float]], fades: list[float], fps: float = 24, **more: object
) -> Edit:
    """Clips by beginning and length, and the seconds of the cross-fade between each two."""
    clips = tuple(Clip(f"med_{i}", begin, begin + length) for i, (begin, length) in enumerate(stretches))
    joints = tuple(Transition("crossfade", fade) if fade else Transition() for fade in fades)
    fields: dict[str, object] = {"width": 320, "height": 180, "fps": fps, **more}
    return Edit(clips=clips, joints=joints[: len(clips) - 1], **fields)  # type: ignore[arg-type]


@given(CLIPS, JOINTS, RATES)
def test_a_cut_is_as_long_as_its_clips_less_what_overlaps(
    stretches: list[tuple[float, float]], fades: list[float], fps: float
) -> None:
    timeline = validate(edit_of(stretches, fades, fps))
    exact = sum(length for _, length in stretches) - sum(fades[: len(stretches) - 1])
    assert (
        abs(timeline.duration - Fraction(exact)) <= len(stretches) / timeline.rate
    )  # half a frame for each part
    assert timeline.total == timeline.starts[-1] + timeline.frames[-1]


@given(CLIPS, JOINTS, RATES)
def test_each_clip_begins_an_overlap_before_the_last_one_ends(
    stretches: list[tuple[float, float]], fades: list[float], fps: float
) -> None:
    timeline = validate(edit_of(stretches, fades, fps))
    ends = [start + count for start, count in zip(timeline.starts, timeline.frames, strict=True)]
    assert timeline.starts[0] == 0
    assert [end - overlap for end, overlap in zip(ends, timeline.overlaps, strict=False)] == list(
        timeline.starts[1:]
    )


@given(CLIPS, JOINTS, RATES)
def test_the_runs_are_all_clips_and_are_divided_by_overlaps(
    stretches: list[tuple[float, float]], fades: list[float], fps: float
) -> None:
    timeline = validate(edit_of(stretches, fades, fps))
    assert [index for run in timeline.runs for index in run] == list(range(len(stretches)))
    assert [run[0] - 1 for run in timeline.runs[1:]] == [
        joint for joint, overlap in enumerate(timeline.overlaps) if overlap
    ]
    assert all(not timeline.overlaps[one] for run in timeline.runs for one, _ in pairwise(run))


@given(st.integers(1, 100_000), RATES)
def test_sound_never_drifts_from_the_picture(frames: int, fps: float) -> None:
    timeline = count_frames(edit([1], fps))
    assert abs(Fraction(timeline.samples(frames), SAMPLE_RATE) - timeline.seconds(frames)) <= Fraction(
        1, 2 * SAMPLE_RATE
    )


@pytest.mark.parametrize(
    ("fps", "rate"),
    [
        (23.976, Fraction(24000, 1001)),
        (24000 / 1001, Fraction(24000, 1001)),
        (29.97, Fraction(30000, 1001)),
        (59.94, Fraction(60000, 1001)),
        (24, Fraction(24)),
        (12.5, Fraction(25, 2)),
    ],
)
def test_rates_are_exact(fps: float, rate: Fraction) -> None:
    assert exact_rate(fps) == rate


@pytest.mark.parametrize(
    ("wrong", "field", "message"),
    [
        (edit([4, 0]), "edit.clips[1].out_seconds", "0 is not after in_seconds, which is 0"),
        (edit_of([(5, -1)], []), "edit.clips[0].out_seconds", "4 is not after in_seconds, which is 5"),
        (edit([4, 0.5, 4], fade=0.5), "edit.clips[1].out_seconds", "more than 1 s"),
        (edit([0.3, 4], fade=0.5), "edit.clips[0].out_seconds", "more than 0.5 s"),
        (edit_of([(0, 4), (9, 0.5), (0, 4)], [0, 0.5]), "edit.clips[1].out_seconds", "more than 0.5 s"),
        (edit([4], width=321), "edit.width", "321 is odd"),
        (edit([3000, 3000]), "edit.clips", "6000.0 s"),
    ],
)
def test_an_edit_that_cannot_be_made_is_refused_by_field(wrong: Edit, field: str, message: str) -> None:
    with pytest.raises(Invalid) as refused:
        validate(wrong)
    (problem,) = refused.value.fields
    assert (problem.field, message in problem.message) == (field, True), problem
    assert field in refused.value.message


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(Invalid) as refused:
        validate(edit([0, 4], width=3, height=5))
    assert [problem.field for problem in refused.value.fields] == [
        "edit.width",
        "edit.height",
        "edit.clips[0].out_seconds",
    ]


@pytest.mark.parametrize(
    "other",
    [
        edit([2, 1]),
        edit([1, 2], music=Music("ast_m")),
        edit([1, 2], fade=0.5),
        edit_of([(1, 1), (0, 2)], [0]),
        edit([1, 2], loudness=Loudness(-23)),
    ],
)
def test_different_edits_have_different_fingerprints(other: Edit) -> None:
    assert edit([1, 2]).fingerprint() == edit([1, 2]).fingerprint() != other.fingerprint()
