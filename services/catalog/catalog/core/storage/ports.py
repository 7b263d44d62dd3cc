"""What the use cases on storage need: queries over stored files, and over the keys of their blobs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from catalog.core.shared.paging import Page, PageRequest
from catalog.core.storage.domain.blob_keys import BlobKey, NamedBlob
from catalog.core.storage.domain.files import (
    CleanUpCandidate,
    CleanUpTotals,
    DownloadCounts,
    StoredFile,
    UsageByKind,
)


class StoredFiles(Protocol):
    """Stored outputs and cuts. Deleted ones are never among them."""

    async def usage(self) -> UsageByKind:
        """The room that files take; cuts are videos."""
        ...

    async def download_counts(self, at: datetime) -> DownloadCounts:
        """How outputs came here; what has expired by `at` is lost."""
        ...

    async def page(self, paging: PageRequest) -> Page[StoredFile]: ...

    async def ended_generations(
        self, before: datetime, after: CleanUpCandidate | None, limit: int
    ) -> Sequence[CleanUpCandidate]:
        """Generations that ended before then, as did their job: oldest first, beginning after one."""
        ...

    async def ended_jobs_with_cuts(
        self, before: datetime, after: CleanUpCandidate | None, limit: int
    ) -> Sequence[CleanUpCandidate]:
        """Jobs with cuts that ended before then: oldest first, beginning after one."""
        ...

    async def clean_up_totals(self, before: datetime) -> CleanUpTotals:
        """What `ended_generations` and `ended_jobs_with_cuts` add up to."""
        ...


class BlobReferences(Protocol):
    """The keys of blobs that records name."""

    async def system_id(self) -> str:
        """The id of this system: made with its database, and the same for as long as that lives."""
        ...

    async def needed(self, keys: Sequence[BlobKey]) -> Collection[str]:
        """The texts of those keys that a record names, or that work under way may still name."""
        ...

    async def page(self, paging: PageRequest) -> Page[NamedBlob]:
        """Every key that a record names, without deleted records. A page may be short and not be the last."""
        ...
