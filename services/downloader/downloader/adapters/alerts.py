"""Writes into the log, and counts, what operators must know."""

from __future__ import annotations

import structlog
from prometheus_client import Gauge

from downloader.adapters.blob_store import OWNER_KEY
from downloader.core.orphans.orphan_sweep import BlobReference, ListedBlob
from downloader.core.scheduling.domain.outputs import Output
from servicekit.telemetry.alert_metrics import OUTPUTS_AT_RISK, OUTPUTS_LOST

BLOBS_MISSING = Gauge(
    "rushes_blobs_missing",
    "Records whose blob was not in the store at the last sweep; `rushes storage check`",
)


class LoggedOutputAlerts:
    """See `core.scheduling.ports.OutputAlerts`."""

    def __init__(self) -> None:
        self._log = structlog.get_logger("downloader")

    def at_risk(self, output: Output, seconds_left: float, reason: str) -> None:
        OUTPUTS_AT_RISK.inc()
        self._log.error("output at risk", seconds_left=round(seconds_left), **_about(output, reason))

    def lost(self, output: Output, reason: str) -> None:
        OUTPUTS_LOST.inc()
        self._log.error("output lost", **_about(output, reason))

    def unexpected_host(self, output: Output, host: str) -> None:
        about = _about(output, "add it to FETCH_EXPECT when the provider delivers from there")
        self._log.warning("output from a host that none is expected from", host=host, **about)


class LoggedStoredFileAlerts:
    """See `core.fetching.ports.StoredFileAlerts`."""

    def __init__(self) -> None:
        self._log = structlog.get_logger("downloader")

    def damaged(self, key: str, reason: str) -> None:
        self._log.error("what is stored is damaged: fetched again", blob=key, reason=reason)

    def unreadable(self, key: str, reason: str) -> None:
        self._log.error("what is stored cannot be read: fetched again", blob=key, reason=reason)


class LoggedSweepReport:
    """See `core.orphans.ports.SweepReport`."""

    def __init__(self) -> None:
        self._log = structlog.get_logger("downloader")

    def foreign_store(self, owner: str, system: str) -> None:
        self._log.error(
            f"nothing is swept: the store belongs to another system; if that is gone, remove {OWNER_KEY}",
            owner=owner,
            system=system,
        )

    def too_many(self, blobs: int, unneeded: int) -> None:
        self._log.error(
            "nothing is swept: more than half of all blobs have no record; is this the right database?",
            blobs=blobs,
            unneeded=unneeded,
        )

    def removed(self, blob: ListedBlob) -> None:
        self._log.info("swept: no record names it", blob=blob.key, size_bytes=blob.size)

    def missing(self, count: int, first: BlobReference | None) -> None:
        BLOBS_MISSING.set(count)
        if first is not None:
            self._log.error(
                "records name blobs that are not in the store: `rushes storage check` lists them",
                missing=count,
                first_id=first.id,
                first_blob=first.key,
            )

    def waiting(self, task: str, reason: str) -> None:
        self._log.info("waiting for another part", task=task, reason=reason)


def _about(output: Output, reason: str) -> dict[str, object]:
    return {"generation": output.generation, "index": output.index, "job": output.job, "reason": reason}
