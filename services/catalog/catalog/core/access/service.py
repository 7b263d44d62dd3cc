"""API keys: made, shown once, recognised by their SHA-256, revoked."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import replace
from datetime import datetime, timedelta

from catalog.core.access.domain import ApiKey, Scope
from catalog.core.shared.paging import Page, PageRequest
from catalog.core.unit_of_work import Database
from servicekit.clock import Clock
from servicekit.errors import Conflict, Invalid, Unauthenticated
from servicekit.ids import new_id

LAST_USE_PRECISION = timedelta(minutes=1)
"""How exactly the last use is recorded: a write for each request would cost more than the request."""

ADMIN_KEY_NAME = "operator (RUSHES_ADMIN_KEY)"
_PREFIX_LENGTH = 8


class ApiKeyService:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def create(self, name: str, scope: Scope, expires_at: datetime | None) -> tuple[str, ApiKey]:
        """A new key, which is shown this once, and its record."""
        if expires_at is not None and expires_at <= self._clock.now():
            message = f"{expires_at.isoformat()} is past: leave it out for a key that does not end"
            raise Invalid.field("expires_at", message)
        key = f"rsh_{secrets.token_urlsafe(32)}"
        record = self._record(key, name, scope, expires_at)
        async with self._database.write() as unit:
            return key, await unit.api_keys.save(record)

    async def ensure_admin_key(self, key: str) -> None:
        """Make this the operator's key, and revoke the ones that the operator had before."""
        now = self._clock.now()
        async with self._database.write() as unit:
            for old in await unit.api_keys.with_name(ADMIN_KEY_NAME):
                if old.sha256 != digest(key) and old.revoked_at is None:
                    await unit.api_keys.save(replace(old, revoked_at=now))
            known = await unit.api_keys.find(digest(key))
            if known is None:
                await unit.api_keys.save(self._record(key, ADMIN_KEY_NAME, Scope.ADMIN, None))
            elif known.revoked_at is not None or known.scope is not Scope.ADMIN:
                await unit.api_keys.save(replace(known, revoked_at=None, scope=Scope.ADMIN))

    async def page(self, paging: PageRequest) -> Page[ApiKey]:
        async with self._database.read() as unit:
            return await unit.api_keys.page(paging)

    async def revoke(self, key_id: str) -> None:
        """End it at once. One that has ended stays ended since then."""
        async with self._database.write() as unit:
            key = await unit.api_keys.get(key_id, lock=True)
            if key.revoked_at is None:
                await unit.api_keys.save(replace(key, revoked_at=self._clock.now()))

    async def authenticate(self, sha256: str) -> ApiKey:
        """The key with this hash. Unauthenticated: it is unknown, revoked, or expired."""
        now = self._clock.now()
        async with self._database.read() as unit:
            key = await unit.api_keys.find(sha256)
        if key is None:
            raise Unauthenticated("this API key is not known: check it, or make a new one", code="unknown")
        if key.revoked_at is not None:
            raise Unauthenticated(f"API key {key.prefix}… was revoked", code="revoked")
        if key.expires_at is not None and key.expires_at <= now:
            raise Unauthenticated(f"API key {key.prefix}… has expired", code="expired")
        minute = now.replace(second=0, microsecond=0)
        if key.last_used_at is None or minute - key.last_used_at >= LAST_USE_PRECISION:
            key = replace(key, last_used_at=minute)
            async with self._database.write() as unit:
                await unit.api_keys.note_use(key.id, minute)
        return key

    def _record(self, key: str, name: str, scope: Scope, expires_at: datetime | None) -> ApiKey:
        return ApiKey(
            new_id("api_key"), name, key[:_PREFIX_LENGTH], digest(key), scope, self._clock.now(), expires_at
        )


def digest(key: str) -> str:
    """What is stored of a key, as hexadecimal SHA-256."""
    return hashlib.sha256(key.encode()).hexdigest()


class AdminKey:
    """A `Part`: makes the operator's key at start, if one is set."""

    def __init__(self, api_keys: ApiKeyService, key: str) -> None:
        self._api_keys = api_keys
        self._key = key

    async def start(self) -> None:
        if not self._key:
            return
        try:
            await self._api_keys.ensure_admin_key(self._key)
        except Conflict:  # another replica, which starts at the same moment, was faster: now it is there
            await self._api_keys.ensure_admin_key(self._key)

    async def stop(self) -> None:
        """Nothing to stop."""
