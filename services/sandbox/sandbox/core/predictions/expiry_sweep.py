"""Removes what has expired: inputs and outputs of predictions, and uploads."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from sandbox.core.clock import SandboxClock
from sandbox.core.predictions.ports import Store
from servicekit.concurrency import end

EVERY_S = 30.0
_log = logging.getLogger(__name__)


class ExpirySweeper:
    """Sweeps every `EVERY_S` seconds. A failed round is logged, and the next one is tried."""

    def __init__(self, store: Store, clock: SandboxClock) -> None:
        self._store = store
        self._clock = clock
        self._loop: asyncio.Task[None] | None = None

    async def start(self) -> None:
        if self._loop is None:
            self._loop = asyncio.create_task(self._run())

    async def stop(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None:
            await end(loop)

    def sweep(self) -> None:
        """One round. Bytes are deleted first: on a full disk the record could not be written before that."""
        now = self._clock.now()
        for prediction in self._store.expired_predictions(now):
            self._store.delete_files(prediction.id)
            self._store.save(replace(prediction, removed=True, output=None, input={}, logs=""))
        for upload in self._store.expired_uploads(now):
            self._store.delete_upload(upload.id)

    async def _run(self) -> None:
        while True:
            try:
                self.sweep()
            except Exception:  # noqa: BLE001 - a full disk, say: nothing would start the loop again
                _log.exception("sweeping failed; the next round is in %g s", EVERY_S)
            await self._clock.sleep(EVERY_S)
