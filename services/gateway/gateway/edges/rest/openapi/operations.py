"""The OpenAPI entry of an operation that comes from the contracts."""

from __future__ import annotations

import re
from typing import Any

from gateway.edges.rest.http_bindings import Binding
from gateway.edges.rest.openapi.schemas import Schemas
from gateway.edges.rest.transcoding.binding import query_fields
from gateway.edges.rest.transcoding.comments import comments
from gateway.edges.rest.transcoding.descriptors import fields_of, message_of

SHARED = Schemas()
"""The schemas of all operations; they depend on the contracts alone."""

_MEANING = {200: "Done.", 201: "Created.", 202: "Accepted; the work itself comes later.", 204: "Gone."}


def describe(binding: Binding) -> dict[str, Any]:
    """The operation object of one address of one RPC."""
    method, told = binding.descriptor, comments()
    text = told.get(method.full_name, method.name)
    summary, _, _ = text.partition(". ")
    tag = method.containing_service.name.removesuffix("Service")
    entry: dict[str, Any] = {
        "tags": [tag],
        "summary": summary.rstrip(".:"),
        "description": text,
        "operationId": _operation_id(binding),
        "parameters": _parameters(binding),
        "responses": _responses(binding),
    }
    if binding.rule.body:
        fields = fields_of(method.input_type)
        schema = (
            SHARED.body(method.input_type, binding.rule.variables)
            if binding.rule.body == "*"
            else SHARED.field(fields[binding.rule.body])
        )
        needed = bool(schema.get("required") or "$ref" in schema)
        entry["requestBody"] = {"required": needed, "content": {"application/json": {"schema": schema}}}
    return entry


def _operation_id(binding: Binding) -> str:
    """The RPC's name; for its other addresses with what sets them apart: a variable, or the path."""
    if not binding.additional:
        return binding.descriptor.name
    if binding.template.text.startswith("/api/v3/"):
        return f"{binding.descriptor.name}_{binding.template.variables[-1]}"
    words = re.sub(r"[^a-z0-9]+", "_", binding.template.shape.removeprefix("/api/")).strip("_")
    return f"{binding.descriptor.name}_{words}"


def _parameters(binding: Binding) -> list[dict[str, Any]]:
    message = binding.descriptor.input_type
    places = [(name, "path", _nested(message, name)) for name in binding.rule.variables]
    places += [(name, "query", field) for name, field in query_fields(message, binding.rule).items()]
    found = []
    for name, where, field in places:
        schema = dict(SHARED.field(field))
        told = schema.pop("description", "")
        if "anyOf" in schema:  # left out rather than null, in an address
            schema = schema["anyOf"][0]
        if isinstance(schema.get("type"), list):
            schema["type"] = schema["type"][0]
        entry = {"name": name, "in": where, "description": told, "schema": schema}
        found.append({**entry, "required": True} if where == "path" else entry)
    return found


def _nested(message: Any, name: str) -> Any:
    *outer, last = name.split(".")
    for part in outer:
        message = message_of(fields_of(message)[part])
    return fields_of(message)[last]


def _responses(binding: Binding) -> dict[str, Any]:
    content = {}
    if binding.status != 204:
        schema = SHARED.reference(binding.descriptor.output_type)
        content = {"content": {"application/json": {"schema": schema}}}
    answers = {str(binding.status): {"description": _MEANING[binding.status], **content}}
    if binding.descriptor.name == "CreateJob":
        answers["202"] = {"description": "Still being planned: a draft.", **content}
    return answers
