"""API keys in their table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import update

from catalog.adapters.db import tables as t
from catalog.adapters.repository import SqlRepository
from catalog.core.access.domain import ApiKey
from catalog.core.journal.domain.entry import Entity
from catalog.core.shared.paging import Page, PageRequest


class SqlApiKeys(SqlRepository[ApiKey]):
    table, noun, entity = t.api_keys, "API key", Entity.API_KEY

    async def find(self, sha256: str) -> ApiKey | None:
        return next(iter(await self._all(t.api_keys.c.sha256 == sha256)), None)

    async def with_name(self, name: str) -> Sequence[ApiKey]:
        return await self._all(t.api_keys.c.name == name)

    async def note_use(self, key_id: str, at: datetime) -> None:
        used = update(t.api_keys).where(t.api_keys.c.id == key_id)
        await self._connection.execute(used.values(last_used_at=at))

    async def page(self, paging: PageRequest) -> Page[ApiKey]:
        return await self._page(self._select(), paging)
