"""Reads a model's `openapi_schema`: its parameters in order, and where files stand in its output.

The forms are those of docs/provider.md, Models and their schemas: `allOf` with a `$ref`, a bare `$ref`,
inline `enum`, `anyOf`, arrays, `uri` and `password` strings, `nullable`, integer enums, a missing `required`,
no schema at all. Beside it are the names under which public models take the same thing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any


class ParameterType(StrEnum):
    """What a parameter takes. FILE is a string that holds the address of one."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    FILE = "file"
    ARRAY = "array"
    OBJECT = "object"
    ANY = "any"


@dataclass(frozen=True)
class Parameter:
    """One parameter of a model.

    Args:
        items: what the elements of an ARRAY are.
        variants: the shapes that a union allows.
        accept: the media types that a file may have.
    """

    name: str
    type: ParameterType
    title: str = ""
    description: str = ""
    required: bool = False
    default: Any = None
    enum: tuple[Any, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str = ""
    format: str = ""
    secret: bool = False
    deprecated: bool = False
    accept: str = ""
    items: Parameter | None = None
    variants: tuple[Parameter, ...] = ()


@dataclass(frozen=True)
class OutputSchema:
    """What a part of a model's output is.

    Args:
        is_file: whether a text here is the address of a file; None: the schema does not say.
        items: of a list.
        properties: of an object.
    """

    is_file: bool | None = None
    items: OutputSchema | None = None
    properties: Mapping[str, OutputSchema] = field(default_factory=dict)


_DEEPEST = 8
"""References that are followed before a schema counts as circular."""


def read_parameters(openapi: Any) -> tuple[Parameter, ...] | None:
    """The parameters in the order in which a form shows them; None when the model publishes no schema."""
    components = _components(openapi)
    schema = components.get("Input")
    if not isinstance(schema, Mapping):
        return None
    schema = _resolve(schema, components)
    properties = _mapping(schema.get("properties"))
    required = schema.get("required")
    required_names = (
        set(required) if isinstance(required, list) and all(isinstance(r, str) for r in required) else set()
    )
    found = [
        (_form_order(raw, place), _parameter(name, raw, components, required=name in required_names))
        for place, (name, raw) in enumerate(properties.items())
        if isinstance(raw, Mapping)
    ]
    return tuple(parameter for _, parameter in sorted(found, key=lambda pair: pair[0]))


def read_output_schema(openapi: Any) -> OutputSchema | None:
    """What the output is; None when the model publishes no schema of it."""
    components = _components(openapi)
    schema = components.get("Output")
    return _output(schema, components) if isinstance(schema, Mapping) else None


def _output(raw: Mapping[str, Any], components: Mapping[str, Any], depth: int = 0) -> OutputSchema:
    if depth >= _DEEPEST:
        return OutputSchema()
    schema = _resolve(raw, components)
    union = schema.get("anyOf") or schema.get("oneOf")
    variants = [
        _output(each, components, depth + 1)
        for each in (union if isinstance(union, list) else ())
        if isinstance(each, Mapping)
    ]
    is_file = {ParameterType.FILE: True, ParameterType.STRING: False}.get(_type(schema))
    if is_file is None and any(each.is_file is not None for each in variants):
        is_file = any(each.is_file for each in variants)
    items = schema.get("items")
    return OutputSchema(
        is_file,
        _output(items, components, depth + 1)
        if isinstance(items, Mapping)
        else next((each.items for each in variants if each.items), None),
        {name: part for each in variants for name, part in each.properties.items()}
        | {
            name: _output(part, components, depth + 1)
            for name, part in _mapping(schema.get("properties")).items()
            if isinstance(part, Mapping)
        },
    )


def _components(openapi: Any) -> Mapping[str, Any]:
    return _mapping(_mapping(_mapping(openapi).get("components")).get("schemas"))


def _form_order(raw: Mapping[str, Any], place: int) -> tuple[float, int]:
    """By `x-order`; those without it come last, as they are written."""
    order = raw.get("x-order")
    has_order = isinstance(order, int | float) and not isinstance(order, bool)
    return (float(order) if has_order else math.inf, place)  # type: ignore[arg-type]  # a number here


def _resolve(raw: Mapping[str, Any], components: Mapping[str, Any], depth: int = 0) -> dict[str, Any]:
    """The schema with `$ref` and `allOf` folded in; its own keys win over what they bring."""
    own = {key: value for key, value in raw.items() if key not in ("$ref", "allOf")}
    if depth >= _DEEPEST:
        return own
    parts: list[Any] = []
    if isinstance(raw.get("$ref"), str):
        parts.append(components.get(raw["$ref"].rpartition("/")[2]))
    if isinstance(raw.get("allOf"), list):
        parts.extend(raw["allOf"])
    merged: dict[str, Any] = {}
    for part in parts:
        if isinstance(part, Mapping):
            merged.update(_resolve(part, components, depth + 1))
    if merged.get("description") == "An enumeration.":  # written by Cog's generator: no use to people
        del merged["description"]
    return merged | own


def _parameter(
    name: str, raw: Mapping[str, Any], components: Mapping[str, Any], *, required: bool, depth: int = 0
) -> Parameter:
    schema = _resolve(raw, components)
    variants = _variants(name, schema, components, depth)
    if len(variants) == 1:  # "this or null": null means left out
        inner = variants[0]
        schema = {**_without_union(schema), **_constraints(inner)} | {
            "type": None,
            "_type": inner.type,
            "_items": inner.items,
            "_secret": inner.secret,
        }
        variants = ()
    type_ = schema.get("_type") or (_union_type(variants) if variants else _type(schema))
    items = schema.get("_items")
    if type_ is ParameterType.ARRAY and items is None and depth < _DEEPEST:
        items = _parameter("", _mapping(schema.get("items")), components, required=False, depth=depth + 1)
    marked_secret = schema.get("x-cog-secret") is True or schema.get("format") == "password"
    inside = (*variants, *((items,) if items else ()))
    read = Parameter(
        name=name,
        type=type_,
        title=_string(schema.get("title")) or name.replace("_", " ").capitalize(),
        description=_string(schema.get("description")),
        required=required,
        default=schema.get("default"),
        enum=_options(schema),
        minimum=_number(schema.get("minimum")),
        maximum=_number(schema.get("maximum")),
        min_length=_whole_number(schema.get("minLength")),
        max_length=_whole_number(schema.get("maxLength")),
        pattern=_string(schema.get("pattern")),
        format=_string(schema.get("format")),
        secret=marked_secret or schema.get("_secret") is True or any(each.secret for each in inside),
        deprecated=schema.get("deprecated") is True,
        accept=_string(schema.get("x-cog-accept")),
        items=items,
        variants=variants,
    )
    return _secret_throughout(read) if read.secret else read


def _secret_throughout(parameter: Parameter) -> Parameter:
    """Nothing inside a secret may be shown either."""
    return replace(
        parameter,
        secret=True,
        items=_secret_throughout(parameter.items) if parameter.items else None,
        variants=tuple(map(_secret_throughout, parameter.variants)),
    )


def _variants(
    name: str, schema: Mapping[str, Any], components: Mapping[str, Any], depth: int
) -> tuple[Parameter, ...]:
    listed = schema.get("anyOf") or schema.get("oneOf")
    if not isinstance(listed, list) or depth >= _DEEPEST:
        return ()
    return tuple(
        _parameter(name, each, components, required=False, depth=depth + 1)
        for each in listed
        if isinstance(each, Mapping) and each.get("type") != "null"
    )


def _without_union(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key not in ("anyOf", "oneOf")}


def _constraints(inner: Parameter) -> dict[str, Any]:
    """What a parameter demands of its values, by the keys of a schema."""
    constraints = {
        "enum": inner.enum,
        "minimum": inner.minimum,
        "maximum": inner.maximum,
        "minLength": inner.min_length,
        "maxLength": inner.max_length,
        "pattern": inner.pattern,
        "format": inner.format,
        "x-cog-accept": inner.accept,
    }
    return {key: value for key, value in constraints.items() if value not in (None, "", ())}


def _union_type(variants: tuple[Parameter, ...]) -> ParameterType:
    """What a form shows for a union: the type when all agree, a number when all are numbers, else text."""
    types = {variant.type for variant in variants}
    if len(types) == 1:
        return types.pop()
    numbers = {ParameterType.INTEGER, ParameterType.NUMBER}
    return ParameterType.NUMBER if types <= numbers else ParameterType.STRING


def _type(schema: Mapping[str, Any]) -> ParameterType:
    named = schema.get("type")
    if isinstance(named, list):  # OpenAPI 3.1: ["string", "null"]
        named = next((each for each in named if each != "null"), None)
    if named == "string" and schema.get("format") in ("uri", "binary"):
        return ParameterType.FILE
    if named in ("string", "integer", "number", "boolean", "array", "object"):
        return ParameterType(named)
    return _inferred_type(schema)


def _inferred_type(schema: Mapping[str, Any]) -> ParameterType:
    """The type of a schema that names none: from its enum, its properties or its items."""
    values = _options(schema)
    if values and all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        return ParameterType.INTEGER
    if values and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return ParameterType.NUMBER
    if values:
        return ParameterType.STRING
    if "properties" in schema:
        return ParameterType.OBJECT
    return ParameterType.ARRAY if "items" in schema else ParameterType.ANY


def _options(schema: Mapping[str, Any]) -> tuple[Any, ...]:
    enum = schema.get("enum")
    return tuple(value for value in enum if value is not None) if isinstance(enum, list | tuple) else ()


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value


def _whole_number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


# The names under which public models take the same thing, the most telling first.
PROMPT = ("prompt", "text_prompt", "text", "caption", "description")
FIRST_IMAGE = (
    "first_image", "first_frame_image", "first_frame", "start_image", "start_frame", "start_image_url",
    "image", "input_image", "image_url", "init_image", "img", "image_input", "photo", "first_frame_url",
)  # fmt: skip
LAST_IMAGE = (
    "last_image", "last_frame_image", "last_frame", "end_image", "end_frame", "end_image_url", "tail_image",
    "image_tail", "final_image", "image_end", "last_frame_url",
)  # fmt: skip
SECONDS = ("duration", "seconds", "duration_seconds", "video_length", "length", "clip_length", "num_seconds")
FRAMES = ("num_frames", "frames", "frame_count")
FRAME_RATE = ("fps", "frames_per_second", "frame_rate")
OUTPUT_COUNT = (
    "num_outputs", "number_of_images", "num_images", "n", "batch_size", "number_of_outputs", "max_images",
)  # fmt: skip

NUMERIC = (ParameterType.INTEGER, ParameterType.NUMBER, ParameterType.STRING)
"""The types that numbers have: some models write them as text, "5s"."""


def find_parameters(
    parameters: Sequence[Parameter], names: Sequence[str], types: Sequence[ParameterType]
) -> list[Parameter]:
    """The parameters that have one of these names and one of these types, in the order of the names."""
    by_name = {each.name.lower(): each for each in parameters}
    found = (by_name.get(name) for name in names)
    return [each for each in found if each is not None and each.type in types]


def number_of(value: Any) -> float | None:
    """The number in `8`, "8", "8s" or "720p"; None when there is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    match = re.match(r"\s*(\d+(?:\.\d+)?)", value) if isinstance(value, str) else None
    return float(match[1]) if match else None
