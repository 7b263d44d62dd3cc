"""Clients, campaigns and assets in their tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, delete, func, insert, literal, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from catalog.adapters.db import tables as t
from catalog.adapters.db.json_columns import dump, load
from catalog.adapters.db.keyset_pagination import page_of
from catalog.adapters.db.outbox_messages import Outgoing
from catalog.core.budget.domain import campaign_account
from catalog.core.jobs.domain.model import FINAL
from catalog.core.shared.ports import PageRequest
from catalog.core.shared.records import Asset, Campaign, Client, Page
from catalog.core.shared.values import Facts, MediaKind
from servicekit.errors import NotFound


class SqlClients:
    """`Clients`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, client: Client) -> None:
        """Record it."""
        await self._connection.execute(insert(t.clients).values(_columns(client)))

    async def get(self, client_id: str, *, lock: bool = False) -> Client:
        """One, locked for the rest of the unit when asked; NotFound."""
        query = select(t.clients).where(t.clients.c.id == client_id)
        row = (await self._connection.execute(query.with_for_update() if lock else query)).first()
        if row is None:
            raise NotFound(f"there is no client {client_id}")
        return _client(row)

    async def change(self, client: Client) -> None:
        """Replace it."""
        await self._connection.execute(
            update(t.clients).where(t.clients.c.id == client.id).values(_columns(client))
        )

    async def remove(self, client_id: str) -> None:
        """Forget it."""
        await self._connection.execute(delete(t.clients).where(t.clients.c.id == client_id))

    async def page(self, paging: PageRequest, *, q: str = "") -> Page[Client]:
        """Newest first."""
        query = select(t.clients)
        if q:
            query = query.where(func.lower(t.clients.c.name).contains(q.lower(), autoescape=True))
        return await page_of(self._connection, query, t.clients, paging, _client)


class SqlCampaigns:
    """`Campaigns`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, campaign: Campaign) -> None:
        """Record it."""
        await self._connection.execute(insert(t.campaigns).values(_campaign_columns(campaign)))

    async def get(self, campaign_id: str, *, lock: bool = False) -> Campaign:
        """One, with its account, locked (it, not the account) when asked; NotFound."""
        query = _with_account().where(t.campaigns.c.id == campaign_id)
        locked = query.with_for_update(of=t.campaigns)
        row = (await self._connection.execute(locked if lock else query)).first()
        if row is None:
            raise NotFound(f"there is no campaign {campaign_id}")
        return _campaign(row)

    async def change(self, campaign: Campaign) -> None:
        """Replace it."""
        await self._connection.execute(
            update(t.campaigns).where(t.campaigns.c.id == campaign.id).values(_campaign_columns(campaign))
        )

    async def remove(self, campaign_id: str) -> None:
        """Forget it. Its account stays: money that was spent was spent."""
        await self._connection.execute(delete(t.campaigns).where(t.campaigns.c.id == campaign_id))

    async def count(self, client_id: str) -> int:
        """How many a client has."""
        query = select(func.count()).select_from(t.campaigns).where(t.campaigns.c.client_id == client_id)
        return int((await self._connection.execute(query)).scalar_one())

    async def page(self, paging: PageRequest, *, client_id: str = "", q: str = "") -> Page[Campaign]:
        """Newest first."""
        query = _with_account()
        if client_id:
            query = query.where(t.campaigns.c.client_id == client_id)
        if q:
            query = query.where(func.lower(t.campaigns.c.name).contains(q.lower(), autoescape=True))
        return await page_of(self._connection, query, t.campaigns, paging, _campaign)


class SqlAssets:
    """`Assets`."""

    def __init__(self, connection: AsyncConnection, outgoing: Outgoing) -> None:
        self._connection = connection
        self._outgoing = outgoing

    async def add(self, asset: Asset) -> None:
        """Record it, and say so in the outbox."""
        await self._connection.execute(insert(t.assets).values(_asset_columns(asset)))
        await self._tag(asset)
        await self._outgoing.asset_created(asset)

    async def get(self, asset_id: str, *, lock: bool = False) -> Asset:
        """One, locked for the rest of the unit when asked; NotFound."""
        query = select(t.assets).where(t.assets.c.id == asset_id)
        row = (await self._connection.execute(query.with_for_update() if lock else query)).first()
        if row is None:
            raise NotFound(f"there is no asset {asset_id}")
        return _asset(row)

    async def change(self, asset: Asset) -> None:
        """Replace it."""
        await self._connection.execute(
            update(t.assets).where(t.assets.c.id == asset.id).values(_asset_columns(asset))
        )
        await self._untag(asset)
        await self._tag(asset)

    async def remove(self, asset: Asset) -> None:
        """Forget it, and say so in the outbox."""
        await self._untag(asset)
        await self._connection.execute(delete(t.assets).where(t.assets.c.id == asset.id))
        await self._outgoing.asset_deleted(asset)

    async def jobs_using(self, asset_id: str) -> Sequence[str]:
        """Jobs that are not final and need it: for a scene, or as their music."""
        query = (
            select(t.jobs.c.id)
            .distinct()
            .outerjoin(t.scenes, t.scenes.c.job_id == t.jobs.c.id)
            .where(
                t.jobs.c.status.not_in([status.value for status in FINAL]),
                or_(
                    t.scenes.c.first_asset_id == asset_id,
                    t.scenes.c.last_asset_id == asset_id,
                    t.jobs.c.edit[("music", "asset_id")].as_string() == asset_id,
                ),
            )
        )
        return list((await self._connection.execute(query)).scalars())

    async def of(self, *, client_id: str = "", campaign_id: str = "") -> Sequence[Asset]:
        """All of a campaign, or of a client."""
        query = select(t.assets).order_by(t.assets.c.id)
        if campaign_id:
            query = query.where(t.assets.c.campaign_id == campaign_id)
        if client_id:
            query = query.where(t.assets.c.client_id == client_id)
        return [_asset(row) for row in await self._connection.execute(query)]

    async def page(
        self,
        paging: PageRequest,
        *,
        client_id: str = "",
        campaign_id: str = "",
        kind: MediaKind | None = None,
        tag: str = "",
    ) -> Page[Asset]:
        """Newest first."""
        query = select(t.assets)
        if client_id:
            query = query.where(t.assets.c.client_id == client_id)
        if campaign_id:
            query = query.where(t.assets.c.campaign_id == campaign_id)
        if kind is not None:
            query = query.where(t.assets.c.kind == kind.value)
        if tag:
            query = query.join(t.asset_tags, t.asset_tags.c.asset_id == t.assets.c.id).where(
                t.asset_tags.c.tag == tag
            )
        return await page_of(self._connection, query, t.assets, paging, _asset)

    async def _tag(self, asset: Asset) -> None:
        rows = [{"tag": tag, "asset_id": asset.id} for tag in dict.fromkeys(asset.tags)]
        if rows:
            await self._connection.execute(insert(t.asset_tags), rows)

    async def _untag(self, asset: Asset) -> None:
        await self._connection.execute(delete(t.asset_tags).where(t.asset_tags.c.asset_id == asset.id))


def _with_account() -> Any:
    account = literal("campaign:") + t.campaigns.c.id
    joined = t.campaigns.outerjoin(t.accounts, t.accounts.c.account == account)
    return select(t.campaigns, t.accounts.c.spent_micros, t.accounts.c.reserved_micros).select_from(joined)


assert campaign_account("x") == "campaign:x"  # noqa: S101  # the join above spells it out


def _columns(client: Client) -> dict[str, Any]:
    return {
        "id": client.id,
        "name": client.name,
        "brand_guidelines": client.brand_guidelines,
        "metadata": dump(client.metadata),
        "created_at": client.created_at,
        "updated_at": client.updated_at,
    }


def _client(row: Row[Any]) -> Client:
    return Client(
        id=row.id,
        name=row.name,
        brand_guidelines=row.brand_guidelines,
        metadata=row._mapping["metadata"],  # noqa: SLF001  # rows have an attribute of that name
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _campaign_columns(campaign: Campaign) -> dict[str, Any]:
    return {
        "id": campaign.id,
        "client_id": campaign.client_id,
        "name": campaign.name,
        "brief": campaign.brief,
        "budget_cents": campaign.budget_cents,
        "metadata": dump(campaign.metadata),
        "created_at": campaign.created_at,
        "updated_at": campaign.updated_at,
    }


def _campaign(row: Row[Any]) -> Campaign:
    return Campaign(
        id=row.id,
        client_id=row.client_id,
        name=row.name,
        brief=row.brief,
        budget_cents=row.budget_cents,
        metadata=row._mapping["metadata"],  # noqa: SLF001  # public in spite of its name
        created_at=row.created_at,
        updated_at=row.updated_at,
        spent_micros=row.spent_micros or 0,
        reserved_micros=row.reserved_micros or 0,
    )


def _asset_columns(asset: Asset) -> dict[str, Any]:
    return {
        "id": asset.id,
        "client_id": asset.client_id,
        "campaign_id": asset.campaign_id,
        "name": asset.name,
        "description": asset.description,
        "filename": asset.filename,
        "blob_key": asset.blob_key,
        "kind": asset.facts.kind.value,
        "facts": dump(asset.facts),
        "tags": list(asset.tags),
        "metadata": dump(asset.metadata),
        "created_at": asset.created_at,
        "updated_at": asset.updated_at,
    }


def _asset(row: Row[Any]) -> Asset:
    return Asset(
        id=row.id,
        client_id=row.client_id,
        campaign_id=row.campaign_id,
        name=row.name,
        description=row.description,
        filename=row.filename,
        blob_key=row.blob_key,
        facts=load(Facts, row.facts),
        tags=tuple(row.tags),
        metadata=row._mapping["metadata"],  # noqa: SLF001  # public in spite of its name
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
