"""Clients, campaigns and assets in their tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    Table,
    Text,
    and_,
    cast,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
)

from catalog.adapters.db import tables as t
from catalog.adapters.db.outbox_messages import DelayedMessage, asset_created, asset_deleted
from catalog.adapters.db.rows import to_row
from catalog.adapters.repository import SqlRepository
from catalog.core.budget.domain import campaign_account
from catalog.core.campaigns.domain import Asset, Campaign, Client
from catalog.core.jobs.domain.model import FINAL, JobStatus
from catalog.core.journal.domain.entry import Entity
from catalog.core.shared.domain import MediaKind
from catalog.core.shared.paging import Page, PageRequest
from servicekit.database.turn import take_turn


class SqlClients(SqlRepository[Client]):
    table, noun, entity = t.clients, "client", Entity.CLIENT

    async def claim_name(self, name: str) -> Sequence[Client]:
        await take_turn(self._connection, f"the clients called {name}")
        return await self._all(t.clients.c.name == name)

    async def page(self, paging: PageRequest, *, q: str = "") -> Page[Client]:
        return await self._page(self._select().where(*_named_like(self.table, q)), paging)


class SqlCampaigns(SqlRepository[Campaign]):
    table, noun, entity = t.campaigns, "campaign", Entity.CAMPAIGN

    async def count(self, client_id: str) -> int:
        query = select(func.count()).select_from(t.campaigns).where(t.campaigns.c.client_id == client_id)
        return int((await self._connection.execute(query)).scalar_one())

    async def page(self, paging: PageRequest, *, client_id: str = "", q: str = "") -> Page[Campaign]:
        query = self._select().where(*_named_like(self.table, q))
        if client_id:
            query = query.where(t.campaigns.c.client_id == client_id)
        return await self._page(query, paging)

    def _select(self) -> Select[Any]:
        """Campaigns with their accounts: one that has spent nothing has no row there."""
        accounts = t.accounts.c
        account = literal(campaign_account("")) + t.campaigns.c.id
        sums = (accounts.spent_micros, accounts.reserved_micros)
        columns = (func.coalesce(column, 0).label(column.name) for column in sums)
        joined = t.campaigns.outerjoin(t.accounts, accounts.account == account)
        return select(t.campaigns, *columns).select_from(joined)

    def _own(self, record: Campaign) -> Campaign:
        return replace(record, spent_micros=0, reserved_micros=0)


class SqlAssets(SqlRepository[Asset]):
    table, noun, entity = t.assets, "asset", Entity.ASSET

    async def jobs_using(self, asset_id: str) -> Sequence[str]:
        # The pictures of a draft are in its request alone: its scenes are not planned yet.
        requested = cast(t.jobs.c.request, Text).contains(asset_id, autoescape=True)
        query = (
            select(t.jobs.c.id)
            .distinct()
            .outerjoin(t.scenes, t.scenes.c.job_id == t.jobs.c.id)
            .where(
                t.jobs.c.status.not_in(tuple(FINAL)),
                or_(
                    t.scenes.c.first_asset_id == asset_id,
                    t.scenes.c.last_asset_id == asset_id,
                    t.jobs.c.edit[("music", "asset_id")].as_string() == asset_id,
                    and_(t.jobs.c.status == JobStatus.DRAFT, requested),
                ),
            )
        )
        return list((await self._connection.execute(query)).scalars())

    async def of(self, *, client_id: str = "", campaign_id: str = "") -> Sequence[Asset]:
        return await self._all(*_owned_by(client_id, campaign_id))

    async def page(
        self,
        paging: PageRequest,
        *,
        client_id: str = "",
        campaign_id: str = "",
        kind: MediaKind | None = None,
        tag: str = "",
    ) -> Page[Asset]:
        query = self._select().where(*_owned_by(client_id, campaign_id))
        if kind is not None:
            query = query.where(t.assets.c.kind == kind)
        if tag:
            query = query.join(t.asset_tags, t.asset_tags.c.asset_id == t.assets.c.id)
            query = query.where(t.asset_tags.c.tag == tag)
        return await self._page(query, paging)

    @classmethod
    def row(cls, record: Asset) -> dict[str, Any]:
        return to_row(t.assets, record, kind=record.facts.kind.value)

    async def _saved(self, record: Asset, *, created: bool) -> Sequence[DelayedMessage]:
        await self._delete_tags(record)
        if rows := tag_rows(record):
            await self._connection.execute(insert(t.asset_tags), rows)
        return (asset_created(record),) if created else ()

    async def _deleted(self, record: Asset) -> Sequence[DelayedMessage]:
        await self._delete_tags(record)
        return (asset_deleted(record),)

    async def _delete_tags(self, asset: Asset) -> None:
        await self._connection.execute(delete(t.asset_tags).where(t.asset_tags.c.asset_id == asset.id))


def tag_rows(asset: Asset) -> list[dict[str, Any]]:
    return [{"tag": tag, "asset_id": asset.id} for tag in dict.fromkeys(asset.tags)]


def _named_like(table: Table, q: str) -> list[ColumnElement[bool]]:
    return [func.lower(table.c.name).contains(q.lower(), autoescape=True)] if q else []


def _owned_by(client_id: str, campaign_id: str) -> list[ColumnElement[bool]]:
    columns = t.assets.c
    owners = ((columns.client_id, client_id), (columns.campaign_id, campaign_id))
    return [column == owner for column, owner in owners if owner]
