"""Reads an `input` object against a model's schema the way Replicate does: every problem at once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

JSON = dict[str, Any]


@dataclass(frozen=True)
class Problem:
    """One refused field, in the words of Replicate's `invalid_fields`."""

    type: str
    field: str
    description: str


_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


def input_schema(openapi: JSON | None) -> JSON:
    """The `Input` component, or an empty object when the model publishes no schema."""
    schemas = ((openapi or {}).get("components") or {}).get("schemas") or {}
    found: JSON = schemas.get("Input") or {}
    return found


def read_input(value: JSON, openapi: JSON | None) -> tuple[JSON, list[Problem]]:
    """The known parameters of `value`, and what is wrong with them.

    Unknown names are dropped silently and an explicit null is refused, as the real edge does. Defaults are
    not filled in: the stored input shows what the client sent.
    """
    if openapi is None:
        return dict(value), []
    shape = input_schema(openapi)
    schemas = openapi["components"]["schemas"]
    problems = [
        Problem("required", "input", f"{name} is required")
        for name in shape.get("required", [])
        if name not in value
    ]
    kept: JSON = {}
    for name, schema in shape.get("properties", {}).items():
        if name in value:
            kept[name] = value[name]
            problems += _check(value[name], schema, schemas, f"input.{name}")
    return kept, problems


def defaults(openapi: JSON | None) -> JSON:
    """The default of every parameter that has one."""
    properties = input_schema(openapi).get("properties", {})
    return {n: s["default"] for n, s in properties.items() if s.get("default") is not None}


def example_input(openapi: JSON, *, prompt: str, file: str) -> JSON:
    """An input that is accepted: the defaults, and something for whatever is required beside them."""
    shape, schemas = input_schema(openapi), openapi["components"]["schemas"]
    value = {n: v for n, v in defaults(openapi).items() if v != ""}
    for name in shape.get("required", []):
        schema = resolve(shape["properties"][name], schemas)
        stand_in = file if schema.get("format") == "uri" else prompt
        value.setdefault(name, schema["enum"][0] if "enum" in schema else stand_in)
    return value


def resolve(schema: JSON, schemas: JSON) -> JSON:
    """The schema with `$ref` and a single `allOf` followed."""
    if "$ref" in schema:
        target: JSON = schemas[schema["$ref"].rsplit("/", 1)[1]]
        return {**resolve(target, schemas), **{k: v for k, v in schema.items() if k != "$ref"}}
    if "allOf" in schema:
        merged: JSON = {}
        for part in schema["allOf"]:
            merged.update(resolve(part, schemas))
        return {**merged, **{k: v for k, v in schema.items() if k != "allOf"}}
    return schema


def _check(value: Any, schema: JSON, schemas: JSON, field: str) -> list[Problem]:
    schema = resolve(schema, schemas)
    if "anyOf" in schema:
        tries = [_check(value, part, schemas, field) for part in schema["anyOf"]]
        return (
            []
            if any(not t for t in tries)
            else [Problem("number_any_of", field, "Must validate at least one schema (anyOf)")]
        )
    wanted = schema.get("type")
    if value is None:
        return [Problem("invalid_type", field, f"Invalid type. Expected: {wanted or 'a value'}, given: null")]
    if wanted and not _is(value, wanted):
        return [Problem("invalid_type", field, f"Invalid type. Expected: {wanted}, given: {_name(value)}")]
    return _limits(value, schema, schemas, field)


def _is(value: Any, wanted: str) -> bool:
    if isinstance(value, bool):
        return wanted == "boolean"
    if wanted == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES.get(wanted, (object,)))


def _name(value: Any) -> str:
    for name in ("boolean", "integer", "number", "string", "array", "object"):
        if _is(value, name):
            return name
    return type(value).__name__


def _limits(value: Any, schema: JSON, schemas: JSON, field: str) -> list[Problem]:
    found: list[Problem] = []
    if "enum" in schema and value not in schema["enum"]:
        choices = ", ".join(f'"{v}"' if isinstance(v, str) else str(v) for v in schema["enum"])
        found.append(Problem("enum", field, f"must be one of the following: {choices}"))
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if value < schema.get("minimum", value):
            found.append(
                Problem("number_gte", field, f"Must be greater than or equal to {schema['minimum']}")
            )
        if value > schema.get("maximum", value):
            found.append(Problem("number_lte", field, f"Must be less than or equal to {schema['maximum']}"))
    if isinstance(value, str):
        found += _text_limits(value, schema, field)
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        for index, item in enumerate(value):
            found += _check(item, schema["items"], schemas, f"{field}.{index}")
    return found


def _text_limits(value: str, schema: JSON, field: str) -> list[Problem]:
    found: list[Problem] = []
    if len(value) < schema.get("minLength", 0):
        found.append(
            Problem(
                "string_gte", field, f"String length must be greater than or equal to {schema['minLength']}"
            )
        )
    if len(value) > schema.get("maxLength", len(value)):
        found.append(
            Problem("string_lte", field, f"String length must be less than or equal to {schema['maxLength']}")
        )
    if "pattern" in schema and not re.search(schema["pattern"], value):
        found.append(Problem("pattern", field, f"Does not match pattern '{schema['pattern']}'"))
    if schema.get("format") == "uri" and not re.match(r"(https?://|data:)", value):
        found.append(Problem("format", field, "Does not match format 'uri'"))
    return found
