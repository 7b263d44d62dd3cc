"""What people ask a job to be, with everything they left out filled in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from catalog.core.jobs.domain.model import Edit, JobRequest, Music, Pair, Transition
from servicekit.errors import FieldProblem, Invalid

SCENE_COUNT, SCENE_SECONDS, CROSSFADE_SECONDS = 4, 4.0, 0.5
SIZE, LONG_SIDE, SMALLEST, LARGEST = "1920x1080", 1920, 64, 4096
SHORTEST_SCENE = 0.5
PLANNERS = ("", "deterministic", "llm")


@dataclass(frozen=True)
class Composed:
    """Music as it is asked for: an asset, or a prompt and perhaps a model."""

    asset_id: str
    prompt: str
    model: str
    gain_db: float


@dataclass(frozen=True)
class Asked:
    """The shape of the cut as it is asked for; empty or 0: not said."""

    size: str = ""
    aspect: str = ""
    transition: Transition = Transition.CUT
    transition_seconds: float = 0.0
    music: Composed | None = None


def planned_request(scene_count: int, scene_seconds: float, model: str, planner: str) -> JobRequest:
    """The request for planned scenes; Invalid when nobody is called like the planner."""
    if planner not in PLANNERS:
        raise _invalid("planner", f"{planner!r} is none: write deterministic or llm, or leave it out")
    return JobRequest(scene_count or SCENE_COUNT, _seconds(scene_seconds, "scene_seconds"), model, planner)


def pairs_request(pairs: Sequence[tuple[str, str, str, float]], model: str) -> JobRequest:
    """The request for given pairs (first picture, last picture, prompt, seconds)."""
    made = tuple(
        Pair(first, last, prompt, _seconds(seconds, f"pairs[{number}].seconds"))
        for number, (first, last, prompt, seconds) in enumerate(pairs)
    )
    return JobRequest(len(made), made[0].seconds, model, pairs=made)


def edit_of(asked: Asked, fps: float) -> Edit:
    """The edit; Invalid names what does not fit."""
    width, height = _size(asked.size, asked.aspect)
    fade = asked.transition is Transition.CROSSFADE
    seconds = (asked.transition_seconds or CROSSFADE_SECONDS) if fade else 0.0
    return Edit(width, height, fps, asked.transition, seconds, _music(asked.music))


def _seconds(value: float, field: str) -> float:
    if value and value < SHORTEST_SCENE:
        raise _invalid(field, f"{value:g} is too short: a scene takes {SHORTEST_SCENE} to 30 seconds")
    return value or SCENE_SECONDS


def _music(asked: Composed | None) -> Music | None:
    if asked is None:
        return None
    if bool(asked.asset_id) == bool(asked.prompt):
        raise _invalid("music", "name an asset_id, or a prompt to compose from, and not both")
    return Music(asked.asset_id, asked.prompt, asked.model, asked.gain_db)


def _size(size: str, aspect: str) -> tuple[int, int]:
    ratio = _ratio(aspect) if aspect else None
    if size or ratio is None:
        width, height = (int(part) for part in (size or SIZE).split("x"))
        if width % 2 or height % 2 or not all(SMALLEST <= side <= LARGEST for side in (width, height)):
            raise _invalid("size", f"{size}: both sides are even numbers from {SMALLEST} to {LARGEST}")
        if ratio is not None and abs(width / height - ratio) > 0.02 * ratio:
            raise _invalid("aspect", f"{aspect} is not the shape of {size}: leave one of them out")
        return width, height
    if ratio >= 1:
        # 16:9 is 1920x1080, 1:1 is 1080x1080: the height stays, up to the longest side.
        width = min(LONG_SIDE, round(1080 * ratio))
        return _even(width), _even(width / ratio)
    height = min(LONG_SIDE, round(1080 / ratio))
    return _even(height * ratio), _even(height)


def _ratio(aspect: str) -> float:
    across, _, down = aspect.partition(":")
    if not int(across) or not int(down) or not 0.25 <= int(across) / int(down) <= 4:
        raise _invalid("aspect", f"{aspect} is no shape of a video: from 1:4 to 4:1")
    return int(across) / int(down)


def _even(side: float) -> int:
    return round(side / 2) * 2


def _invalid(field: str, message: str) -> Invalid:
    return Invalid(f"{field}: {message}", fields=[FieldProblem(field, message)])
