"""Locks accounts in the order of their names, and books postings by adding to them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Table, bindparam, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from catalog.adapters.db import tables as t
from catalog.core.budget.domain import Account, Posting


def _adding(insert: Callable[[Table], Any]) -> Any:
    """The statement that adds to an account, whose row may not exist yet."""
    statement = insert(t.accounts)
    added = {
        name: t.accounts.c[name] + statement.excluded[name] for name in ("spent_micros", "reserved_micros")
    }
    return statement.on_conflict_do_update(index_elements=["account"], set_=added)


_ADD = {"sqlite": _adding(sqlite.insert), "postgresql": _adding(postgresql.insert)}
_ONE = select(t.accounts).where(t.accounts.c.account == bindparam("of"))
_LOCK = (
    select(t.accounts)
    .where(t.accounts.c.account.in_(bindparam("names", expanding=True)))
    .order_by(t.accounts.c.account)
    .with_for_update()
)


class SqlAccounts:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def get(self, account: str) -> Account:
        row = (await self._connection.execute(_ONE, {"of": account})).first()
        return Account() if row is None else Account(row.spent_micros, row.reserved_micros)

    async def lock(self, accounts: Sequence[str]) -> Mapping[str, Account]:
        names = sorted(accounts)
        await self.post([Posting(name) for name in names])  # a row has to exist before it can be locked
        found = (await self._connection.execute(_LOCK, {"names": names})).all()
        return {row.account: Account(row.spent_micros, row.reserved_micros) for row in found}

    async def post(self, postings: Sequence[Posting]) -> None:
        """Book them, with one statement for each account."""
        sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for each in postings:
            sums[each.account][0] += each.spent
            sums[each.account][1] += each.reserved
        add = _ADD[self._connection.dialect.name]
        for account, (spent, reserved) in sorted(sums.items()):
            row = {"account": account, "spent_micros": spent, "reserved_micros": reserved}
            await self._connection.execute(add, row)
