"""The whole OpenAPI 3.1 document: every operation of the app, and the schemas they refer to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway.edges.http.routing import Access, Operation
from gateway.edges.rest.openapi.operations import SHARED
from gateway.edges.rest.transcoding.comments import comments
from gateway.edges.rest.transcoding.descriptors import services

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
        "instance": {"type": "string", "description": "The path that was asked for."},
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
        "reference": {"type": "string", "description": "Under which our logs tell more."},
    },
}
_SECURITY: list[dict[str, list[str]]] = [{"ApiKey": []}, {"Bearer": []}]
_INFO = {
    "title": "Rushes",
    "version": "3",
    "summary": "Photos and a brief in, a finished video advert out.",
    "description": "Field names are snake_case; enums are words in lower case; times are RFC 3339 in UTC; "
    "money is in cents unless its name says otherwise. Errors are `application/problem+json`.",
}
_OWN_TAGS = {
    "Upload": "Photos and music in.",
    "Bytes": "Stored bytes out.",
    "Events": "Facts as they happen.",
    "Webhooks": "Calls from the provider.",
    "Service": "For operators.",
}


def build(operations: Iterable[Operation]) -> dict[str, Any]:
    """The document of these operations."""
    operations = list(operations)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _entry(operation)
    used = {tag for operation in operations for tag in operation.document.get("tags", [])}
    return {
        "openapi": VERSION,
        "info": _INFO,
        "tags": [{"name": n, "description": d} for n, d in _tags().items() if n in used],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": {"Problem": _PROBLEM, **dict(sorted(SHARED.components.items()))},
            "securitySchemes": {
                "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "Bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _entry(operation: Operation) -> dict[str, Any]:
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    security = {
        Access.OPEN: [],
        Access.KEY: _SECURITY,
        Access.TOKEN_OR_KEY: [{}, *_SECURITY],
    }[operation.access]
    entry = {**operation.document, "security": security}
    entry["responses"] = {
        **operation.document.get("responses", {}),
        "default": {"description": "It did not work.", "content": problem},
    }
    return entry


def _tags() -> dict[str, str]:
    told = comments()
    return {
        service.name.removesuffix("Service"): told.get(service.full_name, "") for service in services()
    } | _OWN_TAGS
