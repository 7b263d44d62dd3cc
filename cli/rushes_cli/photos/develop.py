"""From a scene to a photograph: light and shadow, exposure, glare, the lens and the grain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFilter

from rushes_cli.photos.covers import CLOUDS, GRAIN, noise, paint
from rushes_cli.photos.rays import Camera, Hits, blocked, cast, normals
from rushes_cli.photos.shapes import Array, Ball, Color, Point, Shape

WIDTH, HEIGHT = 1600, 1067
_CAST_WIDTH, _CAST_HEIGHT = 960, 640
"""Rays are cast for fewer pixels and the picture enlarged, which smooths edges as a lens does."""
_COARSE = 6
"""Shadows are looked up on every sixth pixel each way: they are soft."""
_THIN = 0.07
"""Things that are thinner than this (metres) in two directions throw no shadow worth looking up."""


@dataclass(frozen=True)
class Lamp:
    """Light that comes from some points: (x, y, z) each, of a total strength and a colour."""

    points: tuple[Point, ...]
    color: Color
    strength: float
    facing: Point | None = None
    """Where a window looks; None for a lamp that shines all around."""


@dataclass(frozen=True)
class Scene:
    """What stands before the camera, and the light on it."""

    camera: Camera
    shapes: tuple[Shape, ...]
    lamps: tuple[Lamp, ...] = ()
    sun: Point | None = None
    """Towards the sun, unit length."""
    sun_color: Color = (1.0, 0.93, 0.8)
    sun_strength: float = 0.0
    ambient: float = 0.4
    ambient_color: Color = (1.0, 1.0, 1.0)
    casting: tuple[Shape, ...] = field(default=())
    """The shapes that throw shadows."""
    room: tuple[float, float, float] | None = None
    """Width, height, depth of the room; None outdoors."""
    sky: tuple[Color, Color] = ((0.32, 0.55, 0.9), (0.8, 0.88, 0.97))
    exposure: float = 1.0


def develop(scene: Scene, seed: int) -> Image.Image:
    """Draw the scene: 1600x1067, the same each time."""
    hits = cast(scene.camera, scene.shapes, _CAST_WIDTH, _CAST_HEIGHT)
    points = hits.points
    color, glow, normal = _covered(scene.shapes, hits, points)
    light = color * _lit(scene, points, normal)
    light += glow
    if scene.room is None:
        nothing = hits.shape < 0
        light[:, nothing] = _sky(scene, hits.directions[:, nothing])
        _haze(light, hits, scene)
    light *= scene.exposure
    shown = _exposed(np.ascontiguousarray(light.transpose(1, 2, 0)))
    return _film(_smoothed(shown, hits.shape), np.random.default_rng(seed))


def _covered(shapes: Sequence[Shape], hits: Hits, points: Array) -> tuple[Array, Array, Array]:
    """Per pixel the surface's colour, its own light, and which way it looks."""
    color, glow, normal = (np.zeros_like(points) for _ in range(3))
    flat = hits.shape.ravel()
    order = np.argsort(flat, kind="stable")
    bounds = np.searchsorted(flat[order], np.arange(len(shapes) + 1))
    places, colors, glows, ways = (field.reshape(3, -1) for field in (points, color, glow, normal))
    for number, shape in enumerate(shapes):
        where = order[bounds[number] : bounds[number + 1]]
        if not where.size:
            continue
        here = places[:, where]
        way = normals(shape, here)
        painted = paint(shape.cover, here, way)
        colors[:, where], ways[:, where] = painted, way
        if shape.cover.glow:
            glows[:, where] = painted * shape.cover.glow
    return color, glow, normal


def _lit(scene: Scene, points: Array, normal: Array) -> Array:
    """The light that falls on each pixel: from lamps and sun where nothing is in the way, and from around."""
    around = scene.ambient * (0.8 + 0.2 * normal[1])
    if scene.room is not None:
        around *= _corners(points, scene.room)
    light = np.stack([around * np.float32(part) for part in scene.ambient_color])
    coarse = points[:, ::_COARSE, ::_COARSE] + 0.01 * normal[:, ::_COARSE, ::_COARSE]
    casting = [shape for shape in scene.casting if _throws_shadow(shape)]
    for lamp in scene.lamps:
        for source in lamp.points:
            at = np.array(source, np.float32)[:, None, None]
            open_ = _open(coarse, at - coarse, casting)
            _add(light, _falling(lamp, at - points, normal) * open_, lamp.color)
    if scene.sun is not None:
        sun = np.array(scene.sun, np.float32)
        falling = np.maximum(sun[0] * normal[0] + sun[1] * normal[1] + sun[2] * normal[2], 0)
        toward = np.broadcast_to(sun[:, None, None] * 40, coarse.shape)
        open_ = _open(coarse, toward, scene.casting, soft=1.0)
        _add(light, falling * scene.sun_strength * open_, scene.sun_color)
    return light


def _throws_shadow(shape: Shape) -> bool:
    corners = shape.corners
    sizes = np.sort(corners.max(axis=0) - corners.min(axis=0))
    return isinstance(shape, Ball) or bool(sizes[1] > _THIN)


def _falling(lamp: Lamp, toward: Array, normal: Array) -> Array:
    """Light by the inverse square of the distance and the slant at both ends."""
    square = toward[0] * toward[0] + toward[1] * toward[1] + toward[2] * toward[2]
    slant = toward[0] * normal[0] + toward[1] * normal[1] + toward[2] * normal[2]
    root = np.sqrt(square)
    if lamp.facing is not None:
        away = sum(np.float32(-part) * toward[axis] for axis, part in enumerate(lamp.facing) if part)
        slant = slant * np.maximum(away, 0) / root
    share = np.float32(lamp.strength / len(lamp.points))
    return np.asarray(share * np.maximum(slant, 0) / (square * root + np.float32(0.6)), np.float32)


def _add(light: Array, strength: Array, color: Color) -> None:
    for axis, part in enumerate(color):
        light[axis] += strength * np.float32(part)


def _open(coarse: Array, toward: Array, casting: Sequence[Shape], *, soft: float = 2.0) -> Array:
    """How much of the light comes through (0 to 1), for all pixels, from a look at some of them."""
    free = ~blocked(coarse.reshape(3, -1), toward.reshape(3, -1), casting)
    small = Image.fromarray((free.reshape(coarse.shape[1:]) * np.uint8(255)).astype(np.uint8))
    small = small.filter(ImageFilter.GaussianBlur(soft))
    wide = small.resize((_CAST_WIDTH, _CAST_HEIGHT), Image.Resampling.BILINEAR)
    return np.asarray(wide, np.float32) / np.float32(255)


def _corners(points: Array, room: tuple[float, float, float]) -> Array:
    """Less light comes into the corners of a room."""
    shade = np.float32(1 / 0.7) * np.ones(points.shape[1:], np.float32)  # every point is near one wall
    for axis, size in enumerate(room):
        near = np.minimum(np.abs(points[axis]), np.abs(np.float32(size) - points[axis]))
        shade *= 1 - np.float32(0.3) * np.exp(near * np.float32(-1 / 0.3))
    return shade


def _sky(scene: Scene, directions: Array) -> Array:
    """(3, n): blue above, pale at the horizon, clouds."""
    up = np.clip(directions[1] / np.sqrt((directions * directions).sum(axis=0)), 0, 1)
    high, low = (np.array(color, np.float32)[:, None] for color in scene.sky)
    mixed = low + (high - low) * np.sqrt(up)
    cloud = noise(directions[0] / (up + 0.15), 1.6 / (up + 0.15), 9.0, CLOUDS)
    white = np.clip((cloud - 0.5) * 3.0, 0, 0.9)
    return np.asarray((mixed * (1 - white) + np.float32(1.1) * white) * 1.3, np.float32)


def _haze(light: Array, hits: Hits, scene: Scene) -> None:
    """What is far off is paler."""
    far = np.where(hits.shape < 0, 0, 1 - np.exp(hits.distance * np.float32(-1 / 260)))
    for axis, part in enumerate(scene.sky[1]):
        light[axis] += (np.float32(part) - light[axis]) * far


def _exposed(light: Array) -> Image.Image:
    """Glare around what is bright, the darker rim of a lens, the curve of film."""
    height, width = light.shape[:2]
    bright = np.clip(light[::4, ::4] - 1.0, 0, 2) / 2
    glare = Image.fromarray((bright * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(14))
    glow = np.asarray(glare.resize((width, height)), np.float32) * np.float32(0.9 / 255)
    exposed = np.clip((light + glow) * _RIM, 0, 3.999)
    return Image.fromarray(_CURVE[(exposed * np.float32(1024)).astype(np.int16)])


def _smoothed(picture: Image.Image, shape: NDArray[np.int16]) -> Image.Image:
    """The picture with soft edges where one shape ends before another: one ray a pixel leaves steps there."""
    edge = np.zeros(shape.shape, np.bool_)
    edge[:, 1:] |= shape[:, 1:] != shape[:, :-1]
    edge[1:] |= shape[1:] != shape[:-1]
    edge[:, :-1] |= edge[:, 1:]
    edge[:-1] |= edge[1:]
    mask = Image.fromarray(edge.astype(np.uint8) * np.uint8(255))
    return Image.composite(picture.filter(ImageFilter.GaussianBlur(0.8)), picture, mask)


def _film(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Enlarged, with grain."""
    picture = picture.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    left, top = (int(at) for at in rng.integers(0, 400, 2))
    grain = _GRAINS.crop((left, top, left + WIDTH, top + HEIGHT))
    return ImageChops.add(picture, Image.merge("RGB", [grain] * 3), offset=-_GRAIN_DEPTH // 2)


def _rim() -> Array:
    """A lens lets less light through at its rim."""
    y, x = np.ogrid[-1 : 1 : _CAST_HEIGHT * 1j, -1 : 1 : _CAST_WIDTH * 1j]
    return np.asarray((1 - 0.16 * (x * x + y * y))[..., None], np.float32)


def _curve(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """Film: highlights bend over softly, shadows and lights are drawn apart."""
    shown = (1 - np.exp(-1.35 * light)) ** (1 / 1.75)
    return 0.45 * shown + 0.55 * shown * shown * (3 - 2 * shown)


_GRAIN_DEPTH = 10
_RIM = _rim()
_CURVE = (255 * _curve(np.linspace(0, 4, 4096))).astype(np.uint8)
_GRAINS = Image.fromarray((np.tile(GRAIN, (3, 4)) * _GRAIN_DEPTH).astype(np.uint8))
