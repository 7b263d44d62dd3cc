"""The database as use cases see it: units of work over all repositories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from catalog.core.access.ports import ApiKeys
from catalog.core.budget.domain import Account
from catalog.core.campaigns.ports import Assets, Campaigns, Clients
from catalog.core.generations.ports import Generations
from catalog.core.jobs.ports import Jobs
from catalog.core.storage.ports import BlobReferences, StoredFiles
from catalog.core.watchdog.ports import ExpiringOutputs


class Accounts(Protocol):
    async def get(self, account: str) -> Account:
        """One as it is, without its cap; a new one where nothing was booked yet."""
        ...

    async def lock(self, accounts: Sequence[str]) -> Mapping[str, Account]:
        """The accounts (without caps), locked until the unit of work ends, in the order of their names."""
        ...


class UnitOfWork(Protocol):
    """One transaction over the catalog's repositories: all of it is committed, or nothing."""

    @property
    def clients(self) -> Clients: ...
    @property
    def campaigns(self) -> Campaigns: ...
    @property
    def assets(self) -> Assets: ...
    @property
    def api_keys(self) -> ApiKeys: ...
    @property
    def generations(self) -> Generations: ...
    @property
    def jobs(self) -> Jobs: ...
    @property
    def accounts(self) -> Accounts: ...
    @property
    def stored_files(self) -> StoredFiles: ...
    @property
    def expiring_outputs(self) -> ExpiringOutputs: ...
    @property
    def blob_references(self) -> BlobReferences: ...

    async def first_time(self, consumer: str, event_id: str) -> bool:
        """Whether this consumer applies the event for the first time: then in this unit of work."""
        ...


class Database(Protocol):
    def write(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """A unit of work that may change records; leaving it without an error commits it."""
        ...

    def read(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """A unit of work that only reads."""
        ...
