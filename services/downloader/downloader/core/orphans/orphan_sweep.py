"""The blob store compared with the records: what no record names is removed, what is missing is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from servicekit.clock import Clock

BATCH = 500
"""Keys that the catalog judges at once."""

PAGE = 5_000
"""Blobs that are looked at for one page of an operator's list."""

MOST = 10_000
"""Blobs that one sweep removes; the rest waits for the next."""

OWNER_KEY = "system.txt"
"""The blob that holds the name of the system that the store belongs to."""

FEW = 20
"""So many may always go. Beyond that, a sweep that would remove more than half of all removes nothing."""


@dataclass(frozen=True)
class StoredBlob:
    """What the store lists."""

    key: str
    size: int
    stored_at: datetime


@dataclass(frozen=True)
class Named:
    """What a record says is stored."""

    id: str
    key: str


@dataclass(frozen=True)
class Looked:
    """What a page came to; `after` is the last key, empty when nothing comes after."""

    looked_at: int
    unneeded: tuple[StoredBlob, ...]
    after: str = ""


class BlobList(Protocol):
    """The blob store, as far as a sweep needs it."""

    async def owner(self, system: str) -> str:
        """The system that the store belongs to; the one that asks, when it belonged to none."""
        ...

    def list(self, *, after: str) -> AsyncIterator[StoredBlob]:
        """Every blob after a key, by key."""
        ...

    async def exists(self, key: str) -> bool:
        """Whether there is such a blob."""
        ...

    async def delete(self, key: str) -> None:
        """Remove it; absent is fine."""
        ...


class Records(Protocol):
    """The catalog, as far as a sweep needs it."""

    async def system(self) -> str:
        """The name of the system whose records these are."""
        ...

    async def unneeded(self, keys: Sequence[str]) -> Sequence[str]:
        """Those of the keys that no record names, nor will."""
        ...

    async def named(self, token: str) -> tuple[Sequence[Named], str]:
        """A page of what records say is stored, and the token of the next one; empty after the last."""
        ...


class Sweep:
    """The use cases of the sweep.

    Args:
        older_than: a younger blob may belong to a record that is just being made.
    """

    def __init__(self, blobs: BlobList, records: Records, clock: Clock, *, older_than: timedelta) -> None:
        self._blobs = blobs
        self._records = records
        self._clock = clock
        self._older_than = older_than
        self._log = structlog.get_logger(__name__)

    async def run(self) -> int:
        """Remove what no record names; how many that were.

        All is looked at before anything is removed: a catalog that knows next to nothing of what is stored is
        more likely one that was restored from a backup than right. The store of another system is left alone.
        """
        system = await self._records.system()
        owner = await self._blobs.owner(system)
        if owner != system:
            self._log.error(
                f"nothing is swept: the store belongs to another system; if that is gone, remove {OWNER_KEY}",
                owner=owner,
                system=system,
            )
            return 0
        looked_at = unneeded = 0
        going: list[StoredBlob] = []
        page = await self.look()
        while True:
            looked_at, unneeded = looked_at + page.looked_at, unneeded + len(page.unneeded)
            going += page.unneeded[: MOST - len(going)]
            if not page.after:
                break
            page = await self.look(page.after)
        if unneeded > FEW and unneeded * 2 > looked_at:
            self._log.error(
                "nothing is swept: more than half of all blobs have no record; is this the right database?",
                blobs=looked_at,
                unneeded=unneeded,
            )
            return 0
        for blob in going:
            await self._blobs.delete(blob.key)
            self._log.info("swept: no record names it", blob=blob.key, size_bytes=blob.size)
        return len(going)

    async def look(self, after: str = "") -> Looked:
        """Some thousand blobs after a key, and which of them no record names."""
        ripe = self._clock.now() - self._older_than
        found: list[StoredBlob] = []
        batch: list[StoredBlob] = []
        looked_at, last = 0, ""
        async for blob in self._blobs.list(after=after):
            looked_at, last = looked_at + 1, blob.key
            if blob.stored_at < ripe:
                batch.append(blob)
            if len(batch) == BATCH:
                found += await self._judged(batch)
                batch = []
            if looked_at == PAGE:
                break
        found += await self._judged(batch)
        return Looked(looked_at, tuple(found), last if looked_at == PAGE else "")

    async def _judged(self, batch: Sequence[StoredBlob]) -> list[StoredBlob]:
        if not batch:
            return []
        gone = set(await self._records.unneeded([blob.key for blob in batch]))
        return [blob for blob in batch if blob.key in gone]

    async def missing(self, token: str) -> tuple[int, list[Named], str]:
        """A page of records: how many, those whose blob is not there, and the token of the next page."""
        page, following = await self._records.named(token)
        gone = [named for named in page if not await self._blobs.exists(named.key)]
        return len(page), gone, following
