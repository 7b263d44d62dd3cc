"""The use cases on clients, campaigns and assets: create, read, change, delete.

`update` takes the changed fields by name; the others stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from catalog.core.budget.domain import campaign_account
from catalog.core.campaigns.domain import Asset, Campaign, Client
from catalog.core.generations.domain.model import Status
from catalog.core.generations.ports import GenerationFilter
from catalog.core.shared.domain import MediaKind
from catalog.core.shared.paging import Page, PageRequest
from catalog.core.unit_of_work import Database, UnitOfWork
from servicekit.clock import Clock
from servicekit.errors import Invalid, NotFound, Precondition
from servicekit.ids import new_id


class ClientService:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def create(
        self,
        *,
        name: str,
        brand_guidelines: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        reuse: bool = False,
    ) -> Client:
        """A new one; with `reuse` the oldest of that name as it is, if there is one."""
        now = self._clock.now()
        client = Client(new_id("client"), name, now, now, brand_guidelines, metadata)
        async with self._database.write() as unit:
            if reuse and (known := await unit.clients.claim_name(name)):
                return known[0]
            return await unit.clients.save(client)

    async def get(self, client_id: str) -> Client:
        async with self._database.read() as unit:
            return await unit.clients.get(client_id)

    async def page(self, paging: PageRequest, q: str) -> Page[Client]:
        async with self._database.read() as unit:
            return await unit.clients.page(paging, q=q)

    async def update(self, client_id: str, **changes: Any) -> Client:
        async with self._database.write() as unit:
            client = await unit.clients.get(client_id, lock=True)
            client = replace(client, **changes, updated_at=self._clock.now())
            return await unit.clients.save(client)

    async def delete(self, client_id: str) -> None:
        """Delete it and its assets. Precondition: it has campaigns."""
        async with self._database.write() as unit:
            client = await unit.clients.get(client_id, lock=True)
            if number := await unit.campaigns.count(client_id):
                raise Precondition(
                    f"client {client_id} has {number} campaigns: delete them first", code="has_campaigns"
                )
            for asset in await unit.assets.of(client_id=client_id):
                await unit.assets.delete(asset)
            await unit.clients.delete(client)


class CampaignService:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def create(
        self,
        *,
        client_id: str,
        name: str,
        brief: str | None = None,
        budget_cents: int | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Campaign:
        now = self._clock.now()
        campaign = Campaign(new_id("campaign"), client_id, name, now, now, brief, budget_cents, metadata)
        async with self._database.write() as unit:
            await unit.clients.get(client_id, lock=True)  # nobody deletes it meanwhile
            return await unit.campaigns.save(campaign)

    async def get(self, campaign_id: str) -> Campaign:
        async with self._database.read() as unit:
            return await unit.campaigns.get(campaign_id)

    async def page(self, paging: PageRequest, client_id: str, q: str) -> Page[Campaign]:
        async with self._database.read() as unit:
            if client_id:
                await unit.clients.get(client_id)
            return await unit.campaigns.page(paging, client_id=client_id, q=q)

    async def update(self, campaign_id: str, **changes: Any) -> Campaign:
        async with self._database.write() as unit:
            campaign = await unit.campaigns.get(campaign_id, lock=True)
            campaign = replace(campaign, **changes, updated_at=self._clock.now())
            return await unit.campaigns.save(campaign)

    async def delete(self, campaign_id: str) -> None:
        """Delete it and its assets. Precondition: it has jobs, or pays for what is under way."""
        async with self._database.write() as unit:
            campaign = await unit.campaigns.get(campaign_id, lock=True)
            if number := await unit.jobs.count(campaign_id):
                raise Precondition(
                    f"campaign {campaign_id} has {number} jobs, which keep their record: it stays",
                    code="has_jobs",
                )
            # Who records a generation locks its account before: it is seen here, or finds no campaign.
            await unit.accounts.lock([campaign_account(campaign_id)])
            for status in (Status.QUEUED, Status.PROCESSING):
                only = GenerationFilter(campaign_id=campaign_id, status=status)
                if (await unit.generations.page(PageRequest(size=1), only)).items:
                    raise Precondition(
                        f"campaign {campaign_id} pays for generations under way: cancel or await them",
                        code="in_use",
                    )
            for asset in await unit.assets.of(campaign_id=campaign_id):
                await unit.assets.delete(asset)
            await unit.campaigns.delete(campaign)


class AssetService:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def create(self, asset: Asset) -> Asset:
        """Record a stored file, with its times, and its client when only the campaign is named.

        An asset whose id is recorded already is answered as it is: the upload was repeated.
        """
        now = self._clock.now()
        async with self._database.write() as unit:
            client_id = await _lock_owner(unit, asset)
            try:
                return await unit.assets.get(asset.id)
            except NotFound:
                created = replace(asset, client_id=client_id, created_at=now, updated_at=now)
                return await unit.assets.save(created)

    async def get(self, asset_id: str) -> Asset:
        async with self._database.read() as unit:
            return await unit.assets.get(asset_id)

    async def page(
        self, paging: PageRequest, *, client_id: str, campaign_id: str, kind: MediaKind | None, tag: str
    ) -> Page[Asset]:
        async with self._database.read() as unit:
            if client_id:
                await unit.clients.get(client_id)
            if campaign_id:
                await unit.campaigns.get(campaign_id)
            return await unit.assets.page(
                paging, client_id=client_id, campaign_id=campaign_id, kind=kind, tag=tag
            )

    async def update(self, asset_id: str, **changes: Any) -> Asset:
        async with self._database.write() as unit:
            asset = await unit.assets.get(asset_id, lock=True)
            asset = replace(asset, **changes, updated_at=self._clock.now())
            return await unit.assets.save(asset)

    async def delete(self, asset_id: str) -> None:
        """Delete it, and have its bytes removed. Precondition: a job still needs it."""
        async with self._database.write() as unit:
            asset = await unit.assets.get(asset_id, lock=True)
            if jobs := await unit.assets.jobs_using(asset_id):
                raise Precondition(
                    f"asset {asset_id} is needed by {', '.join(jobs[:3])}: wait for it, or cancel it",
                    code="in_use",
                )
            await unit.assets.delete(asset)


async def _lock_owner(unit: UnitOfWork, asset: Asset) -> str:
    """The client of a new asset. Its owner is locked: nobody deletes that, or adds the asset twice."""
    if asset.campaign_id:
        campaign = await unit.campaigns.get(asset.campaign_id, lock=True)
        if asset.client_id and asset.client_id != campaign.client_id:
            message = f"campaign {campaign.id} is client {campaign.client_id}'s, not {asset.client_id}'s"
            raise Invalid.field("client_id", message)
        return campaign.client_id
    if asset.client_id:
        return (await unit.clients.get(asset.client_id, lock=True)).id
    message = "an asset belongs to somebody: name a client_id or a campaign_id"
    raise Invalid.field("client_id", message, sentence=message)
