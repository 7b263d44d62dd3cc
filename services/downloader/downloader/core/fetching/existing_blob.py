"""What the store has of a file already: measured anew, and taken only when it is whole."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from downloader.core.containers.domain import BY_EXTENSION, Kind, Stored, check_kind, holding
from downloader.core.fetching.domain.fetch_errors import FetchFailed
from downloader.core.fetching.ports import Found, Prober, Spool, SpoolFile, Store
from servicekit.errors import Unavailable

HASHED_AT_ONCE = 1024 * 1024


class Unreadable(Unavailable):
    """Something lies there that the store does not give: it may be whole, and readable later."""


class Kept:
    """What lies in the store under a stem.

    Nothing is removed here, neither what is damaged nor what cannot be read: a record may name it, and
    what is left of it may be better than nothing when the origin has deleted its own. Whoever fetches the
    file again stores it in the same place, and a blob is replaced whole or not at all. What is damaged under
    another extension stays for the sweep, which knows the records.
    """

    def __init__(self, store: Store, spool: Spool, prober: Prober) -> None:
        self._store = store
        self._spool = spool
        self._prober = prober
        self._log = structlog.get_logger("downloader")

    async def whole(self, stem: str, kind: Kind | None) -> Stored | None:
        """What passes its check; None: nothing does, so fetch it.

        Raises:
            Unreadable: nothing does, but something cannot be read.
            Unavailable: the store, the spool or the decoders are in trouble.
        """
        unreadable: Unreadable | None = None
        for found in await self._store.find(stem):
            try:
                return await self._measure(found, kind)
            except FetchFailed as damage:
                self._log.error(
                    "what is stored is damaged: fetched again", blob=found.key, reason=damage.message
                )
            except Unreadable as error:
                self._log.error(
                    "what is stored cannot be read: fetched again", blob=found.key, reason=error.message
                )
                unreadable = error
        if unreadable is not None:
            raise unreadable
        return None

    async def _measure(self, found: Found, kind: Kind | None) -> Stored:
        container = BY_EXTENSION[found.key.rpartition(".")[2]]
        async with opened(self._spool) as file:
            try:
                await self._store.read(found.key, file.path)
            except Unavailable as error:
                raise Unreadable(error.message, retry_after=error.retry_after) from error
            sha256, size = await asyncio.to_thread(_digest, file)
            measured = await self._prober.probe(file.path, container)
        check_kind(measured.kind, kind, container)
        return Stored(found.key, holding(container, measured.kind).content_type, size, sha256, measured)


@asynccontextmanager
async def opened(spool: Spool) -> AsyncIterator[SpoolFile]:
    """A temporary file for the block."""
    file = await asyncio.to_thread(spool.open)
    try:
        yield file
    finally:
        await asyncio.to_thread(file.remove)


def _digest(file: SpoolFile) -> tuple[str, int]:
    digest = hashlib.sha256()
    with file.path.open("rb", buffering=0) as reader:
        while block := reader.read(HASHED_AT_ONCE):
            digest.update(block)
        return digest.hexdigest(), reader.tell()
