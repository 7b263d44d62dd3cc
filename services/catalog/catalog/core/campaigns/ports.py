"""What the use cases on clients, campaigns and assets need: their repositories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from catalog.core.campaigns.domain import Asset, Campaign, Client
from catalog.core.shared.domain import MediaKind
from catalog.core.shared.paging import Page, PageRequest
from catalog.core.shared.repository import Repository


class Clients(Repository[Client], Protocol):
    async def claim_name(self, name: str) -> Sequence[Client]:
        """Those of this very name, oldest first. Who else claims it waits until this unit of work ends."""
        ...

    async def page(self, paging: PageRequest, *, q: str = "") -> Page[Client]:
        """Those with `q` in their name, case ignored."""
        ...


class Campaigns(Repository[Campaign], Protocol):
    """Deleting a campaign leaves its account: money that was spent was spent."""

    async def count(self, client_id: str) -> int:
        """How many a client has."""
        ...

    async def page(self, paging: PageRequest, *, client_id: str = "", q: str = "") -> Page[Campaign]:
        """Those with `q` in their name, case ignored."""
        ...


class Assets(Repository[Asset], Protocol):
    """That an asset was added or deleted is published, through the outbox."""

    async def jobs_using(self, asset_id: str) -> Sequence[str]:
        """The jobs that are not final and need it: for a scene, or as their music."""
        ...

    async def of(self, *, client_id: str = "", campaign_id: str = "") -> Sequence[Asset]:
        """All of a campaign, or of a client, oldest first."""
        ...

    async def page(
        self,
        paging: PageRequest,
        *,
        client_id: str = "",
        campaign_id: str = "",
        kind: MediaKind | None = None,
        tag: str = "",
    ) -> Page[Asset]: ...
