"""Finds what the store already has of a file. It is measured anew, and used only when it is whole."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass

import structlog

from downloader.core.fetching.domain.fetch_errors import FetchError
from downloader.core.fetching.domain.media import StoredFile, check_kind
from downloader.core.fetching.ports import Prober, Spool, SpoolFile, Storage
from mediakit.formats import BY_EXTENSION, Kind, by_content
from servicekit.errors import Unavailable

_HASH_BLOCK = 1024 * 1024
_log = structlog.get_logger("downloader")


class UnreadableBlob(Unavailable):
    """The store lists a file and does not give it: it may be whole, and readable later."""


@dataclass(frozen=True)
class ExistingBlobs:
    """What lies in the store under a stem.

    Nothing is removed here, neither what is damaged nor what cannot be read: a record may name it, and
    what is left of it may be better than nothing when the origin has deleted its own. Whoever fetches the
    file again stores it under the same key, and a blob is replaced whole or not at all. A damaged one under
    another extension stays for the orphan sweep, which knows the records.
    """

    storage: Storage
    spool: Spool
    prober: Prober

    async def find_whole(self, stem: str, required_kind: Kind | None) -> StoredFile | None:
        """The one that passes its check; None: there is none, so fetch it.

        Raises:
            UnreadableBlob: none passes, but one of them cannot be read.
            Unavailable: the store, the spool or the decoders are in trouble.
        """
        unreadable: UnreadableBlob | None = None
        for key in await self.storage.find(stem):
            try:
                return await self._measure(key, required_kind)
            except FetchError as damage:
                _log.error("what is stored is damaged: fetched again", blob=key, reason=damage.message)
            except UnreadableBlob as error:
                _log.error("what is stored cannot be read: fetched again", blob=key, reason=error.message)
                unreadable = error
        if unreadable is not None:
            raise unreadable
        return None

    async def _measure(self, key: str, required_kind: Kind | None) -> StoredFile:
        container = BY_EXTENSION[key.rpartition(".")[2]]
        async with self.spool.file() as file:
            try:
                await self.storage.read(key, file.path)
            except Unavailable as error:
                raise UnreadableBlob(error.message, retry_after=error.retry_after) from error
            sha256, size = await asyncio.to_thread(_digest, file)
            facts = await self.prober.probe(file.path, container)
        check_kind(facts.kind, required_kind, container)
        return StoredFile(key, by_content(container, facts.kind).content_type, size, sha256, facts)


def _digest(file: SpoolFile) -> tuple[str, int]:
    digest = hashlib.sha256()
    with file.path.open("rb", buffering=0) as reader:
        while block := reader.read(_HASH_BLOCK):
            digest.update(block)
        return digest.hexdigest(), reader.tell()
