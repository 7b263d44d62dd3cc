"""The document entries of uploads and signed addresses."""

from __future__ import annotations

from typing import Any

from gateway.core.uploads.domain.upload_types import ACCEPTED
from gateway.edges.rest.openapi.operations import SHARED
from rushes.catalog.v1.assets_pb2 import Asset

_TEXT = {"type": "string"}
_FIELDS: dict[str, Any] = {
    "name": {**_TEXT, "maxLength": 200, "description": "What people call it; the file's name when left out."},
    "description": {**_TEXT, "maxLength": 5000, "description": "What it shows."},
    "client_id": {**_TEXT, "description": "The client it belongs to; filled in from the campaign."},
    "campaign_id": {**_TEXT, "description": "The campaign it belongs to."},
    "type": {"type": "string", "enum": ["image", "audio"], "description": "What it is; told by its content."},
    "tags": {
        "type": "array",
        "items": {**_TEXT, "maxLength": 100},
        "description": "Words to find it by; in a form repeated, with commas, or a JSON list.",
    },
    "metadata": {"type": "object", "description": "Anything to keep beside it; in a form as JSON."},
}
_FILE = {"type": "string", "format": "binary", "description": f"The file: {ACCEPTED}."}
_FORM: dict[str, Any] = {
    "schema": {"type": "object", "required": ["file"], "properties": {"file": _FILE, **_FIELDS}}
}
_BY_ADDRESS: dict[str, Any] = {
    "schema": {
        "type": "object",
        "required": ["source_url"],
        "additionalProperties": False,
        "properties": {
            "source_url": {**_TEXT, "description": "Where to fetch it: a public https or http address."},
            **_FIELDS,
        },
    }
}


def _json(schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _strings(required: tuple[str, ...], **more: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": [*required, *more],
        "properties": {**dict.fromkeys(required, _TEXT), **more},
    }


UPLOAD: dict[str, Any] = {
    "tags": ["Upload"],
    "summary": "Upload a photo or a piece of music",
    "description": "Told by its content, and really decoded. Pictures up to 10 MB and 50 megapixels, "
    "sound up to 50 MB.",
    "requestBody": {
        "required": True,
        "content": {"multipart/form-data": _FORM, "application/json": _BY_ADDRESS},
    },
    "responses": {"201": _json(SHARED.reference(Asset.DESCRIPTOR), "Stored and recorded.")},
}
OLDER_UPLOAD: dict[str, Any] = {
    "tags": ["Upload"],
    "summary": "Upload a photo (older address)",
    "deprecated": True,
    "requestBody": {"required": True, "content": {"multipart/form-data": _FORM}},
    "responses": {
        "200": _json(_strings(("url", "filename"), success={"type": "boolean"}), "Stored and recorded.")
    },
}
