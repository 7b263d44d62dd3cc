"""Solid shapes, each with what covers it. Metres; x to the right, y up, z away from the camera."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Point = tuple[float, float, float]
Color = tuple[float, float, float]


@dataclass(frozen=True)
class Cover:
    """What covers a surface: a colour (0 to 1, as light is reflected), a pattern on it, light of its own."""

    color: Color
    pattern: str = "plain"
    scale: float = 1.0
    """Metres of one repetition of the pattern."""
    second: Color = (0.5, 0.5, 0.5)
    """The pattern's other colour: grout, the gaps between boards, the lawn's dry spots."""
    glow: float = 0.0
    """Its own light, on top of what it reflects."""


@dataclass(frozen=True)
class Box:
    """An upright box between two opposite corners: the lowest and the highest of x, y and z."""

    low: Point
    high: Point
    cover: Cover

    @property
    def corners(self) -> Array:
        """(8, 3)."""
        return _corners(self.low, self.high)


@dataclass(frozen=True)
class Wedge:
    """A convex solid: the points with `normal · p <= offset` for every plane."""

    normals: Array
    """(planes, 3), unit length, pointing out."""
    offsets: Array
    """(planes,), metres."""
    low: Point
    high: Point
    """Opposite corners of the box around it."""
    cover: Cover

    @property
    def corners(self) -> Array:
        """(8, 3), of the box around it."""
        return _corners(self.low, self.high)


@dataclass(frozen=True)
class Ball:
    """An ellipsoid with axes along x, y, z."""

    centre: Point
    radii: Point
    cover: Cover

    @property
    def corners(self) -> Array:
        """The corners of the box around it."""
        (x, y, z), (a, b, c) = self.centre, self.radii
        return _corners((x - a, y - b, z - c), (x + a, y + b, z + c))


Shape = Box | Wedge | Ball


def box(low: Point, high: Point, cover: Cover) -> Box:
    """A box; short to write, for there are many."""
    return Box(low, high, cover)


def gable(low: Point, high: Point, cover: Cover) -> Wedge:
    """A roof whose ridge runs along x, in the middle of z, over the box's lower face."""
    half, rise = (high[2] - low[2]) / 2, high[1] - low[1]
    slope = np.hypot(half, rise)
    front, back = (0.0, half / slope, -rise / slope), (0.0, half / slope, rise / slope)
    ridge = np.array([low[0], high[1], (low[2] + high[2]) / 2])
    normals = np.array([(1, 0, 0), (-1, 0, 0), (0, -1, 0), front, back], np.float32)
    offsets = np.array([high[0], -low[0], -low[1], np.dot(front, ridge), np.dot(back, ridge)], np.float32)
    return Wedge(normals, offsets, low, high, cover)


def front_gable(low: Point, high: Point, cover: Cover) -> Wedge:
    """A roof whose ridge runs along z, away from the camera: its triangle faces the viewer."""
    half, rise = (high[0] - low[0]) / 2, high[1] - low[1]
    slope = np.hypot(half, rise)
    left, right = (-rise / slope, half / slope, 0.0), (rise / slope, half / slope, 0.0)
    ridge = np.array([(low[0] + high[0]) / 2, high[1], low[2]])
    normals = np.array([(0, 0, 1), (0, 0, -1), (0, -1, 0), left, right], np.float32)
    offsets = np.array([high[2], -low[2], -low[1], np.dot(left, ridge), np.dot(right, ridge)], np.float32)
    return Wedge(normals, offsets, low, high, cover)


def _corners(low: Point, high: Point) -> Array:
    return np.array(list(product(*zip(low, high, strict=True))), np.float32)
