"""Patterns on surfaces: boards, tiles, bricks, stone, cloth, lawn; from a point in metres to a colour."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rushes_cli.photos.shapes import Array, Cover

_SIZE = 512
_RNG = np.random.default_rng(20)


def _clouds() -> Array:
    """Noise that repeats, of several sizes, 0 to 1."""
    total = np.zeros((_SIZE, _SIZE), np.float32)
    for octave, cells in enumerate((4, 8, 16, 32, 64, 128)):
        grid = np.pad(_RNG.random((cells, cells), np.float32), 2, mode="wrap")
        wide = round(_SIZE * (cells + 4) / cells)
        smooth = np.asarray(Image.fromarray(grid).resize((wide, wide), Image.Resampling.BICUBIC))
        edge = 2 * _SIZE // cells
        total += smooth[edge : edge + _SIZE, edge : edge + _SIZE] / 1.8**octave
    total -= total.min()
    return np.asarray(total / total.max(), np.float32)


CLOUDS = _clouds()
GRAIN = _RNG.random((_SIZE, _SIZE), np.float32)


def noise(across: Array, along: Array, metres: float, field: Array = CLOUDS) -> Array:
    """A field's value at a place; the field repeats every `metres`."""
    scale = np.float32(_SIZE / metres)
    return np.asarray(
        field[(along * scale).astype(np.int32) % _SIZE, (across * scale).astype(np.int32) % _SIZE]
    )


def paint(cover: Cover, points: Array, normals: Array) -> Array:
    """The colours (3, n) of points (3, n) on a covered surface that looks along `normals` (3, n)."""
    across, along = _surface(points, normals)
    color = np.array(cover.color, np.float32)
    return np.asarray(_PATTERNS[cover.pattern](cover, color, across, along).T, np.float32)


def _surface(points: Array, normals: Array) -> tuple[Array, Array]:
    """Two coordinates on the surface: those of the axes that it faces least."""
    facing = np.abs(normals)
    flat, side = facing[1] > 0.6, facing[0] > 0.6
    across = np.where(side, points[2], points[0])
    return across, np.where(flat, points[2], points[1])


def _plain(_cover: Cover, color: Array, across: Array, along: Array) -> Array:
    """Paint, with the unevenness of a wall."""
    shade = 0.95 + 0.07 * noise(across, along, 3.1) + 0.02 * noise(across, along, 0.9, GRAIN)
    return np.asarray(color * shade[:, None])


def _boards(cover: Cover, color: Array, across: Array, along: Array) -> Array:
    """Boards along z (or up), each of its own shade, with grain and dark gaps."""
    board = np.floor(across / cover.scale)
    shift = (board * 0.618) % 1 * 1.7
    piece = np.floor((along + shift) / 1.7)
    own = ((board * 12.9898 + piece * 78.233) % 1.37) / 1.37
    grain = noise(across * 9, along * 0.7 + own * 5, 2.4)
    shade = 0.72 + 0.3 * own + 0.28 * (grain - 0.5)
    gap = _near_line(across / cover.scale, 0.012 / cover.scale) | _near_line((along + shift) / 1.7, 0.004)
    return np.where(gap[:, None], color * 0.35, color * shade[:, None])


def _tiles(cover: Cover, color: Array, across: Array, along: Array) -> Array:
    """Square tiles with grout, each a little different."""
    a, b = across / cover.scale, along / cover.scale
    own = ((np.floor(a) * 12.9898 + np.floor(b) * 78.233) % 1.0) * 0.08
    shade = 0.94 + own + 0.05 * noise(across, along, 1.7)
    grout = 0.004 / cover.scale + 0.008
    line = _near_line(a, grout) | _near_line(b, grout)
    return np.where(line[:, None], np.array(cover.second, np.float32), color * shade[:, None])


def _bricks(cover: Cover, color: Array, across: Array, along: Array) -> Array:
    """Courses of bricks, every second one shifted by half."""
    row = np.floor(along / (cover.scale / 3))
    a, b = across / cover.scale + (row % 2) * 0.5, along / (cover.scale / 3)
    own = ((np.floor(a) * 31.7 + row * 17.3) % 1.0 - 0.5) * 0.3
    shade = 1 + own + 0.25 * (noise(across, along, 1.1) - 0.5)
    line = _near_line(a, 0.03) | _near_line(b, 0.09)
    return np.where(line[:, None], np.array(cover.second, np.float32), color * shade[:, None])


def _stone(cover: Cover, color: Array, across: Array, along: Array) -> Array:
    """Marble or concrete: clouds with thin veins."""
    cloud = noise(across, along, cover.scale * 2.3)
    vein = np.exp(-np.abs(noise(across + 0.2 * cloud, along, cover.scale * 1.7) - 0.5) * 60)
    shade = (0.88 + 0.2 * cloud)[:, None] * color
    return np.asarray(shade + (np.array(cover.second, np.float32) - shade) * 0.55 * vein[:, None])


def _cloth(cover: Cover, color: Array, across: Array, along: Array) -> Array:
    """Woven cloth with soft folds."""
    weave = noise(across, along, 0.55, GRAIN)
    fold = noise(across * 0.6, along * 1.6, cover.scale * 2)
    return np.asarray(color * (0.78 + 0.3 * fold + 0.12 * weave)[:, None])


def _stripes(cover: Cover, color: Array, across: Array, along: Array) -> Array:
    """Broad bands of two colours: tiles of a roof, a blanket."""
    band = (np.floor(along / cover.scale) % 2)[:, None]
    shade = (0.85 + 0.3 * noise(across, along, 1.3))[:, None]
    return np.asarray((color * (1 - band) + np.array(cover.second, np.float32) * band) * shade)


def _lawn(cover: Cover, color: Array, across: Array, along: Array) -> Array:
    """Grass or leaves: two greens in patches, and blades."""
    patch = noise(across, along, 7.0)[:, None]
    blades = (0.55 + 0.6 * noise(across * 1.0, along * 1.0, cover.scale * 4, GRAIN))[:, None]
    return np.asarray((color * (1 - patch) + np.array(cover.second, np.float32) * patch) * blades)


def _view(cover: Cover, color: Array, across: Array, along: Array) -> Array:
    """What is seen through a window: sky over the tops of trees, out of focus and very bright."""
    tops = 1.15 + 0.5 * noise(across, np.zeros_like(along), 3.0)
    trees = np.clip((tops - along) * 5, 0, 1)[:, None]
    leaves = (0.5 + 0.5 * noise(across, along, 1.2))[:, None] * np.array(cover.second, np.float32)
    return np.asarray(color * (1 - trees) + leaves * trees)


def _glass(cover: Cover, color: Array, across: Array, along: Array) -> Array:
    """A pane from outside: dark below, the sky's reflection above, slanting, with soft clouds in it."""
    height = along - 0.35 * across
    sky = np.clip(0.5 + 0.5 * np.sin(height * 0.9) + 0.9 * (noise(across, along, 5.0) - 0.5), 0, 1)[:, None]
    return np.asarray(color * (1 - 0.75 * sky) + np.array(cover.second, np.float32) * 0.75 * sky)


def _near_line(value: Array, half: float) -> NDArray[np.bool_]:
    """Whether a value is within `half` of a whole number."""
    return np.asarray(np.abs(value - np.round(value)) < half)


_PATTERNS: dict[str, Callable[[Cover, Array, Array, Array], Array]] = {
    "plain": _plain,
    "boards": _boards,
    "tiles": _tiles,
    "bricks": _bricks,
    "stone": _stone,
    "cloth": _cloth,
    "stripes": _stripes,
    "lawn": _lawn,
    "view": _view,
    "glass": _glass,
}
