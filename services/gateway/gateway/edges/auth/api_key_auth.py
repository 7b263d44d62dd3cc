"""Authorizes requests: by a key that the catalog knows, or by a token in the address."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from cachetools import TLRUCache
from starlette.requests import Request

from gateway.core.auth.domain import Scope, key_digest, key_from, require_scope
from gateway.core.rpc_call import Calls
from gateway.edges.http.routing import Operation
from rushes.catalog.v1.keys_pb2 import ApiKey, AuthenticateRequest
from servicekit.clock import Clock
from servicekit.errors import NotFound, Unauthenticated
from servicekit.signing import verify

REMEMBERED = 5.0
"""Seconds for which the catalog's answer is remembered: how long a revoked key may still work."""

_MOST_KEYS = 10_000


@dataclass(frozen=True)
class _Remembered:
    scope: Scope
    seconds: float


class ApiKeyAuth:
    """Has the catalog recognise a key, and remembers the answer for a few seconds."""

    def __init__(self, calls: Calls, clock: Clock, signing_key: str) -> None:
        self._calls = calls
        self._clock = clock
        self._signing_key = signing_key
        self._keys: TLRUCache[str, _Remembered] = TLRUCache(
            _MOST_KEYS, ttu=lambda _, value, now: now + value.seconds, timer=clock.monotonic
        )

    async def authorize(self, request: Request, operation: Operation) -> None:
        """Let the request pass, or raise Unauthenticated or Forbidden.

        A request with a token is judged by it alone: a key beside it does not help a wrong one.
        """
        if operation.scope is None:
            return
        token = request.query_params.get("token") if operation.token else None
        if token is not None:
            subject = operation.token.format_map(request.path_params)
            now = self._clock.now()
            request.state.token_expires = verify(self._signing_key, subject, token, now=now)
            return
        key = key_from(dict(request.headers))
        if key is None:
            raise Unauthenticated("this needs a key: send it as X-API-Key, or as Authorization: Bearer")
        require_scope(await self._scope(key_digest(key)), operation.scope)

    async def _scope(self, digest: str) -> Scope:
        remembered = self._keys.get(digest)
        if remembered is None:
            try:
                key = await self._calls(AuthenticateRequest(key_sha256=digest), ApiKey)
            except (NotFound, Unauthenticated) as error:
                raise Unauthenticated("this key is not known, has expired or was revoked") from error
            seconds = min(REMEMBERED, self._seconds_left(key))
            remembered = self._keys[digest] = _Remembered(Scope(key.scope), seconds)
        return remembered.scope

    def _seconds_left(self, key: ApiKey) -> float:
        if not key.HasField("expires_at"):
            return REMEMBERED
        return (key.expires_at.ToDatetime(UTC) - self._clock.now()).total_seconds()


def token_expires(request: Request) -> datetime | None:
    """When the token expires that has opened the request; None when a key has."""
    return getattr(request.state, "token_expires", None)
