"""Compares the blob store with the records: removes what no record names, and finds what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from downloader.core.orphans.ports import BlobInventory, BlobReference, ListedBlob, Records, SweepReport
from servicekit.clock import Clock

BATCH = 500
"""Keys that the catalog judges at once."""

PAGE = 5_000
"""Blobs that are compared for one page of an operator's list."""

MAX_REMOVED = 10_000
"""Blobs that one sweep removes; the rest waits for the next."""

ALWAYS_REMOVABLE = 20
"""So many may always go. Beyond that, a sweep that would remove more than half of all removes nothing."""


@dataclass(frozen=True)
class UnneededPage:
    """How many blobs were compared, those that no record names, and the last key; "" on the last page."""

    compared: int
    unneeded: tuple[ListedBlob, ...]
    after: str = ""


@dataclass(frozen=True)
class MissingPage:
    """How many records were compared, those whose blob is not in the store, and the next page's token."""

    compared: int
    missing: tuple[BlobReference, ...]
    next_page_token: str


class OrphanSweep:
    """The use cases of the sweep.

    Args:
        older_than: a younger blob may belong to a record that is just being made.
    """

    def __init__(
        self,
        blobs: BlobInventory,
        records: Records,
        report: SweepReport,
        clock: Clock,
        *,
        older_than: timedelta,
    ) -> None:
        self._blobs = blobs
        self._records = records
        self._report = report
        self._clock = clock
        self._older_than = older_than

    async def run(self) -> int:
        """Remove what no record names; how many that were.

        All is compared before anything is removed: a catalog that knows next to nothing of what is stored is
        more likely one that was restored from a backup than right. The store of another system is left alone.
        """
        system = await self._records.system()
        owner = await self._blobs.owner(system)
        if owner != system:
            self._report.foreign_store(owner, system)
            return 0
        compared = unneeded = 0
        removable: list[ListedBlob] = []
        page = await self.unneeded_page()
        while True:
            compared, unneeded = compared + page.compared, unneeded + len(page.unneeded)
            removable += page.unneeded[: MAX_REMOVED - len(removable)]
            if not page.after:
                break
            page = await self.unneeded_page(page.after)
        if unneeded > ALWAYS_REMOVABLE and unneeded * 2 > compared:
            self._report.too_many(compared, unneeded)
            return 0
        for blob in removable:
            await self._blobs.delete(blob.key)
            self._report.removed(blob)
        return len(removable)

    async def unneeded_page(self, after: str = "") -> UnneededPage:
        """Some thousand blobs after a key, and which of them no record names."""
        old_enough = self._clock.now() - self._older_than
        unneeded: list[ListedBlob] = []
        batch: list[ListedBlob] = []
        compared, last = 0, ""
        async for blob in self._blobs.list(after=after):
            compared, last = compared + 1, blob.key
            if blob.stored_at < old_enough:
                batch.append(blob)
            if len(batch) == BATCH:
                unneeded += await self._unneeded_of(batch)
                batch = []
            if compared == PAGE:
                break
        unneeded += await self._unneeded_of(batch)
        return UnneededPage(compared, tuple(unneeded), last if compared == PAGE else "")

    async def _unneeded_of(self, batch: Sequence[ListedBlob]) -> list[ListedBlob]:
        if not batch:
            return []
        unneeded = set(await self._records.unneeded([blob.key for blob in batch]))
        return [blob for blob in batch if blob.key in unneeded]

    async def missing_page(self, page_token: str) -> MissingPage:
        references, next_page_token = await self._records.references(page_token)
        missing = [each for each in references if not await self._blobs.exists(each.key)]
        return MissingPage(len(references), tuple(missing), next_page_token)
