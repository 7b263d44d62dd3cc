"""API keys: made, shown once, recognised by their SHA-256, ended."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import replace
from datetime import datetime, timedelta

from catalog.core.shared.ports import PageRequest, Store
from catalog.core.shared.records import ApiKey, Page, Scope
from servicekit.clock import Clock
from servicekit.errors import FieldProblem, Invalid, Unauthenticated
from servicekit.ids import new_id

USED_TO_THE = timedelta(minutes=1)
"""How exactly the last use is kept: a write for each request would cost more than the request."""

OPERATOR = "operator (RUSHES_ADMIN_KEY)"
_SHOWN = 8


class KeyRing:
    """The use cases on keys."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def create(self, name: str, scope: Scope, expires_at: datetime | None) -> tuple[str, ApiKey]:
        """A new key, and its record. The key itself is not kept."""
        if expires_at is not None and expires_at <= self._clock.now():
            message = f"{expires_at.isoformat()} is past: leave it out for a key that does not end"
            raise Invalid(f"expires_at: {message}", fields=[FieldProblem("expires_at", message)])
        key = f"rsh_{secrets.token_urlsafe(32)}"
        record = self._record(key, name, scope, expires_at)
        async with self._store.write() as unit:
            await unit.keys.add(record)
        return key, record

    async def ensure_operator(self, key: str) -> None:
        """See to it that this key is an admin's, and that no earlier one of the operator is."""
        now = self._clock.now()
        async with self._store.write() as unit:
            for old in await unit.keys.named(OPERATOR):
                if old.sha256 != digest(key):
                    await unit.keys.revoke(old.id, now)
            known = await unit.keys.find(digest(key))
            if known is None:
                await unit.keys.add(self._record(key, OPERATOR, Scope.ADMIN, None))
            elif known.revoked_at is not None or known.scope is not Scope.ADMIN:
                await unit.keys.reinstate(known.id)

    async def page(self, paging: PageRequest) -> Page[ApiKey]:
        """Newest first."""
        async with self._store.read() as unit:
            return await unit.keys.page(paging)

    async def revoke(self, key_id: str) -> None:
        """End it at once."""
        async with self._store.write() as unit:
            await unit.keys.revoke((await unit.keys.get(key_id)).id, self._clock.now())

    async def authenticate(self, sha256: str) -> ApiKey:
        """Whose key it is. Unauthenticated: nobody's, revoked, or expired."""
        now = self._clock.now()
        async with self._store.read() as unit:
            key = await unit.keys.find(sha256)
        if key is None:
            raise Unauthenticated("this API key is not known: check it, or make a new one", code="unknown")
        if key.revoked_at is not None:
            raise Unauthenticated(f"API key {key.prefix}… was revoked", code="revoked")
        if key.expires_at is not None and key.expires_at <= now:
            raise Unauthenticated(f"API key {key.prefix}… has expired", code="expired")
        minute = now.replace(second=0, microsecond=0)
        if key.last_used_at is None or minute - key.last_used_at >= USED_TO_THE:
            key = replace(key, last_used_at=minute)
            async with self._store.write() as unit:
                await unit.keys.used(key.id, minute)
        return key

    def _record(self, key: str, name: str, scope: Scope, expires_at: datetime | None) -> ApiKey:
        return ApiKey(
            new_id("api_key"), name, key[:_SHOWN], digest(key), scope, self._clock.now(), expires_at
        )


def digest(key: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(key.encode()).hexdigest()
