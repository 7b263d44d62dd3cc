"""Computes camera moves as boxes over a canvas: smooth, and never outside of it."""

from __future__ import annotations

import random
from collections.abc import Callable

Box = tuple[float, float, float, float]
CANVAS = 1.25  # how much larger than the frame the canvas is, so that the closest view is not enlarged
_REACH = 0.16  # how far a move goes, as a share of the canvas

# Start and end: centre x and y (0..1 of the free play) and zoom (1: the whole canvas).
_NEAR, _FAR, _MID = 1 + _REACH * 1.4, 1.0, 1 + _REACH
MOVES: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "zoom-in": ((0.5, 0.5, _FAR), (0.5, 0.45, _NEAR)),
    "zoom-out": ((0.5, 0.45, _NEAR), (0.5, 0.5, _FAR)),
    "pan-left": ((1.0, 0.5, _MID), (0.0, 0.5, _MID)),
    "pan-right": ((0.0, 0.5, _MID), (1.0, 0.5, _MID)),
    "tilt-up": ((0.5, 1.0, _MID), (0.5, 0.0, _MID)),
    "tilt-down": ((0.5, 0.0, _MID), (0.5, 1.0, _MID)),
    "push-left": ((0.8, 0.5, _FAR + 0.04), (0.2, 0.5, _NEAR)),
    "push-right": ((0.2, 0.5, _FAR + 0.04), (0.8, 0.5, _NEAR)),
}


def choose(move: str, seed: int) -> str:
    """The move itself; for `auto` one that the seed chooses."""
    return move if move in MOVES else random.Random(seed).choice(sorted(MOVES))  # noqa: S311 - a look, not a secret


def box_at(move: str, canvas: tuple[int, int]) -> Callable[[float], Box]:
    """A function from a moment (0 to 1) to the visible box in canvas pixels, with the canvas's aspect."""
    start, end = MOVES[move]
    width, height = canvas

    def at(moment: float) -> Box:
        k = ease(moment)
        x, y, zoom = (a + (b - a) * k for a, b in zip(start, end, strict=True))
        w, h = width / zoom, height / zoom
        left, top = (width - w) * x, (height - h) * y
        return (left, top, min(left + w, width), min(top + h, height))

    return at


def ease(moment: float) -> float:
    """Mostly constant speed, slower at both ends, so that cuts between clips do not stutter."""
    smooth = moment * moment * (3 - 2 * moment)
    return 0.6 * moment + 0.4 * smooth
