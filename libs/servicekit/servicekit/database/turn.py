"""Lets transactions of several replicas take turns, where they would get in each other's way."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection


async def take_turn(connection: AsyncConnection, name: str) -> None:
    """Wait until no other transaction has the turn of this name. Ours ends with the transaction,
    or with its connection.

    On SQLite there is nothing to wait for: one process has it, and one transaction writes.
    """
    if connection.dialect.name == "postgresql":
        await connection.execute(select(func.pg_advisory_xact_lock(func.hashtext(name))))
