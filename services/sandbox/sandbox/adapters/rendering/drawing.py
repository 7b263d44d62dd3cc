"""Draws pictures from a prompt and a seed, a house or a room, and the text of title cards."""

from __future__ import annotations

import math
import random

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
_SKIES: tuple[tuple[Colour, Colour], ...] = (
    ((58, 110, 180), (206, 228, 246)),
    ((38, 48, 96), (244, 168, 120)),
    ((96, 150, 196), (252, 236, 206)),
    ((70, 96, 130), (226, 196, 200)),
)
_ROOMS = ("room", "kitchen", "bedroom", "bathroom", "living", "interior", "office", "dining", "hall")


def draw(prompt: str, seed: int, size: tuple[int, int]) -> Image.Image:
    """A room when the prompt names one, else a house from outside. The same seed makes the same picture."""
    chance = random.Random(f"{prompt}:{seed}")  # noqa: S311 - a picture, not a secret
    inside = any(word in prompt.lower() for word in _ROOMS)
    return _grain(_room(chance, size) if inside else _landscape(chance, size), chance)


def gradient(top: Colour, bottom: Colour, size: tuple[int, int]) -> Image.Image:
    share = np.linspace(0, 1, size[1])[:, None, None]
    rows = np.array(top) * (1 - share) + np.array(bottom) * share
    return Image.fromarray(np.broadcast_to(rows, (size[1], size[0], 3)).astype(np.uint8))


def text_mask(line: str, subtitle: str, size: tuple[int, int]) -> Image.Image:
    """White text on black, centred, in lines, as large as fits."""
    mask = Image.new("L", size, 0)
    pen = ImageDraw.Draw(mask)
    height = size[1]
    points = height // 9
    while points > 12:
        font = ImageFont.load_default(points)
        lines = _wrap(line, font, pen, size[0] * 0.8)
        if len(lines) * points * 1.25 < height * 0.6:
            break
        points = int(points * 0.85)
    top = height / 2 - len(lines) * points * 0.625 - (points * 0.4 if subtitle else 0)
    for index, words in enumerate(lines):
        pen.text((size[0] / 2, top + points * 1.25 * (index + 0.5)), words, fill=255, font=font, anchor="mm")
    if subtitle:
        below = ImageFont.load_default(max(12, int(points * 0.45)))
        at = (size[0] / 2, top + points * 1.25 * len(lines) + points * 0.6)
        pen.text(at, subtitle, fill=200, font=below, anchor="mm")
    return mask


def _wrap(
    line: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, pen: ImageDraw.ImageDraw, width: float
) -> list[str]:
    lines: list[str] = [""]
    for word in line.split() or [" "]:
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and pen.textlength(longer, font=font) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _landscape(chance: random.Random, size: tuple[int, int]) -> Image.Image:
    width, height = size
    picture = gradient(*chance.choice(_SKIES), size)
    pen = ImageDraw.Draw(picture)
    x, y, r = chance.uniform(0.15, 0.85) * width, chance.uniform(0.12, 0.3) * height, height * 0.06
    pen.ellipse((x - r, y - r, x + r, y + r), fill=(255, 244, 214))
    for layer in range(4):
        base = height * (0.48 + 0.13 * layer)
        waves = [
            (chance.uniform(0.5, 3.5), chance.uniform(0, 6.3), height * 0.05 / (1 + layer * 0.4))
            for _ in range(3)
        ]
        ridge = [
            (i * width / 80, base + sum(a * math.sin(f * i / 80 * 6.3 + p) for f, p, a in waves))
            for i in range(81)
        ]
        green = (chance.randint(30, 70) + 12 * (3 - layer), 110 + 14 * (3 - layer), 60 + 24 * (3 - layer))
        pen.polygon([*ridge, (width, height), (0, height)], fill=green)
    _house(pen, chance, size)
    return picture


def _house(pen: ImageDraw.ImageDraw, chance: random.Random, size: tuple[int, int]) -> None:
    width, height = size
    w, h = height * chance.uniform(0.5, 0.7), height * 0.3
    left, top = chance.uniform(0.2, 0.5) * width, height * 0.55
    wall = chance.choice([(238, 230, 214), (214, 222, 228), (228, 206, 180)])
    roof = chance.choice([(122, 62, 50), (70, 74, 88), (96, 84, 66)])
    pen.rectangle((left, top, left + w, top + h), fill=wall)
    pen.polygon([(left - w * 0.08, top), (left + w / 2, top - h * 0.7), (left + w * 1.08, top)], fill=roof)
    for column in range(3):
        x = left + w * (0.12 + 0.3 * column)
        for y in (top + h * 0.15, top + h * 0.55):
            pen.rectangle(
                (x, y, x + w * 0.16, y + h * 0.25), fill=(250, 224, 150), outline=(80, 70, 60), width=3
            )
    pen.rectangle((left + w * 0.43, top + h * 0.5, left + w * 0.57, top + h), fill=roof)


def _room(chance: random.Random, size: tuple[int, int]) -> Image.Image:
    width, height = size
    wall = chance.choice([(232, 226, 214), (206, 216, 220), (222, 206, 196)])
    picture = gradient(wall, (wall[0] - 28, wall[1] - 28, wall[2] - 28), size)
    pen = ImageDraw.Draw(picture)
    floor = chance.choice([(150, 112, 78), (112, 96, 84), (176, 160, 140)])
    pen.polygon(
        [(0, height), (width * 0.12, height * 0.7), (width * 0.88, height * 0.7), (width, height)], fill=floor
    )
    for i in range(1, 16):
        x = width * i / 16
        pen.line((x, height, width / 2 + (x - width / 2) * 0.76, height * 0.7), fill=(90, 70, 54), width=3)
    left = chance.uniform(0.15, 0.5) * width
    pane = (left, height * 0.14, left + width * 0.26, height * 0.52)
    pen.rectangle(pane, fill=(178, 214, 240), outline=(250, 250, 246), width=max(4, height // 90))
    pen.line(
        ((pane[0] + pane[2]) / 2, pane[1], (pane[0] + pane[2]) / 2, pane[3]), fill=(250, 250, 246), width=8
    )
    cloth = (chance.randint(60, 190), chance.randint(60, 190), chance.randint(60, 190))
    at = chance.uniform(0.2, 0.5) * width
    pen.rounded_rectangle((at, height * 0.58, at + width * 0.36, height * 0.86), height // 30, fill=cloth)
    pen.rounded_rectangle(
        (at, height * 0.5, at + width * 0.36, height * 0.62), height // 30, fill=tuple(c + 24 for c in cloth)
    )
    return picture


def _grain(picture: Image.Image, chance: random.Random) -> Image.Image:
    """Noise makes the camera's move visible in a flat area, too."""
    noise = np.random.default_rng(chance.randrange(2**32)).integers(-5, 6, (picture.height, picture.width, 1))
    return Image.fromarray(np.clip(np.asarray(picture).astype(np.int16) + noise, 0, 255).astype(np.uint8))
