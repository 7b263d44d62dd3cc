"""Fitting a scene to a model: prompt, pictures, length and size by what its parameters mean."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from generator.core.models.domain.model_schema import Parameter, Type
from servicekit.errors import FieldProblem, Invalid

# The names under which public models take each thing, the most telling first.
PROMPT = ("prompt", "text_prompt", "text", "caption", "description")
FIRST = (
    "first_image", "first_frame_image", "first_frame", "start_image", "start_frame", "start_image_url",
    "image", "input_image", "image_url", "init_image", "img", "image_input", "photo", "first_frame_url",
)  # fmt: skip
LAST = (
    "last_image", "last_frame_image", "last_frame", "end_image", "end_frame", "end_image_url", "tail_image",
    "image_tail", "final_image", "image_end", "last_frame_url",
)  # fmt: skip
SECONDS = ("duration", "seconds", "duration_seconds", "video_length", "length", "clip_length", "num_seconds")
FRAMES = ("num_frames", "frames", "frame_count")
RATE = ("fps", "frames_per_second", "frame_rate")


@dataclass(frozen=True)
class Scene:
    """The parts of a scene by what they are for; empty or 0 when there is no such part."""

    prompt: str = ""
    first_image: str = ""
    last_image: str = ""
    seconds: float = 0.0
    width: int = 0
    height: int = 0


def find(parameters: Sequence[Parameter], names: Sequence[str], types: Sequence[Type]) -> Parameter | None:
    """The parameter with the first of these names that has one of these types."""
    by_name = {each.name.lower(): each for each in parameters}
    found = (by_name.get(name) for name in names)
    return next((each for each in found if each is not None and each.type in types), None)


def fit(model: str, parameters: Sequence[Parameter] | None, scene: Scene) -> dict[str, Any]:
    """The scene as an input of the model; Invalid when the model has no place for one of its pictures."""
    if parameters is None:
        raise Invalid(
            f"{model} publishes no schema, so a scene cannot be fitted to it: give it an input of your own",
            fields=[FieldProblem("model", "has no schema; choose another model for scenes")],
        )
    fitted: dict[str, Any] = {}
    prompt = find(parameters, PROMPT, (Type.STRING,))
    if prompt is not None and scene.prompt:
        fitted[prompt.name] = scene.prompt[: prompt.max_length] if prompt.max_length else scene.prompt
    fitted |= _pictures(model, parameters, scene)
    fitted |= _length(parameters, scene.seconds)
    fitted |= _size(parameters, scene.width, scene.height)
    return fitted


def _pictures(model: str, parameters: Sequence[Parameter], scene: Scene) -> dict[str, Any]:
    fitted: dict[str, Any] = {}
    problems: list[FieldProblem] = []
    first = find(parameters, FIRST, (Type.FILE,)) or _only_file(parameters)
    last = find(parameters, LAST, (Type.FILE,))
    several = next(
        (p for p in parameters if p.type is Type.ARRAY and p.items and p.items.type is Type.FILE), None
    )
    if scene.first_image and first is not None:
        fitted[first.name] = scene.first_image
    elif scene.first_image and several is not None:
        fitted[several.name] = [scene.first_image]
    elif scene.first_image:
        problems.append(
            FieldProblem("scene.first_image", f"{model} takes no picture: choose an image-to-video model")
        )
    if scene.last_image and last is not None:
        fitted[last.name] = scene.last_image
    elif scene.last_image:
        problems.append(
            FieldProblem(
                "scene.last_image", f"{model} takes no last picture: leave it out or choose another model"
            )
        )
    elif last is not None and last.required and scene.first_image:
        fitted[last.name] = scene.first_image  # a model that must have both gets a move that returns
    if problems:
        raise Invalid("; ".join(problem.message for problem in problems), fields=problems)
    return fitted


def _only_file(parameters: Sequence[Parameter]) -> Parameter | None:
    files = [each for each in parameters if each.type is Type.FILE and each.name.lower() not in LAST]
    required = [each for each in files if each.required]
    named = [each for each in files if "image" in each.name.lower() and "mask" not in each.name.lower()]
    for group in (required, named):
        if len(group) == 1:
            return group[0]
    return None


def _length(parameters: Sequence[Parameter], seconds: float) -> dict[str, Any]:
    if seconds <= 0:
        return {}
    numeric = (Type.INTEGER, Type.NUMBER, Type.STRING)
    parameter = find(parameters, SECONDS, numeric)
    if parameter is not None and (value := nearest(parameter, seconds)) is not None:
        return {parameter.name: value}
    frames = find(parameters, FRAMES, numeric)
    if frames is None:
        return {}
    rate = find(parameters, RATE, numeric)
    fps = number_of(rate.default) if rate is not None else None
    value = nearest(frames, seconds * (fps or 24.0))
    return {frames.name: value} if value is not None else {}


def nearest(parameter: Parameter, wanted: float) -> Any:
    """The least allowed value that is enough; the largest when none is. None for free text."""
    if parameter.enum:
        known = [(number, option) for option in parameter.enum if (number := number_of(option)) is not None]
        enough = [pair for pair in known if pair[0] >= wanted - 1e-6]
        best = min(enough or known, key=lambda pair: abs(pair[0] - wanted), default=None)
        return best[1] if best else None
    if parameter.type is Type.STRING:
        return None
    value = max(
        wanted, parameter.minimum if parameter.minimum is not None and parameter.minimum > 0 else wanted
    )
    value = min(value, parameter.maximum if parameter.maximum is not None else value)
    if parameter.type is Type.NUMBER:
        return value
    whole = -int(-value // 1)
    return whole if parameter.maximum is None or whole <= parameter.maximum else int(value)


def number_of(value: Any) -> float | None:
    """The number in `8`, "8", "8s" or "720p"; None when there is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    match = re.match(r"\s*(\d+(?:\.\d+)?)", value) if isinstance(value, str) else None
    return float(match[1]) if match else None


def _size(parameters: Sequence[Parameter], width: int, height: int) -> dict[str, Any]:
    if width <= 0 or height <= 0:
        return {}
    fitted: dict[str, Any] = {}
    by_name = {each.name.lower(): each for each in parameters}
    if (resolution := by_name.get("resolution") or by_name.get("quality")) is not None and resolution.enum:
        lines = {"4k": 2160.0, "2k": 1440.0, "full hd": 1080.0, "hd": 720.0}
        known = [(lines.get(str(o).lower(), number_of(o)), o) for o in resolution.enum]
        sized = [(number, option) for number, option in known if number is not None and number >= 100]
        enough = [pair for pair in sized if pair[0] >= min(width, height)]
        if sized:
            fitted[resolution.name] = (min(enough) if enough else max(sized, key=lambda pair: pair[0]))[1]
    if (aspect := by_name.get("aspect_ratio")) is not None and aspect.enum:
        ratios = [
            (abs(ratio - width / height), option) for option in aspect.enum if (ratio := _ratio(option))
        ]
        if ratios:
            fitted[aspect.name] = min(ratios, key=lambda pair: pair[0])[1]
    for name, value in (("width", width), ("height", height)):
        parameter = by_name.get(name)
        if parameter is not None and parameter.type in (Type.INTEGER, Type.NUMBER):
            fitted[parameter.name] = nearest(parameter, value)
    return fitted


def _ratio(option: Any) -> float | None:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)[:x/](\d+(?:\.\d+)?)", str(option))
    return float(match[1]) / float(match[2]) if match and float(match[2]) else None
