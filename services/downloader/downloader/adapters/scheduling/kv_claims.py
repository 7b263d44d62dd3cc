"""Claims outputs for one replica: keys in a shared bucket that vanish when their owner does."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from servicekit.concurrency import end
from servicekit.errors import AppError, Conflict
from servicekit.events import EventLog
from servicekit.events.bucket import Bucket

BUCKET = "downloads"

_log = structlog.get_logger(__name__)


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
        claim = _Claim(bucket, stem, value=f"{self._replica}:{secrets.token_hex(4)}")
        if not await claim.create():
            yield False
            return
        renewing = asyncio.create_task(self._renew(claim))
        try:
            yield True
        finally:
            await end(renewing)
            await claim.release()

    async def _renew(self, claim: _Claim) -> None:
        while True:
            await asyncio.sleep(self._ttl_s / 3)
            try:
                await claim.renew()
            except AppError as error:
                # Without the claim the worst is that two fetch the same; the store shows one of them.
                _log.warning("claim not renewed", stem=claim.stem, error=str(error))


@dataclass
class _Claim:
    """A key of the bucket. When the answer to a change is lost, the next one meets a Conflict with ourselves:
    so the key is read again after each."""

    bucket: Bucket
    stem: str
    value: str
    revision: int = 0
    """The last one that we know of."""

    async def create(self) -> bool:
        """False: another replica has it."""
        try:
            self.revision = await self.bucket.create(self.stem, self.value)
        except Conflict:
            return await self._is_ours()
        return True

    async def renew(self) -> None:
        """Conflict: it is another replica's by now."""
        try:
            self.revision = await self.bucket.update(self.stem, self.value, revision=self.revision)
        except Conflict:
            if not await self._is_ours():
                raise
            self.revision = await self.bucket.update(self.stem, self.value, revision=self.revision)

    async def release(self) -> None:
        """Never raises: what was done under the claim is done, and the claim vanishes by itself."""
        try:
            await self._remove()
        except Exception as error:  # noqa: BLE001  # see above
            _log.warning("claim not released", stem=self.stem, error=str(error))

    async def _remove(self) -> None:
        try:
            await self.bucket.delete(self.stem, revision=self.revision)
        except Conflict:
            if await self._is_ours():
                await self.bucket.delete(self.stem, revision=self.revision)

    async def _is_ours(self) -> bool:
        found = await self.bucket.get(self.stem)
        if found is None or found[0] != self.value:
            return False
        self.revision = found[1]
        return True
