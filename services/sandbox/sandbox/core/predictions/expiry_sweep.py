"""Forgetting what has expired: what predictions took and made, and uploads that nobody may use any more."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from sandbox.core.clock import SandboxClock
from sandbox.core.predictions.ports import Store

EVERY_S = 30.0
_log = logging.getLogger(__name__)


class Sweeper:
    """A part that starts and stops. A round that fails is logged, and the next one goes on."""

    def __init__(self, store: Store, clock: SandboxClock) -> None:
        self._store = store
        self._clock = clock
        self._loop: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to forget."""
        if self._loop is None:
            self._loop = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Forget no more."""
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.cancel()
            await asyncio.wait([loop])

    def sweep(self) -> None:
        """One round. Bytes go first: on a full disk nothing can be written before there is room again."""
        now = self._clock.now()
        for prediction in self._store.removable(now):
            self._store.drop_files(prediction.id)
            self._store.save(replace(prediction, removed=True, output=None, input={}, logs=""))
        for upload in self._store.stale_uploads(now):
            self._store.drop_upload(upload.id)

    async def _run(self) -> None:
        while True:
            try:
                self.sweep()
            except Exception:  # noqa: BLE001 - a full disk, say: nobody would start the sweeper again
                _log.exception("sweeping failed; the next round is in %g s", EVERY_S)
            await self._clock.sleep(EVERY_S)
