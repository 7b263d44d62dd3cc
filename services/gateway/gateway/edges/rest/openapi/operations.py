"""Describes each route of the contracts as an OpenAPI operation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from gateway.edges.rest.http_bindings import Binding
from gateway.edges.rest.openapi.schemas import Schema, Schemas
from gateway.edges.rest.transcoding.binding import header_fields, query_fields
from gateway.edges.rest.transcoding.comments import comments
from gateway.edges.rest.transcoding.descriptors import HTTP_BODY, fields_of, message_of

_MEANING = {
    200: "Done.",
    201: "Created.",
    202: "Accepted; the work itself comes later.",
    204: "Gone.",
    302: "Elsewhere.",
    503: "Not now; the body says why.",
}
_RANGES = {
    "206": "The ranges that were requested.",
    "302": "Where the object store has it, for a few minutes.",
    "304": "What you have is still right.",
    "412": "It is not what you expect.",
    "416": "No such range.",
}
_RANGE_HEADERS = (
    *("Range", "If-Range"),
    *("If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since"),
)
_TEXT: Schema = {"type": "string"}
_SECURITY: list[dict[str, list[str]]] = [{"ApiKey": []}, {"Bearer": []}]
_PROBLEM: Schema = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


def tag_of(binding: Binding) -> str:
    return binding.method.containing_service.name.removesuffix("Service")


def describe(binding: Binding, schemas: Schemas) -> Iterator[tuple[str, dict[str, Any]]]:
    """The operation objects of one route, each with its verb in lower case.

    Args:
        schemas: collects the schemas that the operations refer to.
    """
    method = binding.method
    text = comments().get(method.full_name, method.name)
    operation: dict[str, Any] = {
        "tags": [tag_of(binding)],
        "summary": text.partition(". ")[0].rstrip(".:"),
        "description": text,
        "operationId": _operation_id(binding),
        "parameters": list(_parameters(binding, schemas)),
        "responses": _responses(binding, schemas),
        "security": _security(binding),
    }
    if method.GetOptions().deprecated:
        operation["deprecated"] = True
    if binding.rule.body:
        operation["requestBody"] = _request_body(binding, schemas)
    yield binding.verb.lower(), operation
    if binding.rest.ranges:
        yield "head", _without_body(operation)


def _operation_id(binding: Binding) -> str:
    """The RPC's name; for its other routes with what sets them apart: a variable, or the path."""
    if not binding.additional:
        return binding.method.name
    if binding.template.text.startswith("/api/v3/"):
        return f"{binding.method.name}_{binding.template.variables[-1]}"
    words = re.sub(r"[^a-z0-9]+", "_", binding.template.shape.removeprefix("/api/")).strip("_")
    return f"{binding.method.name}_{words}"


def _parameters(binding: Binding, schemas: Schemas) -> Iterator[dict[str, Any]]:
    message = binding.method.input_type
    places = [(name, "path", _nested(message, name)) for name in binding.rule.variables]
    places += [(name, "query", field) for name, field in query_fields(message, binding.rule).items()]
    places += [(name, "header", field) for name, field in header_fields(message).items()]
    for name, where, field in places:
        schema = dict(schemas.field(field))
        description = schema.pop("description", "")
        if "anyOf" in schema:  # left out rather than null, in an address
            schema = schema["anyOf"][0]
        if isinstance(schema.get("type"), list):
            schema["type"] = schema["type"][0]
        yield _parameter(name, where, description, schema)
    if binding.rest.token:
        yield _parameter("token", "query", "A token made for it; then no key is needed.", _TEXT)
    for name in _RANGE_HEADERS if binding.rest.ranges else ():
        yield _parameter(name, "header", "As in RFC 9110.", _TEXT)


def _parameter(name: str, where: str, description: str, schema: Schema) -> dict[str, Any]:
    required = {"required": True} if where == "path" else {}
    return {"name": name, "in": where, "description": description, "schema": schema, **required}


def _nested(message: Any, name: str) -> Any:
    *outer, last = name.split(".")
    for part in outer:
        message = message_of(fields_of(message)[part])
    return fields_of(message)[last]


def _request_body(binding: Binding, schemas: Schemas) -> dict[str, Any]:
    message, rule = binding.method.input_type, binding.rule
    content = {}
    for media_type in binding.consumes:
        if rule.body == "*":
            schema = schemas.body(message, rule.variables, media_type)
        elif binding.has_raw_body:
            schema = {"description": comments().get(f"{message.full_name}.{rule.body}", "")}
        else:
            schema = schemas.field(fields_of(message)[rule.body])
        content[media_type] = {"schema": schema}
    required = any(
        bool(each["schema"].get("required")) or "$ref" in each["schema"] for each in content.values()
    )
    return {"required": required or binding.has_raw_body, "content": content}


def _responses(binding: Binding, schemas: Schemas) -> dict[str, Any]:
    content: dict[str, Any] = {}
    output = binding.method.output_type
    if binding.status != 204:
        if output.full_name != HTTP_BODY:
            content = {"content": {"application/json": {"schema": schemas.reference(output)}}}
        elif binding.status == 200:
            media_type = binding.rest.produces or "*/*"
            schema = _TEXT if media_type.startswith("text/") else schemas.reference(output)
            content = {"content": {media_type: {"schema": schema}}}
    responses = {str(binding.status): {"description": _MEANING[binding.status], **content}}
    if binding.rest.when.field:
        status = binding.rest.when.status
        responses[str(status)] = {"description": _MEANING[status], **content}
    if binding.rest.ranges:
        responses.update({status: {"description": meaning} for status, meaning in _RANGES.items()})
        responses["206"] |= content
    return {**responses, "default": {"description": "It did not work.", "content": _PROBLEM}}


def _security(binding: Binding) -> list[dict[str, list[str]]]:
    if binding.scope is None:
        return []
    return [{}, *_SECURITY] if binding.rest.token else _SECURITY


def _without_body(operation: dict[str, Any]) -> dict[str, Any]:
    """The HEAD beside a GET."""
    return {
        **operation,
        "summary": f"{operation['summary']} (without the bytes)",
        "operationId": f"{operation['operationId']}_head",
        "responses": {
            status: {"description": response["description"]} if status != "default" else response
            for status, response in operation["responses"].items()
        },
    }
