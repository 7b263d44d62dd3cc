"""Lets a request pass when its key is known to the catalog and may do what is asked."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC

from starlette.requests import Request

from gateway.core.auth.domain import Caller, Scope, key_digest, key_from, needed, require
from gateway.core.rpc_call import Calls, Rpc
from gateway.edges.http.routing import Access, Admission, Operation
from rushes.catalog.v1.keys_pb2 import ApiKey, AuthenticateRequest
from servicekit.clock import Clock
from servicekit.errors import NotFound, Unauthenticated

AUTHENTICATE = Rpc("/rushes.catalog.v1.KeyService/Authenticate", AuthenticateRequest, ApiKey)

REMEMBERED = 5.0
"""Seconds a key is believed without asking again: how long a revoked one may still work."""

_MOST_KEYS = 10_000


@dataclass(frozen=True)
class _Known:
    caller: Caller
    until: float


class Gate(Admission):
    """Asks the catalog who a key belongs to, and remembers the answer for a few seconds."""

    def __init__(self, calls: Calls, clock: Clock) -> None:
        self._calls = calls
        self._clock = clock
        self._known: OrderedDict[str, _Known] = OrderedDict()

    async def admit(self, request: Request, operation: Operation) -> None:
        """Let the request pass, or raise Unauthenticated or Forbidden."""
        if operation.access is Access.OPEN:
            return
        if operation.access is Access.TOKEN_OR_KEY and "token" in request.query_params:
            return  # the handler judges the token, and a key beside it does not help a wrong one
        key = key_from(dict(request.headers))
        if key is None:
            raise Unauthenticated("this needs a key: send it as X-API-Key, or as Authorization: Bearer")
        caller = await self._caller(key_digest(key))
        require(caller, needed(request.method, request.url.path))

    async def _caller(self, digest: str) -> Caller:
        now = self._clock.monotonic()
        known = self._known.get(digest)
        if known is not None and now < known.until:
            return known.caller
        self._known.pop(digest, None)
        try:
            key = await self._calls(AUTHENTICATE, AuthenticateRequest(key_sha256=digest))
        except (NotFound, Unauthenticated) as error:
            raise Unauthenticated("this key is not known, has expired or was revoked") from error
        caller = Caller(key.id, Scope(key.scope))
        self._known[digest] = _Known(caller, now + min(REMEMBERED, self._seconds_left(key)))
        while len(self._known) > _MOST_KEYS:
            self._known.popitem(last=False)
        return caller

    def _seconds_left(self, key: ApiKey) -> float:
        if not key.HasField("expires_at"):
            return REMEMBERED
        return (key.expires_at.ToDatetime(UTC) - self._clock.now()).total_seconds()
