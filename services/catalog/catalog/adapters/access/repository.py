"""API keys in their table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Row, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from catalog.adapters.db import tables as t
from catalog.adapters.db.keyset_pagination import page_of
from catalog.core.shared.ports import PageRequest
from catalog.core.shared.records import ApiKey, Page, Scope
from servicekit.errors import NotFound


class SqlKeys:
    """`Keys`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, key: ApiKey) -> None:
        """Record it."""
        await self._connection.execute(insert(t.api_keys).values(asdict(key)))

    async def get(self, key_id: str) -> ApiKey:
        """One; NotFound."""
        found = await self._all(t.api_keys.c.id == key_id)
        if not found:
            raise NotFound(f"there is no API key {key_id}")
        return found[0]

    async def find(self, sha256: str) -> ApiKey | None:
        """The one with this hash."""
        return next(iter(await self._all(t.api_keys.c.sha256 == sha256)), None)

    async def named(self, name: str) -> Sequence[ApiKey]:
        """All of that name."""
        return await self._all(t.api_keys.c.name == name)

    async def used(self, key_id: str, at: datetime) -> None:
        """Set when it was used last, and nothing else: whoever says so has read it some time ago."""
        await self._set(t.api_keys.c.id == key_id, last_used_at=at)

    async def revoke(self, key_id: str, at: datetime) -> None:
        """End it; one that has ended stays ended since then."""
        await self._set((t.api_keys.c.id == key_id) & t.api_keys.c.revoked_at.is_(None), revoked_at=at)

    async def reinstate(self, key_id: str) -> None:
        """Make it an admin's that has not ended."""
        await self._set(t.api_keys.c.id == key_id, revoked_at=None, scope=Scope.ADMIN)

    async def page(self, paging: PageRequest) -> Page[ApiKey]:
        """Newest first."""
        return await page_of(self._connection, select(t.api_keys), t.api_keys, paging, _key)

    async def _set(self, condition: Any, **columns: object) -> None:
        await self._connection.execute(update(t.api_keys).where(condition).values(columns))

    async def _all(self, condition: Any) -> list[ApiKey]:
        query = select(t.api_keys).where(condition).order_by(t.api_keys.c.id)
        return [_key(row) for row in await self._connection.execute(query)]


def _key(row: Row[Any]) -> ApiKey:
    return ApiKey(
        id=row.id,
        name=row.name,
        prefix=row.prefix,
        sha256=row.sha256,
        scope=Scope(row.scope),
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
    )
