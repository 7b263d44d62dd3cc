"""Compares the blob store with the records: removes what no record names, and finds what is missing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import structlog
from prometheus_client import Gauge

from servicekit.clock import Clock
from servicekit.errors import TimedOut, Unavailable

OWNER_KEY = "system.txt"
"""The blob that holds the name of the system that the store belongs to."""

BATCH = 500
"""Keys that the catalog judges at once."""

PAGE = 5_000
"""Blobs that are compared for one page of an operator's list."""

MAX_REMOVED = 10_000
"""Blobs that one sweep removes; the rest waits for the next."""

ALWAYS_REMOVABLE = 20
"""So many may always go. Beyond that, a sweep that would remove more than half of all removes nothing."""

WAIT_FIRST_S, WAIT_LONGEST_S = 1.0, 30.0
"""Between two tries while a part is away: doubled each time, up to the second number."""

BLOBS_MISSING = Gauge(
    "rushes_blobs_missing",
    "Records whose blob was not in the store at the last sweep; `rushes storage check`",
)
_log = structlog.get_logger("downloader")


@dataclass(frozen=True)
class ListedBlob:
    """A blob as the store lists it."""

    key: str
    size: int
    stored_at: datetime


@dataclass(frozen=True)
class BlobReference:
    """The blob that a record names. `id` is that of the asset, the media, or for a cut its job."""

    id: str
    key: str


class BlobInventory(Protocol):
    """The blob store, as far as the sweep needs it."""

    async def owner(self, system: str) -> str:
        """The system that the store belongs to. A store without an owner belongs to `system` from now on."""
        ...

    def list(self, *, after: str) -> AsyncIterator[ListedBlob]:
        """Every blob after a key, by key."""
        ...

    async def exists(self, key: str) -> bool: ...

    async def delete(self, key: str) -> None:
        """Remove it; absent is fine."""
        ...


class Records(Protocol):
    """The catalog, as far as the sweep needs it."""

    async def system(self) -> str:
        """The name of the system whose records these are."""
        ...

    async def unneeded(self, keys: Sequence[str]) -> Sequence[str]:
        """Those of the keys that no record names, nor will."""
        ...

    async def references(self, page_token: str) -> tuple[Sequence[BlobReference], str]:
        """A page of the blobs that records name, and the token of the next page; empty after the last."""
        ...


@dataclass(frozen=True)
class UnneededPage:
    """The keys that were compared, the blobs that no record names, and the last key; "" on the last page."""

    compared: tuple[str, ...]
    unneeded: tuple[ListedBlob, ...]
    after: str = ""


@dataclass(frozen=True)
class MissingPage:
    """How many records were compared, those whose blob is not in the store, and the next page's token."""

    compared: int
    missing: tuple[BlobReference, ...]
    next_page_token: str


@dataclass
class OrphanSweep:
    """The use cases of the sweep.

    Args:
        older_than: a younger blob may belong to a record that is just being made.
    """

    blobs: BlobInventory
    records: Records
    clock: Clock
    older_than: timedelta

    async def run(self) -> int:
        """Remove what no record names, and report what is missing; how many were removed.

        All is compared before anything is removed: a catalog that knows next to nothing of what is stored is
        more likely one that was restored from a backup than right. The store of another system is left alone.
        """
        system = await self.records.system()
        owner = await self.blobs.owner(system)
        if owner != system:
            reason = f"the store belongs to another system; if that is gone, remove {OWNER_KEY}"
            _log.error(f"nothing is swept: {reason}", owner=owner, system=system)
            return 0
        stored: set[str] = set()  # a hundred bytes a blob, while the sweep runs
        unneeded = 0
        removable: list[ListedBlob] = []
        page = await self.unneeded_page()
        while True:
            stored.update(page.compared)
            unneeded += len(page.unneeded)
            removable += page.unneeded[: MAX_REMOVED - len(removable)]
            if not page.after:
                break
            page = await self.unneeded_page(page.after)
        await self._report_missing(stored)
        if unneeded > ALWAYS_REMOVABLE and unneeded * 2 > len(stored):
            reason = "more than half of all blobs have no record; is this the right database?"
            _log.error(f"nothing is swept: {reason}", blobs=len(stored), unneeded=unneeded)
            return 0
        for blob in removable:
            await self.blobs.delete(blob.key)
            _log.info("swept: no record names it", blob=blob.key, size_bytes=blob.size)
        return len(removable)

    async def _report_missing(self, stored: set[str]) -> None:
        count, first, page_token = 0, None, ""
        while True:
            references, page_token = await self.records.references(page_token)
            for each in references:
                # What was stored after the listing is there all the same.
                if each.key not in stored and not await self.blobs.exists(each.key):
                    count, first = count + 1, first or each
            if not page_token:
                break
        BLOBS_MISSING.set(count)
        if first is not None:
            _log.error(
                "records name blobs that are not in the store: `rushes storage check` lists them",
                missing=count,
                first_id=first.id,
                first_blob=first.key,
            )

    async def unneeded_page(self, after: str = "") -> UnneededPage:
        """Some thousand blobs after a key, and which of them no record names."""
        old_enough = self.clock.now() - self.older_than
        unneeded: list[ListedBlob] = []
        batch: list[ListedBlob] = []
        compared: list[str] = []
        async for blob in self.blobs.list(after=after):
            compared.append(blob.key)
            if blob.stored_at < old_enough:
                batch.append(blob)
            if len(batch) == BATCH:
                unneeded += await self._unneeded_of(batch)
                batch = []
            if len(compared) == PAGE:
                break
        unneeded += await self._unneeded_of(batch)
        is_last = len(compared) < PAGE
        return UnneededPage(tuple(compared), tuple(unneeded), "" if is_last else compared[-1])

    async def _unneeded_of(self, batch: Sequence[ListedBlob]) -> list[ListedBlob]:
        if not batch:
            return []
        unneeded = set(await self.records.unneeded([blob.key for blob in batch]))
        return [blob for blob in batch if blob.key in unneeded]

    async def missing_page(self, page_token: str) -> MissingPage:
        references, next_page_token = await self.records.references(page_token)
        missing = [each for each in references if not await self.blobs.exists(each.key)]
        return MissingPage(len(references), tuple(missing), next_page_token)


async def wait_for_parts(task: str, work: Callable[[], Awaitable[object]], clock: Clock) -> None:
    """Do the work as soon as the parts that it needs are up. That the catalog starts later, or is away for a
    while, is no fault of the work: it is reported once, and not as an error."""
    seconds = WAIT_FIRST_S
    while True:
        try:
            await work()
        except (Unavailable, TimedOut) as error:
            if seconds == WAIT_FIRST_S:
                _log.info("waiting for another part", task=task, reason=error.message)
            await clock.sleep(seconds)
            seconds = min(seconds * 2, WAIT_LONGEST_S)
        else:
            return
