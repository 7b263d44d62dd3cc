"""Names what the orphan sweep needs from the world: the blob store, the catalog, and a report."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


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


class SweepReport(Protocol):
    """What operators must know of a sweep."""

    def foreign_store(self, owner: str, system: str) -> None:
        """Nothing is removed: the store belongs to another system."""
        ...

    def too_many(self, blobs: int, unneeded: int) -> None:
        """Nothing is removed: most of what is stored has no record."""
        ...

    def removed(self, blob: ListedBlob) -> None: ...

    def missing(self, count: int, first: BlobReference | None) -> None:
        """So many records name a blob that is not in the store. Called once per sweep, with 0 as well."""
        ...

    def waiting(self, task: str, reason: str) -> None:
        """A task waits for a part of the system that is not up yet, or away."""
        ...
