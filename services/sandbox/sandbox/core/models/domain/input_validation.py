"""Validates the `input` of a create against the model's schema, as Replicate does: all problems at once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

JSON = dict[str, Any]


@dataclass(frozen=True)
class InvalidField:
    """One entry of Replicate's `invalid_fields`."""

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


def validate_input(value: JSON, openapi: JSON | None) -> tuple[JSON, list[InvalidField]]:
    """The parameters of `value` that the model has, and what is wrong with them.

    As the real provider does, this drops unknown names silently, refuses an explicit null, and fills in no
    default: the stored input is what the client sent.
    """
    if openapi is None:
        return dict(value), []
    shape = input_schema(openapi)
    schemas = openapi["components"]["schemas"]
    problems = [
        InvalidField("required", "input", f"{name} is required")
        for name in shape.get("required", [])
        if name not in value
    ]
    known: JSON = {}
    for name, schema in shape.get("properties", {}).items():
        if name in value:
            known[name] = value[name]
            problems += _check(value[name], schema, schemas, f"input.{name}")
    return known, problems


def defaults(openapi: JSON | None) -> JSON:
    properties = input_schema(openapi).get("properties", {})
    return {n: s["default"] for n, s in properties.items() if s.get("default") is not None}


def example_input(openapi: JSON, *, prompt: str, file: str) -> JSON:
    """An input that passes validation: the defaults, and a value for each required parameter without one."""
    shape, schemas = input_schema(openapi), openapi["components"]["schemas"]
    value = {n: v for n, v in defaults(openapi).items() if v != ""}
    for name in shape.get("required", []):
        schema = resolve(shape["properties"][name], schemas)
        stand_in = file if schema.get("format") == "uri" else prompt
        value.setdefault(name, schema["enum"][0] if "enum" in schema else stand_in)
    return value


def resolve(schema: JSON, schemas: JSON) -> JSON:
    """The schema with `$ref` and `allOf` replaced by what they refer to."""
    if "$ref" in schema:
        target: JSON = schemas[schema["$ref"].rsplit("/", 1)[1]]
        return {**resolve(target, schemas), **{k: v for k, v in schema.items() if k != "$ref"}}
    if "allOf" in schema:
        merged: JSON = {}
        for part in schema["allOf"]:
            merged.update(resolve(part, schemas))
        return {**merged, **{k: v for k, v in schema.items() if k != "allOf"}}
    return schema


def _check(value: Any, schema: JSON, schemas: JSON, field: str) -> list[InvalidField]:
    schema = resolve(schema, schemas)
    if "anyOf" in schema:
        if any(not _check(value, part, schemas, field) for part in schema["anyOf"]):
            return []
        return [InvalidField("number_any_of", field, "Must validate at least one schema (anyOf)")]
    wanted = schema.get("type")
    if value is None or (wanted and not _is(value, wanted)):
        text = f"Invalid type. Expected: {wanted or 'a value'}, given: {_name(value)}"
        return [InvalidField("invalid_type", field, text)]
    problems = [InvalidField(type_, field, text) for type_, text in _limits(value, schema)]
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        for index, item in enumerate(value):
            problems += _check(item, schema["items"], schemas, f"{field}.{index}")
    return problems


def _is(value: Any, wanted: str) -> bool:
    if isinstance(value, bool):
        return wanted == "boolean"
    if wanted == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES.get(wanted, (object,)))


def _name(value: Any) -> str:
    if value is None:
        return "null"
    return next((name for name in _TYPES if _is(value, name)), type(value).__name__)


def _limits(value: Any, schema: JSON) -> Iterator[tuple[str, str]]:
    """The type and the description of each limit of one value that is broken."""
    if "enum" in schema and value not in schema["enum"]:
        choices = ", ".join(f'"{v}"' if isinstance(v, str) else str(v) for v in schema["enum"])
        yield "enum", f"must be one of the following: {choices}"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if value < schema.get("minimum", value):
            yield "number_gte", f"Must be greater than or equal to {schema['minimum']}"
        if value > schema.get("maximum", value):
            yield "number_lte", f"Must be less than or equal to {schema['maximum']}"
    if isinstance(value, str):
        if len(value) < schema.get("minLength", 0):
            yield "string_gte", f"String length must be greater than or equal to {schema['minLength']}"
        if len(value) > schema.get("maxLength", len(value)):
            yield "string_lte", f"String length must be less than or equal to {schema['maxLength']}"
        if "pattern" in schema and not re.search(schema["pattern"], value):
            yield "pattern", f"Does not match pattern '{schema['pattern']}'"
        if schema.get("format") == "uri" and not re.match(r"(https?://|data:)", value):
            yield "format", "Does not match format 'uri'"
