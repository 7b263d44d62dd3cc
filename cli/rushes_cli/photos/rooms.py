"""The rooms: kitchen, bedroom and bathroom as boxes and balls, furnished by the house's materials."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rushes_cli.photos.develop import Lamp, Scene
from rushes_cli.photos.houses import LEAVES, House
from rushes_cli.photos.rays import Camera
from rushes_cli.photos.shapes import Ball, Color, Cover, Shape, box

WHITE = Cover((0.88, 0.88, 0.86))
STEEL = Cover((0.60, 0.62, 0.64))
BLACK = Cover((0.035, 0.035, 0.04))
CERAMIC = Cover((0.93, 0.93, 0.92))
OUTSIDE = Cover((0.85, 0.93, 1.0), "view", 1.0, (0.35, 0.5, 0.22), glow=1.15)


@dataclass(frozen=True)
class Shell:
    """A room's size in metres and its window in the left wall: from and to along z, and its height."""

    width: float
    depth: float
    window: tuple[float, float]
    sill: float = 0.95
    lintel: float = 2.25
    height: float = 2.65

    def shapes(self, wall: Cover, back: Cover, floor: Cover) -> list[Shape]:
        """Floor, ceiling, walls with the opening, the window's frame, what is seen through it."""
        w, h, d = self.width, self.height, self.depth
        (near, far), sill, lintel = self.window, self.sill, self.lintel
        middle, bar = (near + far) / 2, 0.035
        white = WHITE
        return [
            box((-0.2, -0.2, -0.55), (w + 0.2, 0, d + 0.2), floor),
            box((-0.2, h, -0.55), (w + 0.2, h + 0.2, d + 0.2), Cover((0.9, 0.9, 0.89))),
            box((w, 0, -0.55), (w + 0.2, h, d), wall),
            box((-0.2, 0, d), (w + 0.2, h, d + 0.2), back),
            box((-0.2, 0, -0.55), (0, sill, d), wall),
            box((-0.2, lintel, -0.55), (0, h, d), wall),
            box((-0.2, sill, -0.55), (0, lintel, near), wall),
            box((-0.2, sill, far), (0, lintel, d), wall),
            *(
                box((-0.1, sill, z - bar), (-0.04, lintel, z + bar), white)
                for z in (near + bar, middle, far - bar)
            ),
            *(
                box((-0.1, y - bar, near), (-0.04, y + bar, far), white)
                for y in (sill + bar, sill + (lintel - sill) * 0.66, lintel - bar)
            ),
            box((-0.2, sill - 0.05, near - 0.08), (0.12, sill, far + 0.08), white),
            box((0, 0, -0.55), (0.02, 0.1, d), white),
            box((w - 0.02, 0, -0.55), (w, 0.1, d), white),
            box((0, 0, d - 0.02), (w, 0.1, d), white),
            box((-1.6, -1, near - 3), (-1.5, 4, far + 6), OUTSIDE),
        ]

    def scene(self, house: House, shapes: list[Shape], camera: Camera, lamps: tuple[Lamp, ...] = ()) -> Scene:
        """The furnished room in the light of its window, with the sun on the floor."""
        near, far = self.window
        spread = [
            (near * (1 - t) + far * t, self.sill * (1 - s) + self.lintel * s)
            for t, s in ((0.2, 0.3), (0.75, 0.25), (0.3, 0.8), (0.8, 0.75))
        ]
        window = Lamp(
            tuple((-0.03, y, z) for z, y in spread), (0.92, 0.97, 1.05), 4.4 * (far - near), (1.0, 0.0, 0.0)
        )
        bounce = Lamp(((self.width * 0.55, 1.5, self.depth * 0.15),), house.sun, 1.5)
        return Scene(
            camera=camera,
            shapes=tuple(shapes),
            lamps=(window, bounce, *lamps),
            casting=tuple(
                shapes[1:-1]
                if shapes[-1].cover is OUTSIDE
                else [shape for shape in shapes[4:] if shape.cover is not OUTSIDE]
            ),
            sun=(-0.72, 0.60, -0.35),
            sun_color=house.sun,
            sun_strength=2.0,
            ambient=0.30,
            ambient_color=tuple(0.55 + 0.45 * c for c in house.wall),  # type: ignore[arg-type]
            room=(self.width, self.height, self.depth),
        )


def kitchen(house: House) -> Scene:
    """Cabinets along the far wall with oven, hob and hood, a fridge, an island with stools and lamps."""
    shell = Shell(4.8, 5.2, (1.9, 4.0))
    w, d = shell.width, shell.depth
    front = d - 0.62
    cabinet = Cover(house.accent, "plain")
    wall = Cover(house.wall)
    shapes = shell.shapes(wall, wall, house.wood if house.name != "garden-house" else house.tile)
    shapes += [
        box((0.05, 0.1, front), (w - 0.95, 0.88, d), cabinet),
        box((0.05, 0, front + 0.06), (w - 0.95, 0.1, d), BLACK),
        box((0.02, 0.88, front - 0.03), (w - 0.93, 0.93, d), house.worktop),
        box(
            (0, 0.93, d - 0.015),
            (w - 0.95, 1.5, d),
            Cover((0.86, 0.87, 0.86), "tiles", 0.15, (0.6, 0.6, 0.58)),
        ),
        box((0.05, 1.5, d - 0.36), (1.85, 2.25, d), cabinet),
        box((2.75, 1.5, d - 0.36), (w - 0.95, 2.25, d), cabinet),
        box((w - 0.9, 0.05, d - 0.72), (w - 0.05, 2.05, d), STEEL),
        box((w - 0.9, 1.28, d - 0.725), (w - 0.05, 1.295, d), BLACK),
        *(box((w - 0.84, y, d - 0.77), (w - 0.81, y + 0.4, d - 0.72), BLACK) for y in (0.8, 1.35)),
        *_doors(0.05, w - 0.95, 0.12, 0.86, front, 6),
        *_doors(0.05, 1.85, 1.52, 2.24, d - 0.36, 3),
        *_doors(2.75, w - 0.95, 1.52, 2.24, d - 0.36, 2),
        box((1.98, 0.14, front - 0.015), (2.6, 0.72, d), BLACK),  # the oven
        box(
            (2.06, 0.22, front - 0.02),
            (2.52, 0.56, d),
            Cover((0.10, 0.09, 0.09), "stone", 2.0, (0.3, 0.28, 0.26)),
        ),
        box((2.04, 0.63, front - 0.05), (2.54, 0.65, front), STEEL),
        box((1.95, 0.93, front + 0.07), (2.63, 0.94, d - 0.1), BLACK),  # the hob
        *(Ball((x, 1.0, z), (0.11, 0.08, 0.11), STEEL) for x, z in ((2.12, d - 0.25),)),
        box((1.92, 1.62, d - 0.45), (2.68, 1.72, d), STEEL),  # the hood
        box((2.15, 1.72, d - 0.3), (2.45, 2.65, d), STEEL),
        box((0.75, 0.925, front + 0.1), (1.4, 0.935, d - 0.12), Cover((0.4, 0.41, 0.42))),  # the sink
        box((1.05, 0.93, d - 0.1), (1.08, 1.25, d - 0.07), STEEL),
        box((1.05, 1.23, d - 0.3), (1.08, 1.25, d - 0.07), STEEL),
        *_island(house, 1.55, 3.35, 2.35, 3.05),
    ]
    lamps = []
    for x in (2.0, 2.9):
        shapes += [
            box((x - 0.006, 1.95, 2.694), (x + 0.006, 2.65, 2.706), BLACK),
            Ball((x, 1.88, 2.7), (0.15, 0.13, 0.15), Cover((1.0, 0.86, 0.6), glow=1.3)),
        ]
        lamps.append(Lamp(((x, 1.7, 2.7),), (1.0, 0.8, 0.5), 0.35))
    camera = Camera((3.3 + house.stand, 1.55, -0.75), yaw=-0.2 - 0.2 * house.stand, lens=0.76, drop=0.07)
    return shell.scene(house, shapes, camera, tuple(lamps))


def _doors(left: float, right: float, low: float, high: float, z: float, count: int) -> list[Shape]:
    """The gaps between a cabinet's doors, and their handles."""
    wide = (right - left) / count
    gaps: list[Shape] = [
        box((left + wide * n - 0.006, low, z - 0.004), (left + wide * n + 0.006, high, z), BLACK)
        for n in range(1, count)
    ]
    y = high - 0.1 if low < 1 else low + 0.06
    for n in range(count):
        middle = left + wide * (n + 0.5)
        gaps.append(box((middle - 0.08, y, z - 0.035), (middle + 0.08, y + 0.018, z - 0.02), STEEL))
    return gaps


def _island(house: House, left: float, right: float, near: float, far: float) -> list[Shape]:
    shapes: list[Shape] = [
        box((left, 0, near + 0.22), (right, 0.88, far), Cover(house.wood.color, "boards", 0.22)),
        box((left - 0.08, 0.88, near - 0.05), (right + 0.08, 0.94, far + 0.06), house.worktop),
        Ball((right - 0.45, 0.99, far - 0.3), (0.2, 0.07, 0.2), CERAMIC),
    ]
    fruit: tuple[Color, ...] = ((0.75, 0.12, 0.08), (0.85, 0.5, 0.06), (0.35, 0.5, 0.08), (0.85, 0.62, 0.1))
    for n, color in enumerate(fruit):
        x, z = right - 0.53 + 0.055 * n, far - 0.33 + 0.07 * (n % 2)
        shapes.append(Ball((x, 1.07, z), (0.055, 0.055, 0.055), Cover(color)))
    for x in np.linspace(left + 0.35, right - 0.35, 3):
        seat = (float(x), 0.66, near - 0.12)
        shapes.append(Ball(seat, (0.2, 0.05, 0.2), Cover(house.cloth, "cloth", 0.5)))
        shapes += [
            box(
                (x + dx - 0.015, 0, seat[2] + dz - 0.015), (x + dx + 0.015, 0.64, seat[2] + dz + 0.015), BLACK
            )
            for dx in (-0.13, 0.13)
            for dz in (-0.13, 0.13)
        ]
    return shapes


def bedroom(house: House) -> Scene:
    """A double bed with pillows and a blanket, bedside lamps, curtains, a rug, a wardrobe, a picture."""
    shell = Shell(4.6, 5.0, (2.0, 3.7), sill=0.7, lintel=2.3)
    w, d = shell.width, shell.depth
    wall = Cover(house.wall)
    tinted = Cover(tuple(0.35 * a + 0.65 * b for a, b in zip(house.accent, house.wall, strict=True)))  # type: ignore[arg-type]
    shapes = shell.shapes(wall, tinted, house.wood)
    left, right, foot = 1.15, 3.0, d - 2.25
    cloth = Cover(house.cloth, "cloth", 0.8)
    linen = Cover((0.90, 0.89, 0.86), "cloth", 0.9)
    shapes += [
        box(
            (0.75, 0.0, foot - 0.7),
            (3.6, 0.02, d - 0.9),
            Cover(house.cloth, "stripes", 0.17, (0.82, 0.8, 0.75)),
        ),
        box((left - 0.12, 0.2, d - 0.12), (right + 0.12, 1.22, d), Cover(house.wood.color, "boards", 0.3)),
        box((left - 0.04, 0.1, foot), (right + 0.04, 0.34, d - 0.1), Cover(house.wood.color, "boards", 0.12)),
        box((left, 0.34, foot + 0.03), (right, 0.58, d - 0.12), linen),
        box((left - 0.05, 0.3, foot - 0.02), (right + 0.05, 0.64, d - 0.85), linen),
        box((left - 0.07, 0.28, foot - 0.04), (right + 0.07, 0.67, foot + 0.62), cloth),
        *(Ball((x, 0.76, d - 0.42), (0.4, 0.17, 0.25), linen) for x in (left + 0.45, right - 0.45)),
        *(Ball((x, 0.82, d - 0.64), (0.27, 0.2, 0.14), cloth) for x in (left + 0.5, right - 0.5)),
        box((w - 0.62, 0, 2.35), (w, 2.3, d - 0.55), Cover((0.80, 0.79, 0.76), "plain")),
        *(box((w - 0.625, 0.08, z - 0.006), (w, 2.28, z + 0.006), BLACK) for z in (2.9, 3.55)),
        *(box((w - 0.65, 1.0, z - 0.01), (w - 0.62, 1.3, z + 0.01), STEEL) for z in (3.45, 3.65)),
        box((1.5, 1.45, d - 0.035), (2.65, 2.2, d), Cover((0.15, 0.13, 0.12))),
        box((1.56, 1.51, d - 0.04), (2.59, 2.14, d), Cover(house.cloth, "stone", 0.5, (0.93, 0.85, 0.7))),
        *(
            box((0.03, 0.1, z), (0.17, 2.45, z + 0.42), Cover((0.82, 0.80, 0.75), "cloth", 0.25))
            for z in (shell.window[0] - 0.38, shell.window[1] - 0.04)
        ),
        box((0.05, 2.44, shell.window[0] - 0.5), (0.1, 2.47, shell.window[1] + 0.5), BLACK),
    ]
    lamps = []
    for x in (left - 0.5, right + 0.5):
        shapes += [
            box(
                (x - 0.24, 0.12, d - 0.5), (x + 0.24, 0.52, d - 0.04), Cover(house.wood.color, "boards", 0.4)
            ),
            box((x - 0.2, 0.3, d - 0.505), (x + 0.2, 0.31, d), BLACK),
            box((x - 0.02, 0.52, d - 0.29), (x + 0.02, 0.75, d - 0.25), BLACK),
            Ball((x, 0.86, d - 0.27), (0.16, 0.14, 0.16), Cover((1.0, 0.85, 0.6), glow=1.0)),
        ]
        lamps.append(Lamp(((x, 0.95, d - 0.5),), (1.0, 0.75, 0.45), 0.22))
    camera = Camera((2.75 + house.stand, 1.5, -0.7), yaw=-0.13 - 0.22 * house.stand, lens=0.74, drop=0.08)
    return shell.scene(house, shapes, camera, tuple(lamps))


def bathroom(house: House) -> Scene:
    """A bathtub along the far wall, a basin under a mirror, a toilet, towels, tiles."""
    shell = Shell(3.6, 4.1, (2.3, 3.3), sill=1.25, lintel=2.2)
    w, d = shell.width, shell.depth
    light = Cover((0.86, 0.87, 0.86), "tiles", 0.3, (0.62, 0.63, 0.62))
    shapes = shell.shapes(Cover(house.wall), house.tile, light if house.tile.color[0] < 0.7 else house.tile)
    cloth = Cover(house.cloth, "cloth", 0.4)
    tub = d - 0.85
    shapes += [
        box((w - 0.02, 0, -0.55), (w, 1.25, d), light),
        box((0.02, 0, tub), (2.0, 0.56, tub + 0.07), CERAMIC),
        box((0.02, 0, d - 0.1), (2.0, 0.56, d), CERAMIC),
        box((0.02, 0, tub), (0.14, 0.56, d), CERAMIC),
        box((1.88, 0, tub), (2.0, 0.56, d), CERAMIC),
        box((0.1, 0, tub), (1.9, 0.38, d), Cover((0.62, 0.78, 0.80), "stone", 0.8, (0.9, 0.95, 0.95))),
        box((0.9, 0.56, d - 0.08), (0.94, 0.78, d - 0.04), STEEL),
        box((0.9, 0.75, d - 0.26), (0.94, 0.78, d - 0.04), STEEL),
        box((0.25, 0.45, tub - 0.02), (0.75, 0.6, tub + 0.09), cloth),  # a towel over the rim
        box((0.25, 0.12, tub - 0.025), (0.75, 0.6, tub), cloth),
        *_toilet(2.42, d),
        *_basin(house, w, 1.75, 2.85),
        box((0.5, 0.0, tub - 0.95), (1.5, 0.025, tub - 0.3), Cover((0.85, 0.84, 0.8), "cloth", 0.3)),
        box((0.03, 1.5, 0.95), (0.06, 1.53, 1.75), STEEL),
        box((0.02, 0.8, 1.05), (0.09, 1.53, 1.6), cloth),
        box(
            (0.05, 0.0, tub - 0.38),
            (0.35, 0.3, tub - 0.08),
            Cover((0.66, 0.50, 0.32), "stripes", 0.04, (0.5, 0.36, 0.22)),
        ),
        *(
            Ball((0.2 + dx, 0.45 + dy, tub - 0.23 + dz), (0.13, 0.2, 0.12), LEAVES)
            for dx, dy, dz in ((0, 0, 0), (0.1, 0.1, 0.03), (-0.08, 0.13, -0.02), (0.02, 0.22, 0.02))
        ),
    ]
    lamps = (Lamp(((w - 0.35, 2.15, 2.0), (w - 0.35, 2.15, 2.6)), (1.0, 0.9, 0.75), 0.5),)
    camera = Camera(
        (1.25 + 0.8 * house.stand, 1.55, -0.85), yaw=0.16 - 0.2 * house.stand, lens=0.72, drop=0.08
    )
    return shell.scene(house, shapes, camera, lamps)


def _toilet(x: float, d: float) -> list[Shape]:
    return [
        box((x - 0.2, 0.42, d - 0.2), (x + 0.2, 0.86, d - 0.01), CERAMIC),
        box((x - 0.21, 0.86, d - 0.21), (x + 0.21, 0.89, d), CERAMIC),
        Ball((x, 0.25, d - 0.42), (0.16, 0.26, 0.24), CERAMIC),
        Ball((x, 0.40, d - 0.46), (0.2, 0.07, 0.28), CERAMIC),
        Ball((x, 0.45, d - 0.46), (0.195, 0.03, 0.27), Cover((0.80, 0.80, 0.79))),
        Ball((x, 0.9, d - 0.1), (0.03, 0.02, 0.03), STEEL),
        box((x + 0.42, 0.62, d - 0.09), (x + 0.54, 0.74, d), Cover((0.95, 0.95, 0.94))),
    ]


def _basin(house: House, w: float, near: float, far: float) -> list[Shape]:
    """A vanity on the right wall, a bowl on it, a mirror with a lamp above."""
    middle = (near + far) / 2
    return [
        box((w - 0.52, 0.3, near), (w, 0.8, far), Cover(house.wood.color, "boards", 0.25)),
        box((w - 0.525, 0.54, near + 0.02), (w, 0.55, far - 0.02), BLACK),
        *(box((w - 0.55, y, middle - 0.1), (w - 0.52, y + 0.02, middle + 0.1), STEEL) for y in (0.46, 0.7)),
        box((w - 0.55, 0.8, near - 0.03), (w, 0.84, far + 0.03), house.worktop),
        Ball((w - 0.28, 0.9, middle), (0.2, 0.1, 0.27), CERAMIC),
        Ball((w - 0.28, 0.97, middle), (0.16, 0.035, 0.22), Cover((0.66, 0.68, 0.69))),
        box((w - 0.07, 0.84, middle - 0.02), (w - 0.03, 1.12, middle + 0.02), STEEL),
        box((w - 0.22, 1.1, middle - 0.015), (w - 0.03, 1.13, middle + 0.015), STEEL),
        box((w - 0.03, 1.2, near - 0.02), (w, 2.05, far + 0.02), BLACK),
        box(
            (w - 0.035, 1.23, near + 0.01),
            (w, 2.02, far - 0.01),
            Cover((0.62, 0.70, 0.74), "stone", 2.5, (0.95, 0.97, 1.0), glow=0.25),
        ),
        box((w - 0.14, 2.1, near + 0.2), (w - 0.04, 2.16, far - 0.2), Cover((1.0, 0.93, 0.8), glow=1.6)),
        box((w - 0.2, 0.84, near + 0.06), (w - 0.12, 1.02, near + 0.14), Cover(house.cloth)),
        Ball((w - 0.16, 1.0, far - 0.12), (0.08, 0.14, 0.08), LEAVES),
    ]
