"""Who may do what: three scopes, each including the ones before it, by method and path."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import IntEnum

from servicekit.errors import Forbidden

_ADMIN_PATHS = ("/api/v3/admin", "/api/admin", "/api/v3/api-keys")


class Scope(IntEnum):
    """What a key may do."""

    READ = 1
    WRITE = 2
    ADMIN = 3


@dataclass(frozen=True)
class Caller:
    """Who is asking, as told by a key: the key's id, and what it may do."""

    key_id: str
    scope: Scope


def needed(method: str, path: str) -> Scope:
    """The scope that a request needs: admin for keys and `/admin`, read for GET and HEAD, else write."""
    if any(path == root or path.startswith(root + "/") for root in _ADMIN_PATHS):
        return Scope.ADMIN
    return Scope.READ if method in ("GET", "HEAD") else Scope.WRITE


def require(caller: Caller, scope: Scope) -> None:
    """Let the caller pass when its scope is enough.

    Raises:
        Forbidden: it is not; says which scope the key has and which is needed.
    """
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
