"""What timers call, again and again; what came of it is logged."""

from __future__ import annotations

import structlog
from prometheus_client import Counter

from catalog.core.watchdog.expiry_alerts import ExpiryAlerts
from catalog.core.watchdog.reconciler import Reconciler

STALLED = Counter(
    "rushes_stalled_work",
    "Records that were requested again because no event of them came for too long: generations, jobs to be "
    "stitched, drafts to be planned, downloads of lost outputs",
    ["record"],
)
for _record in ("generations", "jobs", "drafts", "downloads"):
    STALLED.labels(_record)  # from zero on: of a series that begins with 1 nobody sees that it grew


async def reconcile(reconciler: Reconciler) -> None:
    log = structlog.get_logger("catalog.reconcile")
    result = await reconciler.run_once()
    if result.any:
        counts = {name: count for name, count in vars(result).items() if name != "failed"}
        log.warning("stalled work requested again", **counts)
        for record, count in counts.items():
            STALLED.labels(record).inc(count)
    for each in result.failed:
        log.error("stalled work could not be requested again", record=each.id, exc_info=each.error)


async def alert(expiry_alerts: ExpiryAlerts) -> None:
    log = structlog.get_logger("catalog.expiry")
    for each in await expiry_alerts.run_once():
        log.error("a lost output could not be marked", generation_id=each.id, exc_info=each.error)
