"""Where each pixel's ray first meets a shape, and whether something stands between a point and a light."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rushes_cli.photos.shapes import Array, Ball, Box, Point, Shape, Wedge

FAR = np.float32(1e6)
_TINY = np.float32(1e-9)


@dataclass(frozen=True)
class Camera:
    """Looks along z, turned by `yaw` (radians, to the right); `lens` is half the picture's width at 1 m."""

    eye: Point
    yaw: float = 0.0
    lens: float = 0.85
    drop: float = 0.0
    """How far the picture is shifted down, as a part of its width: a shifted lens keeps walls upright."""


@dataclass
class Hits:
    """What the rays met, per pixel; vectors have x, y, z first: (3, height, width)."""

    eye: Array
    directions: Array
    distance: Array
    """In lengths of the direction."""
    shape: NDArray[np.int16]
    """The shape's number, -1 for none."""

    @property
    def points(self) -> Array:
        """(3, height, width): where."""
        return np.asarray(self.eye[:, None, None] + self.distance * self.directions, np.float32)


def cast(camera: Camera, shapes: Sequence[Shape], width: int, height: int) -> Hits:
    """Cast one ray a pixel."""
    lens = camera.lens
    x = ((np.arange(width, dtype=np.float32) + 0.5) / width * 2 - 1) * lens
    y = (height - 1 - 2 * np.arange(height, dtype=np.float32)) / width * lens - camera.drop * lens
    sin, cos = np.float32(np.sin(camera.yaw)), np.float32(np.cos(camera.yaw))
    directions = np.empty((3, height, width), np.float32)
    directions[0] = cos * x[None, :] + sin
    directions[1] = y[:, None]
    directions[2] = cos - sin * x[None, :]
    distance = np.full((height, width), FAR, np.float32)
    hits = Hits(
        np.array(camera.eye, np.float32), directions, distance, np.full((height, width), -1, np.int16)
    )
    inverse = _inverse(directions)
    for number, shape in enumerate(shapes):
        area = _area(camera, shape, width, height)
        if area is None:
            continue
        nearest = _meet(hits.eye, directions[:, *area], inverse[:, *area], shape)
        nearer = nearest < distance[area]
        np.copyto(distance[area], nearest, where=nearer)
        np.copyto(hits.shape[area], np.int16(number), where=nearer)
    return hits


def normals(shape: Shape, points: Array) -> Array:
    """(3, n): which way the surface looks at points (3, n) on it."""
    if isinstance(shape, Ball):
        away = (points - _column(shape.centre)) / _column(shape.radii) ** 2
        return np.asarray(away / np.sqrt((away * away).sum(axis=0)), np.float32)
    if isinstance(shape, Wedge):
        apart = shape.normals @ points - shape.offsets[:, None]
        return np.asarray(shape.normals[np.argmax(apart, axis=0)].T, np.float32)
    apart = np.concatenate([_column(shape.low) - points, points - _column(shape.high)])
    face = np.argmax(apart, axis=0)
    return np.asarray(np.concatenate([-np.eye(3), np.eye(3)]).astype(np.float32)[face].T)


def _inverse(directions: Array) -> Array:
    return np.asarray(1 / np.where(np.abs(directions) < _TINY, _TINY, directions), np.float32)


def _column(point: Point) -> Array:
    return np.array(point, np.float32)[:, None]


def _area(camera: Camera, shape: Shape, width: int, height: int) -> tuple[slice, slice] | None:
    """The part of the picture where the shape can be: around its corners; all, when one is behind us."""
    seen = shape.corners - np.array(camera.eye, np.float32)
    sin, cos = np.sin(camera.yaw), np.cos(camera.yaw)
    right, depth = cos * seen[:, 0] - sin * seen[:, 2], sin * seen[:, 0] + cos * seen[:, 2]
    if (depth < 0.02).all():
        return None
    if (depth < 0.02).any():
        return slice(0, height), slice(0, width)
    across = (right / depth / camera.lens + 1) / 2 * width
    down = (height - (seen[:, 1] / depth / camera.lens + camera.drop) * width) / 2
    left, top = max(0, int(across.min()) - 1), max(0, int(down.min()) - 1)
    end, bottom = min(width, int(across.max()) + 2), min(height, int(down.max()) + 2)
    return (slice(top, bottom), slice(left, end)) if left < end and top < bottom else None


def _meet(eye: Array, directions: Array, inverse: Array, shape: Shape) -> Array:
    """The distance at which each ray enters the shape; `FAR` when it does not."""
    if isinstance(shape, Ball):
        return _meet_ball(eye, directions, shape)
    if isinstance(shape, Box):
        enter, leave = _slabs(eye, inverse, shape)
    else:
        enter, leave = _planes(eye, directions, shape)
    met = (enter < leave) & (enter > 1e-4)
    return np.where(met, enter, FAR)


def _slabs(start: Array, inverse: Array, box: Box) -> tuple[Array, Array]:
    """Where rays enter and leave a box: the last entry into and the first exit from its three slabs."""
    enter, leave = np.float32(-1e6) * np.ones(1, np.float32), FAR * np.ones(1, np.float32)
    for axis in range(3):
        one = (np.float32(box.low[axis]) - start[axis]) * inverse[axis]
        other = (np.float32(box.high[axis]) - start[axis]) * inverse[axis]
        enter = np.maximum(enter, np.minimum(one, other))
        leave = np.minimum(leave, np.maximum(one, other))
    return enter, leave


def _planes(start: Array, directions: Array, wedge: Wedge) -> tuple[Array, Array]:
    enter, leave = np.float32(-1e6) * np.ones(1, np.float32), FAR * np.ones(1, np.float32)
    for normal, offset in zip(wedge.normals, wedge.offsets, strict=True):
        along = np.tensordot(normal, directions, 1)
        along = np.where(np.abs(along) < _TINY, _TINY, along)
        at = (offset - np.tensordot(normal, start, 1)) / along
        enter = np.maximum(enter, np.where(along < 0, at, -FAR))
        leave = np.minimum(leave, np.where(along > 0, at, FAR))
    return np.asarray(enter, np.float32), np.asarray(leave, np.float32)


def _meet_ball(eye: Array, directions: Array, ball: Ball) -> Array:
    radii = np.array(ball.radii, np.float32)
    start = (eye - np.array(ball.centre, np.float32)) / radii
    way = [directions[axis] / radii[axis] for axis in range(3)]
    square = way[0] * way[0] + way[1] * way[1] + way[2] * way[2]
    cross = way[0] * start[0] + way[1] * start[1] + way[2] * start[2]
    inside = cross * cross - square * np.float32(start @ start - 1)
    near = (-cross - np.sqrt(np.maximum(inside, 0))) / square
    return np.where((inside > 0) & (near > 1e-4), near, FAR)


def blocked(points: Array, toward: Array, shapes: Sequence[Shape]) -> NDArray[np.bool_]:
    """Whether a shape stands on the way from each point (3, n) by its vector (3, n) to the vector's end."""
    dark = np.zeros(points.shape[1], np.bool_)
    inverse = _inverse(toward)
    for shape in shapes:
        if isinstance(shape, Ball):
            radii, centre = _column(shape.radii), _column(shape.centre)
            start, way = (points - centre) / radii, toward / radii
            nearest = np.clip(-(way * start).sum(axis=0) / (way * way).sum(axis=0), 0, 1)
            apart = start + nearest * way
            dark |= ((apart * apart).sum(axis=0) < 0.95) & (nearest > 0.02)
            continue
        enter, leave = (
            _slabs(points, inverse, shape) if isinstance(shape, Box) else _planes(points, toward, shape)
        )
        dark |= np.maximum(enter, 1e-3) + 1e-3 < np.minimum(leave, 1.0)
    return dark
