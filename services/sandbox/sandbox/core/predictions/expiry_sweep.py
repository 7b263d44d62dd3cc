"""Removes what has expired: inputs and outputs of predictions, and uploads."""

from __future__ import annotations

from dataclasses import replace

from sandbox.core.clock import SandboxClock
from sandbox.core.predictions.ports import Store

EVERY_S = 30.0
"""Seconds between two sweeps."""


async def sweep(store: Store, clock: SandboxClock) -> None:
    """Bytes are deleted first: on a full disk the record could not be written before that."""
    now = clock.now()
    for prediction in store.expired_predictions(now):
        store.delete_files(prediction.id)
        store.save(replace(prediction, removed=True, output=None, input={}, logs=""))
    for upload in store.expired_uploads(now):
        store.delete_upload(upload.id)
