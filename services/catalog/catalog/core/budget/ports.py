"""What spending needs: the accounts, locked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from catalog.core.budget.domain import Account


class Accounts(Protocol):
    async def lock(self, accounts: Sequence[str]) -> Mapping[str, Account]:
        """The accounts (without caps), locked until the unit of work ends, in the order of their names."""
        ...
