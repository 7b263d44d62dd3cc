"""The transitions that the stitcher can make, each with FFmpeg's filters for picture and sound.

A new kind is a value of `TransitionKind` in rushes/edit/v1/edit.proto, a row here, and a row in
tests/test_transitions.py. Its name here is the value's, in lower case and without the prefix.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Blend:
    """How two clips are seen and heard while both take part: options of FFmpeg's `xfade` and `acrossfade`.

    The plan adds the length, and the time at which it begins.
    """

    picture: str
    sound: str


TRANSITIONS: Mapping[str, Blend | None] = {
    "cut": None,
    # Two unrelated sounds add by power: with quarter sines the sum stays equally loud.
    "crossfade": Blend(picture="transition=fade", sound="c1=qsin:c2=qsin"),
}
"""By kind; None: the clips do not overlap."""


@dataclass(frozen=True)
class Transition:
    """How one clip gives way to the next, and for how many seconds both take part."""

    kind: str = "cut"
    seconds: float = 0.0

    @property
    def blend(self) -> Blend | None:
        return TRANSITIONS[self.kind]
