"""Claims outputs for one replica: keys in a shared bucket that vanish when their owner does."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from servicekit.errors import AppError, Conflict, Unavailable
from servicekit.events import EventLog
from servicekit.events.bucket import Bucket

BUCKET = "downloads"


class KvClaims:
    """See `core.scheduling.ports.Claims`.

    Args:
        log: has the bucket.
        ttl_s: seconds after which the claim of a dead replica is gone; renewed at a third of it.
    """

    def __init__(self, log: EventLog, *, ttl_s: float = 9.0) -> None:
        self._log = log
        self._ttl_s = ttl_s
        self._replica = secrets.token_hex(8)

    @asynccontextmanager
    async def claim(self, stem: str) -> AsyncIterator[bool]:
        bucket = await self._log.bucket(BUCKET, ttl=self._ttl_s)
        value = f"{self._replica}:{secrets.token_hex(4)}"
        try:
            revision = await bucket.create(stem, value)
        except Conflict:
            # Ours after all, when the answer to a first try was lost.
            found = await bucket.get(stem)
            if found is None or found[0] != value:
                yield False
                return
            revision = found[1]
        claim = _Claim(bucket, stem, value, revision)
        renewing = asyncio.create_task(self._renew(claim))
        try:
            yield True
        finally:
            renewing.cancel()
            await asyncio.wait({renewing})
            with contextlib.suppress(Conflict, Unavailable):  # then it vanishes by itself
                await claim.release()

    async def _renew(self, claim: _Claim) -> None:
        while True:
            await asyncio.sleep(self._ttl_s / 3)
            try:
                await claim.renew()
            except AppError as error:
                # Without the claim the worst is that two fetch the same; the store shows one of them.
                structlog.get_logger(__name__).warning("claim not renewed", stem=claim.stem, error=str(error))


@dataclass
class _Claim:
    bucket: Bucket
    stem: str
    value: str
    revision: int
    """The last one that we know of: the answer to a renewal may have been lost."""

    async def renew(self) -> None:
        self.revision = await self.bucket.update(self.stem, self.value, revision=self.revision)

    async def release(self) -> None:
        try:
            await self.bucket.delete(self.stem, revision=self.revision)
        except Conflict:
            # Renewed without our knowing, or another replica's by now: only ours is ours to remove.
            found = await self.bucket.get(self.stem)
            if found is not None and found[0] == self.value:
                await self.bucket.delete(self.stem, revision=found[1])
