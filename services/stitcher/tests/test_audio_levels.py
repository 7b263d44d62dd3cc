"""The loudness of clips and music: the requested difference, the target, and silence that stays silent."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stitcher.core.cuts.domain.audio_filters import Levels, mix_levels, read_loudness


@given(st.floats(-40, -6), st.floats(-40, -6), st.floats(-20, 6), st.floats(-24, -14))
def test_the_music_has_the_requested_level_and_the_mix_the_target(
    clips: float, music: float, gain: float, target: float
) -> None:
    levels = mix_levels({"clips": clips, "music": music}, gain, target)
    assert levels.clips_db is not None
    assert levels.music_db is not None
    after_clips, after_music = clips + levels.clips_db, music + levels.music_db
    assert after_music - after_clips == pytest.approx(gain)
    power = 10 ** (after_clips / 10) + 10 ** (after_music / 10)
    assert 10 * math.log10(power) == pytest.approx(target)


def test_one_track_alone_is_brought_to_the_target() -> None:
    assert mix_levels({"music": -20.0}, -12, -16) == Levels(None, 4.0)
    assert mix_levels({"clips": -70.0, "music": -20.0}, -12, -16) == Levels(None, 4.0)
    assert mix_levels({"clips": -10.0}, 0, -16) == Levels(-6.0, None)
    assert mix_levels({}, 0, -16) == Levels(None, None)


def test_a_nearly_silent_track_is_not_amplified() -> None:
    assert mix_levels({"clips": -62.0, "music": -math.inf}, 0, -16) == Levels(None, None)


def test_the_summaries_of_two_meters_are_not_mixed_up() -> None:
    log = """[ebur128@clips @ 0x5f] Summary:

  Integrated loudness:
    I:         -21.8 LUFS
    Threshold: -31.8 LUFS
[ebur128@music @ 0x60] Summary:

  Integrated loudness:
    I:         -70.0 LUFS"""
    assert read_loudness(log) == {"clips": -21.8, "music": -70.0}
