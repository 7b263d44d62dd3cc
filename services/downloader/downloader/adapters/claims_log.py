"""Which replica is fetching what: keys in a shared bucket that vanish when their owner does."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from servicekit.errors import AppError, Conflict, Unavailable
from servicekit.events import EventLog

BUCKET = "downloads"


class SharedClaims:
    """See `core.ports.Claims`.

    Args:
        log: has the bucket.
        ttl_s: seconds after which the claim of a dead replica is gone; renewed at a third of it.
    """

    def __init__(self, log: EventLog, *, ttl_s: float = 9.0) -> None:
        self._log = log
        self._ttl_s = ttl_s
        self._owner = secrets.token_hex(8)

    @asynccontextmanager
    async def hold(self, stem: str) -> AsyncIterator[bool]:
        """Claim it for the block; False: somebody has it now."""
        bucket = await self._log.bucket(BUCKET, ttl=self._ttl_s)
        claim = f"{self._owner}:{secrets.token_hex(4)}"
        try:
            revision = await bucket.create(stem, claim)
        except Conflict:
            # Ours after all, when the answer to a first try was lost.
            held = await bucket.get(stem)
            if held is None or held[0] != claim:
                yield False
                return
            revision = held[1]
        renewing = asyncio.create_task(self._renew(stem, claim, revision))
        try:
            yield True
        finally:
            renewing.cancel()
            await asyncio.wait({renewing})
            with contextlib.suppress(Conflict, Unavailable):  # then it vanishes by itself
                held = await bucket.get(stem)
                if held is not None and held[0] == claim:
                    await bucket.delete(stem, revision=held[1])

    async def _renew(self, stem: str, claim: str, revision: int) -> None:
        bucket = await self._log.bucket(BUCKET, ttl=self._ttl_s)
        while True:
            await asyncio.sleep(self._ttl_s / 3)
            try:
                revision = await bucket.update(stem, claim, revision=revision)
            except AppError as error:
                # Without the claim the worst is that two fetch the same; the store shows one of them.
                structlog.get_logger(__name__).warning("claim not renewed", stem=stem, error=str(error))
