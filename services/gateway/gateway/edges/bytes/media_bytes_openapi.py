"""The document entries of addresses that answer with bytes."""

from __future__ import annotations

import re
from typing import Any

from gateway.edges.http.routing import parameter

_QUERY: dict[str, tuple[str, dict[str, Any]]] = {
    "download": ("1 to be saved under a proper file name.", {"type": "string", "enum": ["0", "1"]}),
    "redirect": ("1 to be sent to the object store itself.", {"type": "string", "enum": ["0", "1"]}),
    "version": ("Which version; the newest when left out.", {"type": "integer", "minimum": 1}),
    "token": ("A token made for it; then no key is needed.", {"type": "string"}),
}
_HEADERS = ("Range", "If-Range", "If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since")
_BINARY: dict[str, Any] = {"*/*": {"schema": {"type": "string", "format": "binary"}}}


def document(path: str, summary: str, query: tuple[str, ...], *, head: bool) -> dict[str, Any]:
    """The operation object of one address of bytes."""
    text = {"type": "string"}
    body = {} if head else {"content": _BINARY}
    return {
        "tags": ["Bytes"],
        "summary": summary + (" (without the bytes)" if head else ""),
        "parameters": [
            *(parameter(name, "path", "Which one.", text) for name in re.findall(r"\{(\w+)\}", path)),
            *(parameter(name, "query", *_QUERY[name]) for name in ("download", "redirect", *query)),
            *(parameter(name, "header", "As in RFC 9110.", text) for name in _HEADERS),
        ],
        "responses": {
            "200": {"description": "All of it.", **body},
            "206": {"description": "The ranges asked for.", **body},
            "302": {"description": "Where the object store has it, for a few minutes."},
            "304": {"description": "What you have is still right."},
            "412": {"description": "It is not what you expect."},
            "416": {"description": "No such range."},
        },
    }
