"""Finds orphans: which of the blobs in the store no record names, nor work under way may name."""

from __future__ import annotations

from collections.abc import Sequence

from catalog.core.shared.paging import Page, PageRequest
from catalog.core.storage.domain.blob_keys import NamedBlob, parse_blob_key
from catalog.core.unit_of_work import Database


class OrphanFinder:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def system_id(self) -> str:
        """The id of the system whose records these are: a blob store belongs to one system."""
        async with self._database.read() as unit:
            return await unit.blob_references.system_id()

    async def orphans_among(self, keys: Sequence[str]) -> list[str]:
        """The orphans, in the order given. A key that is not of our layout is none: it may be somebody's."""
        ours = [key for text in keys if (key := parse_blob_key(text))]
        async with self._database.read() as unit:
            needed = await unit.blob_references.needed(ours)
        return [key.text for key in ours if key.text not in needed]

    async def named_blobs(self, paging: PageRequest) -> Page[NamedBlob]:
        """What should be in the blob store."""
        async with self._database.read() as unit:
            return await unit.blob_references.page(paging)
