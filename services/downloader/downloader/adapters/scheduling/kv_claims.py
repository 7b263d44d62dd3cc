"""Which replica is fetching what: keys in a shared bucket that vanish when their owner does."""

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
        held_at = _Place(revision)
        renewing = asyncio.create_task(self._renew(stem, claim, held_at))
        try:
            yield True
        finally:
            renewing.cancel()
            await asyncio.wait({renewing})
            with contextlib.suppress(Conflict, Unavailable):  # then it vanishes by itself
                await _release(bucket, stem, claim, held_at)

    async def _renew(self, stem: str, claim: str, held_at: _Place) -> None:
        bucket = await self._log.bucket(BUCKET, ttl=self._ttl_s)
        while True:
            await asyncio.sleep(self._ttl_s / 3)
            try:
                held_at.revision = await bucket.update(stem, claim, revision=held_at.revision)
            except AppError as error:
                # Without the claim the worst is that two fetch the same; the store shows one of them.
                structlog.get_logger(__name__).warning("claim not renewed", stem=stem, error=str(error))


@dataclass
class _Place:
    """At which revision the bucket has our claim, as far as we were told."""

    revision: int


async def _release(bucket: Bucket, stem: str, claim: str, held_at: _Place) -> None:
    try:
        await bucket.delete(stem, revision=held_at.revision)
    except Conflict:
        # Renewed without our hearing of it, or somebody else's by now: only ours is ours to remove.
        held = await bucket.get(stem)
        if held is not None and held[0] == claim:
            await bucket.delete(stem, revision=held[1])
