"""What a key may do: three scopes, each including the ones before it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import IntEnum

from servicekit.errors import Forbidden


class Scope(IntEnum):
    READ = 1
    WRITE = 2
    ADMIN = 3


@dataclass(frozen=True)
class Caller:
    """Who a key belongs to.

    Args:
        key_id: the key's own id.
    """

    key_id: str
    scope: Scope


def require_scope(caller: Caller, scope: Scope) -> None:
    """Raise Forbidden, which names both scopes, when the caller's is not enough."""
    if caller.scope < scope:
        raise Forbidden(
            f"this needs a key with the scope {scope.name.lower()}, and yours has {caller.scope.name.lower()}"
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
