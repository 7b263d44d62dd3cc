"""Writes the header that names the file in which a browser saves what it is sent (RFC 6266)."""

from __future__ import annotations

import re
from urllib.parse import quote

_PLAIN = re.compile(r"[^A-Za-z0-9._ ()-]")


def attachment(filename: str) -> str:
    """The `Content-Disposition` that saves under this name: plain for old readers, and in full."""
    name = filename.replace("\\", "/").rsplit("/", 1)[-1].strip() or "download"
    plain = _PLAIN.sub("_", name)
    full = quote(name.encode("utf-8", "replace"), safe="")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{full}"
