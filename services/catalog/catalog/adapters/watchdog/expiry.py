"""Which lost outputs are to be told of, and which were: marks beside their state, for all replicas."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, literal_column, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from catalog.adapters.db import tables as t
from catalog.adapters.generations.rows import make_lost
from catalog.core.generations.domain.media import LostOutput
from catalog.core.generations.domain.model import OutputState

_OUTPUTS = t.outputs.c
# Written out as in `ix_outputs_expiring`: of parameters a database cannot know that the index has them all.
_MISSING = and_(
    _OUTPUTS.state.in_((literal_column("'lost'"), literal_column("'pending'"))), _OUTPUTS.counted_at.is_(None)
)
_LOST = and_(_MISSING, _OUTPUTS.state == OutputState.LOST.value)


class SqlExpiringOutputs:
    """`ExpiringOutputs`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def at_risk(self, at: datetime, until: datetime, limit: int) -> Sequence[LostOutput]:
        """Those that expire by then, and were not warned of."""
        soon = and_(_OUTPUTS.expires_at > at, _OUTPUTS.expires_at <= until)
        return await self._those(limit, soon, _MISSING, _OUTPUTS.warned_at.is_(None))

    async def lost(self, at: datetime, limit: int) -> Sequence[LostOutput]:
        """Those that have expired, and were not counted."""
        return await self._those(limit, _OUTPUTS.expires_at <= at, _LOST)

    async def warn(self, output: LostOutput, at: datetime) -> bool:
        """Mark that it was warned of; False: it was before, or came here meanwhile."""
        return await self._mark(output, _MISSING, _OUTPUTS.warned_at.is_(None), warned_at=at)

    async def count(self, output: LostOutput, at: datetime) -> bool:
        """Mark that it was counted; False: it was before, or is asked for once more."""
        return await self._mark(output, _LOST, counted_at=at)

    async def _those(self, limit: int, *conditions: ColumnElement[bool]) -> Sequence[LostOutput]:
        query = (
            select(t.outputs, t.generations.c.job_id, t.generations.c.model)
            .join(t.generations, t.generations.c.id == _OUTPUTS.generation_id)
            .where(*conditions)
            .order_by(_OUTPUTS.expires_at)
            .limit(limit)
        )
        return [make_lost(row) for row in await self._connection.execute(query)]

    async def _mark(self, output: LostOutput, *conditions: ColumnElement[bool], **marks: Any) -> bool:
        mine = (_OUTPUTS.generation_id == output.generation_id, _OUTPUTS.index == output.index)
        done = await self._connection.execute(update(t.outputs).where(*mine, *conditions).values(marks))
        return done.rowcount == 1
