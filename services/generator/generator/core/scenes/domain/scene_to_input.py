"""Fits a scene to a model: prompt, pictures, length and size go where the model's parameters mean them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from generator.core.models.domain import model_schema as schema
from generator.core.models.domain.model_schema import Parameter, ParameterType
from servicekit.errors import FieldProblem, Invalid

_FALLBACK_FRAME_RATE = 24.0
_RESOLUTIONS = {"4k": 2160.0, "2k": 1440.0, "full hd": 1080.0, "hd": 720.0}
"""Lines of picture that a word means; others have the number in them, "720p"."""


@dataclass(frozen=True)
class SceneInput:
    """The parts of a scene by what they are for; empty or 0 when there is no such part."""

    prompt: str = ""
    first_image: str = ""
    last_image: str = ""
    seconds: float = 0.0
    width: int = 0
    height: int = 0


def fit_scene(model: str, parameters: Sequence[Parameter] | None, scene: SceneInput) -> dict[str, Any]:
    """The scene as an input of the model; Invalid when the model has no place for one of its pictures."""
    if parameters is None:
        way_out = "a scene cannot be fitted to it: give it an input of your own"
        raise Invalid.field(
            "model",
            "has no schema; choose another model for scenes",
            sentence=f"{model} publishes no schema, so {way_out}",
        )
    fitted: dict[str, Any] = {}
    prompt = _find(parameters, schema.PROMPT, (ParameterType.STRING,))
    if prompt is not None and scene.prompt:
        fitted[prompt.name] = scene.prompt[: prompt.max_length] if prompt.max_length else scene.prompt
    fitted |= _pictures(model, parameters, scene)
    fitted |= _length(parameters, scene.seconds)
    fitted |= _size(parameters, scene.width, scene.height)
    return fitted


def _find(
    parameters: Sequence[Parameter], names: Sequence[str], types: Sequence[ParameterType]
) -> Parameter | None:
    return next(iter(schema.find_parameters(parameters, names, types)), None)


def _pictures(model: str, parameters: Sequence[Parameter], scene: SceneInput) -> dict[str, Any]:
    fitted: dict[str, Any] = {}
    problems: list[FieldProblem] = []
    first = _find(parameters, schema.FIRST_IMAGE, (ParameterType.FILE,)) or _only_file(parameters)
    last = _find(parameters, schema.LAST_IMAGE, (ParameterType.FILE,))
    file_list = next((each for each in parameters if _takes_files(each)), None)
    if scene.first_image and first is not None:
        fitted[first.name] = scene.first_image
    elif scene.first_image and file_list is not None:
        fitted[file_list.name] = [scene.first_image]
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
        fitted[last.name] = scene.first_image  # a model that must have both makes a move that returns
    if problems:
        raise Invalid("; ".join(problem.message for problem in problems), fields=problems)
    return fitted


def _takes_files(parameter: Parameter) -> bool:
    return (
        parameter.type is ParameterType.ARRAY
        and parameter.items is not None
        and parameter.items.type is ParameterType.FILE
    )


def _only_file(parameters: Sequence[Parameter]) -> Parameter | None:
    """The only file that is required, else the only one that is called an image."""
    files = [
        each
        for each in parameters
        if each.type is ParameterType.FILE and each.name.lower() not in schema.LAST_IMAGE
    ]
    required = [each for each in files if each.required]
    named = [each for each in files if "image" in each.name.lower() and "mask" not in each.name.lower()]
    for group in (required, named):
        if len(group) == 1:
            return group[0]
    return None


def _length(parameters: Sequence[Parameter], seconds: float) -> dict[str, Any]:
    if seconds <= 0:
        return {}
    parameter = _find(parameters, schema.SECONDS, schema.NUMERIC)
    if parameter is not None and (value := nearest_allowed(parameter, seconds)) is not None:
        return {parameter.name: value}
    frames = _find(parameters, schema.FRAMES, schema.NUMERIC)
    if frames is None:
        return {}
    rate = _find(parameters, schema.FRAME_RATE, schema.NUMERIC)
    fps = schema.number_of(rate.default) if rate is not None else None
    value = nearest_allowed(frames, seconds * (fps or _FALLBACK_FRAME_RATE))
    return {frames.name: value} if value is not None else {}


def nearest_allowed(parameter: Parameter, wanted: float) -> Any:
    """The least allowed value that is enough; the largest when none is. None for free text."""
    if parameter.enum:
        numbers = [
            (number, option) for option in parameter.enum if (number := schema.number_of(option)) is not None
        ]
        enough = [pair for pair in numbers if pair[0] >= wanted - 1e-6]
        best = min(enough or numbers, key=lambda pair: abs(pair[0] - wanted), default=None)
        return best[1] if best else None
    if parameter.type is ParameterType.STRING:
        return None
    value = wanted
    if parameter.minimum is not None and parameter.minimum > 0:
        value = max(value, parameter.minimum)
    if parameter.maximum is not None:
        value = min(value, parameter.maximum)
    if parameter.type is ParameterType.NUMBER:
        return value
    whole = -int(-value // 1)
    return whole if parameter.maximum is None or whole <= parameter.maximum else int(value)


def _size(parameters: Sequence[Parameter], width: int, height: int) -> dict[str, Any]:
    if width <= 0 or height <= 0:
        return {}
    fitted: dict[str, Any] = {}
    by_name = {each.name.lower(): each for each in parameters}
    resolution = by_name.get("resolution") or by_name.get("quality")
    if resolution is not None and (sized := _resolutions(resolution)):
        enough = [pair for pair in sized if pair[0] >= min(width, height)]
        best = min(enough, key=lambda pair: pair[0]) if enough else max(sized, key=lambda pair: pair[0])
        fitted[resolution.name] = best[1]
    if (aspect := by_name.get("aspect_ratio")) is not None and aspect.enum:
        ratios = [
            (abs(ratio - width / height), option)
            for option in aspect.enum
            if (ratio := _aspect_ratio(option))
        ]
        if ratios:
            fitted[aspect.name] = min(ratios, key=lambda pair: pair[0])[1]
    for name, value in (("width", width), ("height", height)):
        parameter = by_name.get(name)
        if parameter is not None and parameter.type in (ParameterType.INTEGER, ParameterType.NUMBER):
            fitted[parameter.name] = nearest_allowed(parameter, value)
    return fitted


def _resolutions(parameter: Parameter) -> list[tuple[float, Any]]:
    """The options that name a size, with their lines of picture."""
    lines = [(_RESOLUTIONS.get(str(each).lower(), schema.number_of(each)), each) for each in parameter.enum]
    return [(number, option) for number, option in lines if number is not None and number >= 100]


def _aspect_ratio(option: Any) -> float | None:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)[:x/](\d+(?:\.\d+)?)", str(option))
    return float(match[1]) / float(match[2]) if match and float(match[2]) else None
