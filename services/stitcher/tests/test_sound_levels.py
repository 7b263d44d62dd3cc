"""How loud clips and music are made: the asked-for distance, the target loudness, silence left alone."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stitcher.core.sound import TARGET_LUFS, Levels, levels, read_loudness


@given(st.floats(-40, -6), st.floats(-40, -6), st.floats(-20, 6))
def test_the_music_stands_as_asked_and_the_mix_is_on_target(clips: float, music: float, gain: float) -> None:
    made = levels({"clips": clips, "music": music}, gain)
    assert made.clips_db is not None
    assert made.music_db is not None
    after_clips, after_music = clips + made.clips_db, music + made.music_db
    assert after_music - after_clips == pytest.approx(gain)
    power = 10 ** (after_clips / 10) + 10 ** (after_music / 10)
    assert 10 * math.log10(power) == pytest.approx(TARGET_LUFS)


def test_one_track_alone_is_brought_to_the_target() -> None:
    assert levels({"music": -20.0}, -12) == Levels(None, 4.0)
    assert levels({"clips": -70.0, "music": -20.0}, -12) == Levels(None, 4.0)
    assert levels({"clips": -10.0}, 0) == Levels(-6.0, None)
    assert levels({}, 0) == Levels(None, None)


def test_what_is_all_but_silent_is_not_brought_up() -> None:
    assert levels({"clips": -62.0, "music": -math.inf}, 0) == Levels(None, None)


def test_the_meters_are_told_apart() -> None:
    log = """[ebur128@clips @ 0x5f] Summary:

  Integrated loudness:
    I:         -21.8 LUFS
    Threshold: -31.8 LUFS
[ebur128@music @ 0x60] Summary:

  Integrated loudness:
    I:         -70.0 LUFS"""
    assert read_loudness(log) == {"clips": -21.8, "music": -70.0}
