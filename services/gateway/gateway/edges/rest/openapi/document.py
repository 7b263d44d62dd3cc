"""Builds the whole OpenAPI 3.1 document: every route of the contracts, and the schemas they refer to."""

from __future__ import annotations

from functools import cache
from typing import Any

from gateway.edges.rest.http_bindings import bindings
from gateway.edges.rest.openapi.operations import describe, tag_of
from gateway.edges.rest.openapi.schemas import Schemas
from gateway.edges.rest.transcoding.comments import comments

VERSION = "3.1.0"

_PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "What went wrong (RFC 9457).",
    "required": ["type", "title", "status", "detail", "instance", "errors"],
    "properties": {
        "type": {"type": "string", "description": "The kind of error."},
        "title": {"type": "string", "description": "The status in words."},
        "status": {"type": "integer", "description": "The status."},
        "detail": {"type": "string", "description": "The thing, the value and the way out."},
        "instance": {"type": "string", "description": "The path that was requested."},
        "errors": {
            "type": "array",
            "description": "The fields that are wrong.",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
        "code": {"type": "string", "description": "A short word for programs, where there is one."},
        "reference": {"type": "string", "description": "Under which our logs have more."},
    },
}
_INFO = {
    "title": "Rushes",
    "version": "3",
    "summary": "Photos and a brief in, a finished video advert out.",
    "description": "Field names are snake_case; enums are words in lower case; times are RFC 3339 in UTC; "
    "money is in cents unless its name says otherwise. Errors are `application/problem+json`.",
}


@cache
def build_document() -> dict[str, Any]:
    schemas = Schemas()
    paths: dict[str, dict[str, Any]] = {}
    tags: dict[str, str] = {}
    for binding in bindings():
        paths.setdefault(binding.template.text, {}).update(describe(binding, schemas))
        tags[tag_of(binding)] = comments().get(binding.method.containing_service.full_name, "")
    return {
        "openapi": VERSION,
        "info": _INFO,
        "tags": [{"name": name, "description": text} for name, text in sorted(tags.items())],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": {"Problem": _PROBLEM, **dict(sorted(schemas.components.items()))},
            "securitySchemes": {
                "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "Bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }
