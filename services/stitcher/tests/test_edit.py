"""The arithmetic of an edit: whole frames, exact sums, and refusals that name the field."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicekit.errors import Invalid
from stitcher.core.cuts.domain.edit import SAMPLE_RATE, Clip, Edit, Music, count_frames, exact_rate, validate

RATES = st.sampled_from([23.976, 24, 25, 29.97, 30, 50, 59.94, 60, 12.5])
LENGTHS = st.lists(st.floats(0.5, 12), min_size=1, max_size=12)


def edit(seconds: list[float], fps: float = 24, fade: float = 0, **more: object) -> Edit:
    clips = tuple(Clip(f"scn_{i}", f"media/{i}.mp4", length) for i, length in enumerate(seconds))
    fields: dict[str, object] = {"width": 320, "height": 180, "fps": fps, "crossfade_seconds": fade, **more}
    return Edit(clips=clips, **fields)  # type: ignore[arg-type]


@given(LENGTHS, RATES, st.floats(0, 0.2))
def test_a_cut_is_as_long_as_its_clips_less_what_overlaps(
    lengths: list[float], fps: float, fade: float
) -> None:
    timeline = validate(edit(lengths, fps, fade))
    exact = sum(map(Fraction, lengths)) - Fraction(fade) * (len(lengths) - 1)
    assert (
        abs(timeline.duration - exact) <= len(lengths) / timeline.rate
    )  # half a frame for each clip and each fade
    assert timeline.total == timeline.starts[-1] + timeline.frames[-1]


@given(LENGTHS, RATES, st.floats(0, 0.2))
def test_each_clip_begins_a_fade_before_the_last_one_ends(
    lengths: list[float], fps: float, fade: float
) -> None:
    timeline = validate(edit(lengths, fps, fade))
    ends = [start + count for start, count in zip(timeline.starts, timeline.frames, strict=True)]
    assert timeline.starts[0] == 0
    assert [end - timeline.fade for end in ends[:-1]] == list(timeline.starts[1:])


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
        (edit([]), "clips", "0 clips"),
        (edit([4, 0]), "clips[1].seconds", "0 is not"),
        (edit([4, float("nan")]), "clips[1].seconds", "nan is not"),
        (edit([4, 0.5, 4], fade=0.5), "clips[1].seconds", "more than 1 s"),
        (edit([0.3, 4], fade=0.5), "clips[0].seconds", "more than 0.5 s"),
        (edit([4], fade=-1), "crossfade_seconds", "-1 is not"),
        (edit([4], fps=0), "fps", "0 is not"),
        (edit([4], width=321), "width", "321 is not an even"),
        (edit([4], height=9000), "height", "9000"),
        (edit([3000, 3000]), "clips", "6000.0 s"),
        (edit([4], music=Music("k", 99)), "music.gain_db", "99 dB"),
        (edit([4], music=Music("")), "music.blob_key", "is empty"),
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
        validate(edit([0, 4], fps=0, width=3))
    assert [problem.field for problem in refused.value.fields] == ["width", "fps", "clips[0].seconds"]


def test_different_edits_have_different_fingerprints() -> None:
    assert edit([1, 2]).fingerprint() == edit([1, 2]).fingerprint()
    assert edit([1, 2]).fingerprint() != edit([2, 1]).fingerprint()
    assert edit([1]).fingerprint() != edit([1], music=Music("m")).fingerprint()
