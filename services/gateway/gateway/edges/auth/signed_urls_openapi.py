"""The document entries of signed addresses."""

from __future__ import annotations

from typing import Any

from gateway.edges.http.routing import parameter

_TEXT = {"type": "string"}
_TTL = {
    "type": "integer",
    "minimum": 1,
    "maximum": 86400,
    "default": 3600,
    "description": "For how many seconds.",
}
_ADDRESS = {
    "type": "object",
    "required": ["url", "token", "expires_at"],
    "properties": {"url": _TEXT, "token": _TEXT, "expires_at": {"type": "string", "format": "date-time"}},
}


def _token(tag: str, summary: str, name: str, described: str) -> dict[str, Any]:
    body = {"type": "object", "additionalProperties": False, "properties": {"ttl_s": _TTL}}
    return {
        "tags": [tag],
        "summary": summary,
        "parameters": [parameter(name, "path", described, _TEXT)],
        "requestBody": {"content": {"application/json": {"schema": body}}},
        "responses": {
            "200": {"description": "The address.", "content": {"application/json": {"schema": _ADDRESS}}}
        },
    }


ASSET_TOKEN = _token(
    "Upload", "Make an address that opens one asset without a key, for a while", "id", "The asset's id."
)
CUT_TOKEN = _token(
    "Bytes",
    "Make an address that plays a job's cut without a key, for a while",
    "job_id",
    "The job's id.",
)
