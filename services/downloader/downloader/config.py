"""Every setting of the downloader."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from servicekit.config import setting
from servicekit.shared_settings import BlobSettings, EventLogSettings, GrpcSettings


@dataclass(frozen=True, kw_only=True)
class Settings(GrpcSettings, EventLogSettings, BlobSettings):
    """Read from the environment once, at start."""

    fetch_allow: tuple[str, ...] = setting(
        "FETCH_ALLOW",
        doc="Hosts, or `host:port`, that may be private; commas between them. For the sandbox.",
        default=(),
    )
    fetch_expect: tuple[str, ...] = setting(
        "FETCH_EXPECT",
        doc="Hosts, with their subdomains, that providers deliver outputs from, besides those of "
        "`FETCH_ALLOW`. Others are fetched from as well, with a warning for each.",
        default=("replicate.delivery",),
    )
    fetch_slots: int = setting("FETCH_SLOTS", doc="Outputs that one replica fetches at once.", default=16)
    in_flight: int = setting(
        "FETCH_IN_FLIGHT",
        doc="Predictions whose outputs are being fetched or wait for a retry, over all replicas.",
        default=20_000,
    )
    max_bytes: int = setting("FETCH_MAX_BYTES", doc="Largest file accepted, in bytes.", default=4 * 1024**3)
    total: timedelta = setting(
        "FETCH_TOTAL_S",
        doc="Seconds one fetch may take, its quick retries included; then it starts again later.",
        default=timedelta(minutes=30),
    )
    idle: timedelta = setting(
        "FETCH_IDLE_S",
        doc="Seconds without a byte, and the window in which the least rate is measured.",
        default=timedelta(seconds=20),
    )
    least_rate: float = setting(
        "FETCH_LEAST_RATE", doc="Bytes per second below which a fetch is given up.", default=1024.0
    )
    spool_dir: Path = setting(
        "SPOOL_DIR",
        doc="Folder for files while they are checked; may be shared by replicas. Unset: in the system's "
        "temporary folder.",
        default=Path(),
    )
    probe_workers: int = setting("PROBE_WORKERS", doc="Processes that decode.", default=2)
    probe_timeout: timedelta = setting(
        "PROBE_TIMEOUT_S", doc="Seconds that checking one file may take.", default=timedelta(minutes=1)
    )
    catalog_address: str = setting(
        "CATALOG_ADDRESS",
        doc="gRPC address of the catalog, which knows what blobs are for; unset: nothing is swept.",
        default="",
    )
    sweep_after: timedelta = setting(
        "SWEEP_AFTER_S",
        doc="Age in seconds at which a blob that no record names is swept from the store.",
        default=timedelta(days=1),
    )
    stale_uploads: timedelta = setting(
        "STALE_UPLOADS_S",
        doc="Age in seconds at which an upload that nobody completed is swept from the store.",
        default=timedelta(hours=6),
    )
