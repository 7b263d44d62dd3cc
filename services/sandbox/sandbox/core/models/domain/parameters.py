"""Describes model parameters, and makes of them the OpenAPI 3.0 schema that Replicate publishes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

JSON = dict[str, Any]
_MISSING = object()
FILE: JSON = {"type": "string", "format": "uri"}
FILES: JSON = {"type": "array", "items": FILE}


@dataclass(frozen=True)
class Parameter:
    """One input. `component`: for an enum, the schema that holds the choices."""

    name: str
    schema: JSON
    required: bool = False
    component: JSON | None = None


def _finish(
    name: str, schema: JSON, default: Any, note: str, required: bool, *, title: bool = True
) -> Parameter:
    if title:
        schema["title"] = name.replace("_", " ").capitalize()
    if note:
        schema["description"] = note
    if default is not _MISSING:
        schema["default"] = default
    if not required and (default is _MISSING or default is None):
        schema["nullable"] = True
    return Parameter(name, schema, required)


def text(
    name: str = "prompt", note: str = "", *, default: Any = _MISSING, required: bool = False, longest: int = 0
) -> Parameter:
    schema: JSON = {"type": "string"}
    if longest:
        schema["maxLength"] = longest
    return _finish(name, schema, default, note, required)


def file(name: str = "image", note: str = "", *, required: bool = False) -> Parameter:
    return _finish(name, dict(FILE), _MISSING, note, required)


def files(name: str, note: str = "") -> Parameter:
    return _finish(name, dict(FILES), [], note, False)


def whole(name: str, low: int, high: int, default: int, note: str = "") -> Parameter:
    schema: JSON = {"type": "integer", "minimum": low, "maximum": high}
    return _finish(name, schema, default, note, False)


def number(name: str, low: float, high: float, default: float) -> Parameter:
    schema: JSON = {"type": "number", "minimum": low, "maximum": high}
    return _finish(name, schema, default, "", False)


def flag(name: str, default: bool = False) -> Parameter:
    return _finish(name, {"type": "boolean"}, default, "", False)


def secret(name: str, note: str) -> Parameter:
    """A password-like string, in the form that Cog gives it."""
    schema: JSON = {"type": "string", "format": "password", "writeOnly": True, "x-cog-secret": True}
    return _finish(name, schema, None, note, False)


def choice(name: str, options: Sequence[str | int], default: str | int, note: str = "") -> Parameter:
    """One of a list, in Cog's form: `allOf` with one reference, and no type and no title beside it."""
    component: JSON = {
        "title": name,
        "description": "An enumeration.",
        "enum": list(options),
        "type": "integer" if isinstance(options[0], int) else "string",
    }
    schema: JSON = {"allOf": [{"$ref": f"#/components/schemas/{name}"}]}
    return replace(_finish(name, schema, default, note, False, title=False), component=component)


def raw(name: str, schema: JSON) -> Parameter:
    """A parameter with a ready schema."""
    return Parameter(name, schema)


def seed() -> Parameter:
    note = "Random seed. Set for reproducible generation"
    return _finish("seed", {"type": "integer"}, _MISSING, note, False)


def openapi(parameters: Sequence[Parameter], output: JSON) -> JSON:
    """The document under `latest_version.openapi_schema`, as Cog 0.22 emits it."""
    fields: JSON = {}
    components: JSON = {}
    for order, parameter in enumerate(parameters):
        fields[parameter.name] = {**parameter.schema, "x-order": order}
        if parameter.component:
            components[parameter.name] = parameter.component
    shape: JSON = {"type": "object", "title": "Input", "properties": dict(sorted(fields.items()))}
    required = [p.name for p in parameters if p.required]
    if required:
        shape["required"] = required
    return {
        "openapi": "3.0.2",
        "info": {"title": "Cog", "version": "0.1.0"},
        "paths": {},
        "components": {
            "schemas": {
                "Input": shape,
                "Output": {"title": "Output", **output},
                "Status": {
                    "title": "Status",
                    "description": "An enumeration.",
                    "enum": ["starting", "processing", "succeeded", "canceled", "failed"],
                    "type": "string",
                },
                **components,
            }
        },
    }
