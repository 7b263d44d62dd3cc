"""Finds the lost outputs that expire soon, or have expired, and were not marked."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, literal_column
from sqlalchemy.ext.asyncio import AsyncConnection

from catalog.adapters.db import tables as t
from catalog.adapters.generations.repository import LOST_OUTPUTS, make_lost
from catalog.core.generations.domain.model import LostOutput, OutputState

_OUTPUTS = t.outputs.c
# Written out as in `ix_outputs_expiring`: of parameters a database cannot know that the index has them all.
_MISSING = and_(
    _OUTPUTS.state.in_((literal_column("'lost'"), literal_column("'pending'"))), _OUTPUTS.counted_at.is_(None)
)
_LOST = and_(_MISSING, _OUTPUTS.state == OutputState.LOST.value)


class SqlExpiringOutputs:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def at_risk(
        self, at: datetime, until: datetime, limit: int, *, without: Collection[str] = ()
    ) -> Sequence[LostOutput]:
        soon = and_(_OUTPUTS.expires_at > at, _OUTPUTS.expires_at <= until, _OUTPUTS.warned_at.is_(None))
        return await self._select(limit, without, _MISSING, soon)

    async def expired(
        self, at: datetime, limit: int, *, without: Collection[str] = ()
    ) -> Sequence[LostOutput]:
        return await self._select(limit, without, _LOST, _OUTPUTS.expires_at <= at)

    async def _select(
        self, limit: int, without: Collection[str], *conditions: ColumnElement[bool]
    ) -> Sequence[LostOutput]:
        query = (
            LOST_OUTPUTS.where(*conditions, _OUTPUTS.generation_id.not_in(without))
            .order_by(_OUTPUTS.expires_at)
            .limit(limit)
        )
        return [make_lost(row) for row in await self._connection.execute(query)]
