"""What a key may do: three scopes, each including the ones before it."""

from __future__ import annotations

import hashlib
from enum import IntEnum

from servicekit.errors import Forbidden


class Scope(IntEnum):
    READ = 1
    WRITE = 2
    ADMIN = 3


def require_scope(allowed: Scope, needed: Scope) -> None:
    """Raise Forbidden, which names both scopes, when what a key allows is not enough."""
    if allowed < needed:
        raise Forbidden(
            f"this needs a key with the scope {needed.name.lower()}, and yours has {allowed.name.lower()}"
        )


def key_from(headers: dict[str, str]) -> str | None:
    """The key in `X-API-Key` or `Authorization: Bearer`, or None. Header names are in lower case."""
    if key := headers.get("x-api-key", "").strip():
        return key
    kind, _, rest = headers.get("authorization", "").strip().partition(" ")
    return rest.strip() or None if kind.lower() == "bearer" else None


def key_digest(key: str) -> str:
    """SHA-256 of a key in lower-case hexadecimal: all that ever leaves the request."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
