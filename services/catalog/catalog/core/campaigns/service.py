"""Clients, campaigns, assets and media as people keep them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from catalog.core.generations.domain.model import Status
from catalog.core.shared.ports import GenerationFilter, PageRequest, Store, Unit
from catalog.core.shared.records import Asset, Campaign, Client, Media, Page
from catalog.core.shared.values import MediaKind
from servicekit.clock import Clock
from servicekit.errors import FieldProblem, Invalid, NotFound, Precondition
from servicekit.ids import new_id


class Library:
    """The use cases on what people keep. `change_*` take the changed fields by name."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    # Clients ------------------------------------------------------------------------------------

    async def add_client(
        self, *, name: str, brand_guidelines: str | None, metadata: Mapping[str, Any] | None
    ) -> Client:
        """Record it under a new id."""
        now = self._clock.now()
        made = Client(new_id("client"), name, now, now, brand_guidelines, metadata)
        async with self._store.write() as unit:
            await unit.clients.add(made)
        return made

    async def client(self, client_id: str) -> Client:
        """One."""
        async with self._store.read() as unit:
            return await unit.clients.get(client_id)

    async def clients(self, paging: PageRequest, q: str) -> Page[Client]:
        """Newest first."""
        async with self._store.read() as unit:
            return await unit.clients.page(paging, q=q)

    async def change_client(self, client_id: str, **changes: Any) -> Client:
        """Change the fields that are named."""
        async with self._store.write() as unit:
            old = await unit.clients.get(client_id, lock=True)
            new = replace(old, **changes, updated_at=self._clock.now())
            await unit.clients.change(new)
        return new

    async def remove_client(self, client_id: str) -> None:
        """Forget it and its assets. Precondition: it has campaigns."""
        async with self._store.write() as unit:
            await unit.clients.get(client_id)
            if number := await unit.campaigns.count(client_id):
                raise Precondition(
                    f"client {client_id} has {number} campaigns: delete them first", code="has_campaigns"
                )
            for asset in await unit.assets.of(client_id=client_id):
                await unit.assets.remove(asset)
            await unit.clients.remove(client_id)

    # Campaigns ----------------------------------------------------------------------------------

    async def add_campaign(
        self,
        *,
        client_id: str,
        name: str,
        brief: str | None,
        budget_cents: int | None,
        metadata: Mapping[str, Any] | None,
    ) -> Campaign:
        """Record it under a new id."""
        now = self._clock.now()
        made = Campaign(new_id("campaign"), client_id, name, now, now, brief, budget_cents, metadata)
        async with self._store.write() as unit:
            await unit.clients.get(client_id)
            await unit.campaigns.add(made)
        return made

    async def campaign(self, campaign_id: str) -> Campaign:
        """One."""
        async with self._store.read() as unit:
            return await unit.campaigns.get(campaign_id)

    async def campaigns(self, paging: PageRequest, client_id: str, q: str) -> Page[Campaign]:
        """Newest first."""
        async with self._store.read() as unit:
            if client_id:
                await unit.clients.get(client_id)
            return await unit.campaigns.page(paging, client_id=client_id, q=q)

    async def change_campaign(self, campaign_id: str, **changes: Any) -> Campaign:
        """Change the fields that are named."""
        async with self._store.write() as unit:
            old = await unit.campaigns.get(campaign_id, lock=True)
            new = replace(old, **changes, updated_at=self._clock.now())
            await unit.campaigns.change(new)
        return new

    async def remove_campaign(self, campaign_id: str) -> None:
        """Forget it and its assets. Precondition: it has jobs, or pays for what is under way."""
        async with self._store.write() as unit:
            await unit.campaigns.get(campaign_id)
            if number := await unit.jobs.count(campaign_id):
                raise Precondition(
                    f"campaign {campaign_id} has {number} jobs, which keep their record: it stays",
                    code="has_jobs",
                )
            for status in (Status.QUEUED, Status.PROCESSING):
                only = GenerationFilter(campaign_id=campaign_id, status=status)
                if (await unit.generations.page(PageRequest(size=1), only)).items:
                    raise Precondition(
                        f"campaign {campaign_id} pays for generations that are under way: cancel them first",
                        code="in_use",
                    )
            for asset in await unit.assets.of(campaign_id=campaign_id):
                await unit.assets.remove(asset)
            await unit.campaigns.remove(campaign_id)

    # Assets -------------------------------------------------------------------------------------

    async def add_asset(self, asset: Asset) -> Asset:
        """Record a stored file; its client is filled in from its campaign. The same id again is the same."""
        now = self._clock.now()
        async with self._store.write() as unit:
            try:
                return await unit.assets.get(asset.id)
            except NotFound:
                client_id = await _owner(unit, asset)
            made = replace(asset, client_id=client_id, created_at=now, updated_at=now)
            await unit.assets.add(made)
        return made

    async def asset(self, asset_id: str) -> Asset:
        """One."""
        async with self._store.read() as unit:
            return await unit.assets.get(asset_id)

    async def assets(
        self, paging: PageRequest, *, client_id: str, campaign_id: str, kind: MediaKind | None, tag: str
    ) -> Page[Asset]:
        """Newest first."""
        async with self._store.read() as unit:
            if client_id:
                await unit.clients.get(client_id)
            if campaign_id:
                await unit.campaigns.get(campaign_id)
            return await unit.assets.page(
                paging, client_id=client_id, campaign_id=campaign_id, kind=kind, tag=tag
            )

    async def change_asset(self, asset_id: str, **changes: Any) -> Asset:
        """Change the fields that are named."""
        async with self._store.write() as unit:
            old = await unit.assets.get(asset_id, lock=True)
            new = replace(old, **changes, updated_at=self._clock.now())
            await unit.assets.change(new)
        return new

    async def remove_asset(self, asset_id: str) -> None:
        """Forget it, and have its bytes removed. Precondition: a job still needs it."""
        async with self._store.write() as unit:
            asset = await unit.assets.get(asset_id)
            if jobs := await unit.assets.jobs_using(asset_id):
                raise Precondition(
                    f"asset {asset_id} is needed by {', '.join(jobs[:3])}: wait for it, or cancel it",
                    code="in_use",
                )
            await unit.assets.remove(asset)

    # Media --------------------------------------------------------------------------------------

    async def media(self, media_id: str) -> Media:
        """A stored output."""
        async with self._store.read() as unit:
            return await unit.generations.media(media_id)


async def _owner(unit: Unit, asset: Asset) -> str:
    if asset.campaign_id:
        campaign = await unit.campaigns.get(asset.campaign_id)
        if asset.client_id and asset.client_id != campaign.client_id:
            message = f"campaign {campaign.id} is client {campaign.client_id}'s, not {asset.client_id}'s"
            raise Invalid(f"client_id: {message}", fields=[FieldProblem("client_id", message)])
        return campaign.client_id
    if asset.client_id:
        return (await unit.clients.get(asset.client_id)).id
    message = "an asset belongs to somebody: name a client_id or a campaign_id"
    raise Invalid(message, fields=[FieldProblem("client_id", message)])


def has_thumbnail(kind: MediaKind) -> bool:
    """Whether a small picture is made of such a file."""
    return kind in (MediaKind.IMAGE, MediaKind.VIDEO)
