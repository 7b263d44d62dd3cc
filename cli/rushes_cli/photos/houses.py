"""The three houses: what each is made of, and how it looks from the street."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rushes_cli.photos.develop import Scene
from rushes_cli.photos.rays import Camera
from rushes_cli.photos.shapes import Ball, Color, Cover, Shape, box, front_gable, gable

GLASS = Cover((0.07, 0.10, 0.13), "glass", 4.0, (0.62, 0.75, 0.88))
LEAVES = Cover((0.10, 0.26, 0.07), "lawn", 0.5, (0.22, 0.38, 0.10))
LAWN = Cover((0.13, 0.34, 0.08), "lawn", 0.6, (0.34, 0.46, 0.15))
BARK = Cover((0.25, 0.17, 0.11), "boards", 0.08)


@dataclass(frozen=True)
class House:
    """A house's name and materials; `mirrored` turns its rooms round, so that no two look alike."""

    name: str
    wall: Color
    accent: Color
    wood: Cover
    tile: Cover
    worktop: Cover
    cloth: Color
    outside: Cover
    roof: Cover
    door: Color
    form: str
    mirrored: bool
    stand: float
    """How far the photographer stands to the right of where one would stand, in metres."""
    sun: Color


HARBOUR = House(
    name="harbour-house",
    wall=(0.80, 0.85, 0.88),
    accent=(0.13, 0.24, 0.40),
    wood=Cover((0.68, 0.52, 0.34), "boards", 0.14),
    tile=Cover((0.80, 0.87, 0.89), "tiles", 0.20, (0.55, 0.6, 0.62)),
    worktop=Cover((0.86, 0.86, 0.84), "stone", 1.2, (0.5, 0.52, 0.55)),
    cloth=(0.30, 0.44, 0.60),
    outside=Cover((0.88, 0.90, 0.90), "stripes", 0.16, (0.80, 0.83, 0.84)),
    roof=Cover((0.24, 0.27, 0.31), "stripes", 0.22, (0.19, 0.22, 0.26)),
    door=(0.10, 0.22, 0.42),
    form="gable",
    mirrored=False,
    stand=0.0,
    sun=(1.0, 0.95, 0.86),
)
GARDEN = House(
    name="garden-house",
    wall=(0.88, 0.80, 0.66),
    accent=(0.30, 0.38, 0.20),
    wood=Cover((0.55, 0.32, 0.16), "boards", 0.11),
    tile=Cover((0.66, 0.36, 0.22), "tiles", 0.30, (0.72, 0.66, 0.56)),
    worktop=Cover((0.52, 0.34, 0.19), "boards", 0.3),
    cloth=(0.62, 0.25, 0.18),
    outside=Cover((0.55, 0.24, 0.17), "bricks", 0.34, (0.66, 0.60, 0.52)),
    roof=Cover((0.42, 0.19, 0.12), "stripes", 0.26, (0.33, 0.15, 0.10)),
    door=(0.16, 0.34, 0.20),
    form="front gable",
    mirrored=True,
    stand=-0.55,
    sun=(1.0, 0.86, 0.66),
)
HILL = House(
    name="hill-house",
    wall=(0.78, 0.78, 0.77),
    accent=(0.16, 0.16, 0.17),
    wood=Cover((0.34, 0.22, 0.14), "boards", 0.18),
    tile=Cover((0.30, 0.32, 0.34), "tiles", 0.45, (0.18, 0.19, 0.2)),
    worktop=Cover((0.20, 0.20, 0.21), "stone", 1.0, (0.55, 0.55, 0.56)),
    cloth=(0.74, 0.55, 0.14),
    outside=Cover((0.64, 0.64, 0.62), "stone", 2.0, (0.52, 0.52, 0.5)),
    roof=Cover((0.14, 0.14, 0.15), "plain"),
    door=(0.70, 0.44, 0.12),
    form="flat",
    mirrored=False,
    stand=0.35,
    sun=(1.0, 0.9, 0.76),
)
HOUSES = (HARBOUR, GARDEN, HILL)


def frontal(house: House) -> Scene:
    """The house from the street, in the afternoon sun."""
    shapes: list[Shape] = [
        box((-60, -0.3, -5), (60, 0, 120), LAWN),
        box((-60, -0.3, -5), (60, 0.015, 3.2), Cover((0.42, 0.41, 0.40), "stone", 2.0, (0.36, 0.35, 0.34))),
        box((-0.75, -0.2, 3), (0.75, 0.03, 13), Cover((0.62, 0.58, 0.52), "tiles", 0.5, (0.4, 0.38, 0.34))),
        *{"gable": _gabled, "front gable": _towered, "flat": _flat}[house.form](house),
        *_garden(house),
    ]
    return Scene(
        camera=Camera(
            (1.0 + 1.6 * house.stand, 1.7, -3.4), yaw=-0.05 - 0.1 * house.stand, lens=0.58, drop=-0.19
        ),
        shapes=tuple(shapes),
        casting=tuple(shapes[2:]),
        sun=(-0.53, 0.60, -0.60),
        sun_color=house.sun,
        sun_strength=1.35,
        ambient=0.34,
        ambient_color=(0.82, 0.92, 1.1),
        exposure=1.0,
    )


def _gabled(house: House) -> list[Shape]:
    """Two storeys, ridge along the street, a chimney, a porch."""
    white = Cover((0.93, 0.93, 0.92))
    shapes: list[Shape] = [
        box((-5.2, 0, 12), (5.2, 5.2, 20), house.outside),
        box(
            (-5.25, 0, 11.95), (5.25, 0.45, 20), Cover((0.45, 0.45, 0.45), "bricks", 0.5, (0.35, 0.35, 0.35))
        ),
        gable((-5.7, 5.2, 11.4), (5.7, 8.6, 20.6), house.roof),
        box((2.6, 6, 16.6), (3.4, 9.5, 17.4), Cover((0.5, 0.24, 0.18), "bricks", 0.3, (0.6, 0.56, 0.5))),
        *_door(house, 0, 12),
        *(bar for x in (-3.5, 3.5) for bar in _window(x, 1.0, 12, 1.7, 1.5, white)),
        *(bar for x in (-3.5, 0, 3.5) for bar in _window(x, 3.5, 12, 1.4, 1.3, white)),
        box((-1.5, 2.65, 10.8), (1.5, 2.8, 12), white),
        box((-1.4, 0, 10.9), (-1.25, 2.65, 11.05), white),
        box((1.25, 0, 10.9), (1.4, 2.65, 11.05), white),
    ]
    return shapes


def _towered(house: House) -> list[Shape]:
    """A gable towards the street with a lower wing beside it."""
    cream = Cover((0.86, 0.82, 0.72))
    return [
        box((-3.4, 0, 12), (3.0, 4.4, 20), house.outside),
        front_gable((-3.8, 4.4, 11.6), (3.4, 8.2, 20.4), house.roof),
        front_gable((-3.3, 4.4, 11.55), (2.9, 7.65, 11.7), house.outside),
        box((3.0, 0, 13.5), (7.6, 2.9, 20), house.outside),
        gable((2.9, 2.9, 13.1), (8.0, 5.0, 20.4), house.roof),
        *_door(house, 0, 12),
        *_window(-2.2, 1.0, 12, 1.3, 1.4, cream),
        *(bar for x in (-1.6, 1.2) for bar in _window(x, 3.0, 12, 1.2, 1.3, cream)),
        *_window(-0.2, 5.2, 11.55, 0.9, 1.0, cream),
        *_window(5.3, 0.9, 13.5, 2.4, 1.3, cream),
        box((4.0, 0.65, 13.1), (6.6, 0.9, 13.45), Cover((0.40, 0.25, 0.15), "boards", 0.2)),
        *(
            Ball((x, 0.98, 13.3), (0.2, 0.18, 0.15), Cover((0.75, 0.2, 0.25), "lawn", 0.2, (0.2, 0.4, 0.1)))
            for x in np.arange(4.2, 6.6, 0.33)
        ),
        box((-2.6, 6.5, 16), (-1.9, 9.0, 16.7), house.outside),
    ]


def _flat(house: House) -> list[Shape]:
    """Two stacked blocks with much glass, one clad in wood."""
    dark = Cover((0.08, 0.08, 0.09))
    return [
        box((-6.2, 0, 12.5), (4.2, 3.0, 20), house.outside),
        box((-2.6, 3.0, 11.2), (6.8, 6.0, 19), Cover(house.wood.color, "boards", 0.16)),
        box((-2.7, 6.0, 11.0), (6.9, 6.25, 19.1), house.roof),
        box((-6.4, 3.0, 12.2), (-2.6, 3.2, 20), house.roof),
        box((-2.7, 2.9, 11.1), (6.9, 3.05, 19), Cover((0.85, 0.85, 0.84))),
        box((6.2, 0, 11.5), (6.5, 3.0, 12), house.outside),
        *_window(-4.3, 0.25, 12.5, 2.8, 2.4, dark),
        *_window(2.6, 0.25, 12.5, 2.4, 2.4, dark),
        *_window(-0.2, 3.6, 11.2, 3.4, 1.9, dark),
        *_window(4.6, 3.6, 11.2, 2.6, 1.9, dark),
        *_door(house, 0, 12.5),
    ]


def _door(house: House, x: float, z: float) -> list[Shape]:
    return [
        box((x - 0.62, 0, z - 0.06), (x + 0.62, 2.35, z), Cover((0.9, 0.9, 0.88))),
        box((x - 0.5, 0.05, z - 0.1), (x + 0.5, 2.2, z), Cover(house.door, "boards", 0.25)),
        box((x - 0.3, 1.5, z - 0.12), (x + 0.3, 2.0, z), GLASS),
        Ball((x + 0.38, 1.05, z - 0.15), (0.05, 0.05, 0.05), Cover((0.8, 0.7, 0.4))),
        box(
            (x - 1.0, 0, z - 0.9),
            (x + 1.0, 0.12, z),
            Cover((0.55, 0.54, 0.52), "stone", 1.0, (0.4, 0.4, 0.4)),
        ),
    ]


def _window(x: float, y: float, z: float, width: float, height: float, frame: Cover) -> list[Shape]:
    left, right, top = x - width / 2, x + width / 2, y + height
    bar = 0.06
    return [
        box((left - 0.08, y - 0.08, z - 0.07), (right + 0.08, top + 0.08, z), frame),
        box((left, y, z - 0.09), (right, top, z), GLASS),
        box((x - bar / 2, y, z - 0.12), (x + bar / 2, top, z), frame),
        box((left, y + height * 0.62, z - 0.115), (right, y + height * 0.62 + bar, z), frame),
        box((left - 0.15, y - 0.16, z - 0.2), (right + 0.15, y - 0.07, z), frame),
    ]


def _garden(house: House) -> list[Shape]:
    """Trees, bushes and a fence, elsewhere at every house."""
    rng = np.random.default_rng(len(house.name) * 7 + len(house.form))
    shapes: list[Shape] = []
    trees = ((-9.5, 15.0, 1.25), (9.8, 18.0, 1.5), (-14, 26, 1.8), (15, 30, 2.0), (0.5, 34, 1.9))
    for about, z, size in trees:
        x = about + float(rng.uniform(-0.8, 0.8))
        shapes.append(box((x - 0.18, 0, z - 0.18), (x + 0.18, 2.4 * size, z + 0.18), BARK))
        for _ in range(7):
            dx, dy, dz = rng.uniform(-1, 1, 3) * (1.2 * size, 0.9 * size, 0.9 * size)
            radius = float(rng.uniform(0.8, 1.25)) * size
            centre = (x + float(dx), 3.1 * size + float(dy), z + float(dz))
            shapes.append(Ball(centre, (radius, radius * 0.85, radius), LEAVES))
    for x in (*np.arange(-5.6, -1.4, 0.85), *np.arange(1.8, 5.8, 0.85)):
        size = float(rng.uniform(0.38, 0.6))
        shapes.append(Ball((float(x), size * 0.6, 10.9), (size * 1.1, size, size), LEAVES))
    return shapes
