"""Every kind of transition of the contract has filters, and what is seen while both clips take part."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from cut_harness import BLUE, RED, CutHarness, centres, is_color, rms, sound

from rushes.edit.v1 import edit_pb2
from stitcher.core.cuts.domain.transitions import TRANSITIONS, Transition

SEEN_HALFWAY: Mapping[str, tuple[int, int, int] | None] = {
    "cut": None,
    "crossfade": (127, 0, 127),
}
"""From red to blue, the colour in the middle of the frame half-way; None: there is no such time."""


def test_every_kind_of_the_contract_has_filters_and_is_tested() -> None:
    kinds = [name.removeprefix("TRANSITION_KIND_").lower() for name in edit_pb2.TransitionKind.keys()[1:]]
    assert kinds == list(TRANSITIONS) == list(SEEN_HALFWAY)


@pytest.mark.parametrize(("kind", "halfway"), SEEN_HALFWAY.items())
async def test_each_kind_shows_what_it_is_named_for(
    harness: CutHarness, clip: Callable[..., Path], kind: str, halfway: tuple[int, int, int] | None
) -> None:
    joint = Transition(kind, 0.5 if halfway else 0.0)
    request = await harness.request(
        [clip(color="red", tone=440), clip(color="blue", tone=660)], joints=[joint]
    )
    _, path = await harness.cut(request)
    pixels = centres(path)
    assert len(pixels) == (36 if halfway else 48)
    assert is_color(pixels[0], RED)
    assert is_color(pixels[-1], BLUE)
    if halfway is not None:
        assert is_color(pixels[18], halfway), pixels[18]
    samples = sound(path)
    around = len(pixels) / 48  # the middle of the cut in seconds
    assert rms(samples, around - 0.2, around + 0.2) == pytest.approx(rms(samples, 0.1, 0.4), rel=0.3)
