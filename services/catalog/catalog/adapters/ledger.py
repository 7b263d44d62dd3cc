"""The accounts in their table: locked in the order of their names, changed by adding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from catalog.core.money import Account, Posting

from . import tables as t


class SqlLedger:
    """`Ledger`."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def lock(self, accounts: Sequence[str]) -> Mapping[str, Account]:
        """The accounts (without caps), locked for the rest of the unit, in the order of their names."""
        names = sorted(accounts)
        await self.post([Posting(name) for name in names])  # a row that is not there cannot be locked
        query = select(t.ledger).where(t.ledger.c.account.in_(names)).order_by(t.ledger.c.account)
        found = (await self._session.execute(query.with_for_update())).all()
        return {row.account: Account(row.spent_micros, row.reserved_micros) for row in found}

    async def post(self, postings: Sequence[Posting]) -> None:
        """Book them."""
        for posting in sorted(postings, key=lambda each: each.account):
            row = {
                "account": posting.account,
                "spent_micros": posting.spent,
                "reserved_micros": posting.reserved,
            }
            insert = sqlite.insert if self._is_sqlite else postgresql.insert
            statement = insert(t.ledger).values(row)
            added = {
                "spent_micros": t.ledger.c.spent_micros + statement.excluded.spent_micros,
                "reserved_micros": t.ledger.c.reserved_micros + statement.excluded.reserved_micros,
            }
            await self._session.execute(
                statement.on_conflict_do_update(index_elements=["account"], set_=added)
            )

    @property
    def _is_sqlite(self) -> bool:
        return self._session.get_bind().dialect.name == "sqlite"
