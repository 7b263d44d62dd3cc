"""What the use cases on API keys need: their repository."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from catalog.core.access.domain import ApiKey
from catalog.core.shared.paging import Page, PageRequest
from catalog.core.shared.repository import Repository


class ApiKeys(Repository[ApiKey], Protocol):
    async def find(self, sha256: str) -> ApiKey | None:
        """The key with this hash."""
        ...

    async def with_name(self, name: str) -> Sequence[ApiKey]: ...

    async def note_use(self, key_id: str, at: datetime) -> None:
        """Set when it was used last, and nothing else. This comes every minute, so it is not journaled."""
        ...

    async def page(self, paging: PageRequest) -> Page[ApiKey]: ...
