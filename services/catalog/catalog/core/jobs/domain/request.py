"""Makes the request of a job from what people asked for, and fills in what they left out."""

from __future__ import annotations

from collections.abc import Sequence

from catalog.core.jobs.domain.model import JobRequest, Music, Pair
from servicekit.errors import Invalid

DEFAULT_SCENE_COUNT, DEFAULT_SCENE_SECONDS = 4, 4.0
DEFAULT_SIZE, DEFAULT_SHORT_SIDE, DEFAULT_LONG_SIDE = "1920x1080", 1080, 1920
SMALLEST_SIDE, LARGEST_SIDE = 64, 4096
SHORTEST_SCENE = 0.5
PLANNERS = ("", "deterministic", "llm")


def request_for_planning(
    *, scene_count: int, scene_seconds: float, model: str, planner: str, size: str, aspect: str
) -> JobRequest:
    """The request for scenes that a planner chooses; Invalid names the field that does not fit."""
    if planner not in PLANNERS:
        raise Invalid.field("planner", f"{planner!r} is none: write deterministic or llm, or leave it out")
    seconds = _seconds(scene_seconds, "scene_seconds")
    width, height = _size(size, aspect)
    return JobRequest(scene_count or DEFAULT_SCENE_COUNT, seconds, width, height, model, planner)


def request_for_pairs(pairs: Sequence[tuple[str, str, str, float]], *, model: str, size: str) -> JobRequest:
    """The request for given pairs: (id of the first picture, of the last one, prompt, seconds)."""
    made = tuple(
        Pair(first, last, prompt, _seconds(seconds, f"pairs[{number}].seconds"))
        for number, (first, last, prompt, seconds) in enumerate(pairs)
    )
    width, height = _size(size)
    return JobRequest(len(made), made[0].seconds, width, height, model, pairs=made)


def requested_music(*, asset_id: str, prompt: str, model: str) -> Music:
    """The music under a cut: an asset, or what a model composes; Invalid unless it is one of them."""
    if bool(asset_id) == bool(prompt):
        raise Invalid.field("music", "name an asset_id, or a prompt to compose from, and not both")
    return Music(asset_id, prompt, model)


def _seconds(value: float, field: str) -> float:
    if value and value < SHORTEST_SCENE:
        raise Invalid.field(field, f"{value:g} is too short: a scene takes {SHORTEST_SCENE} to 30 seconds")
    return value or DEFAULT_SCENE_SECONDS


def _size(size: str, aspect: str = "") -> tuple[int, int]:
    ratio = _ratio(aspect) if aspect else None
    if size or ratio is None:
        width, height = (int(part) for part in (size or DEFAULT_SIZE).split("x"))
        if (
            width % 2
            or height % 2
            or not all(SMALLEST_SIDE <= side <= LARGEST_SIDE for side in (width, height))
        ):
            raise Invalid.field(
                "size", f"{size}: both sides are even numbers from {SMALLEST_SIDE} to {LARGEST_SIDE}"
            )
        if ratio is not None and abs(width / height - ratio) > 0.02 * ratio:
            raise Invalid.field("aspect", f"{aspect} is not the shape of {size}: leave one of them out")
        return width, height
    if ratio >= 1:
        # 16:9 is 1920x1080, 1:1 is 1080x1080: the height stays, up to the longest side.
        width = min(DEFAULT_LONG_SIDE, round(DEFAULT_SHORT_SIDE * ratio))
        return _even(width), _even(width / ratio)
    height = min(DEFAULT_LONG_SIDE, round(DEFAULT_SHORT_SIDE / ratio))
    return _even(height * ratio), _even(height)


def _ratio(aspect: str) -> float:
    across, _, down = aspect.partition(":")
    if not int(across) or not int(down) or not 0.25 <= int(across) / int(down) <= 4:
        raise Invalid.field("aspect", f"{aspect} is no shape of a video: from 1:4 to 4:1")
    return int(across) / int(down)


def _even(side: float) -> int:
    return round(side / 2) * 2
