"""Which blobs a record names, or may still name, and which can go: what a sweep of the store asks."""

from __future__ import annotations

from collections.abc import Sequence

from catalog.core.shared.ports import PageRequest, Store
from catalog.core.shared.records import Page
from catalog.core.storage.blob_keys import NamedBlob, place_of


class Sweeping:
    """The use cases of whoever compares the blob store with the records."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def system(self) -> str:
        """Whose records these are: a blob store belongs to one system."""
        async with self._store.read() as unit:
            return await unit.blob_keys.system()

    async def unneeded(self, keys: Sequence[str]) -> list[str]:
        """Those that can go, in the order given. A key of a shape that is not ours always stays."""
        places = [place for key in keys if (place := place_of(key))]
        async with self._store.read() as unit:
            needed = await unit.blob_keys.needed(places)
        return [place.key for place in places if place.key not in needed]

    async def named(self, paging: PageRequest) -> Page[NamedBlob]:
        """What should be in the blob store."""
        async with self._store.read() as unit:
            return await unit.blob_keys.page(paging.size, paging.token)
