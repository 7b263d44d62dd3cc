"""The composition root: settings become adapters, use cases, edges, and the order in which they start."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from downloader.adapters.blob_store import BlobStorage
from downloader.adapters.fetching.http_origin import HttpOrigin
from downloader.adapters.fetching.spool import FolderSpool
from downloader.adapters.media.probe_pool import ProbePool
from downloader.adapters.orphans.catalog_client import CatalogClient
from downloader.adapters.scheduling.event_publisher import DownloadEventPublisher
from downloader.adapters.scheduling.kv_claims import KvClaims
from downloader.adapters.scheduling.output_alerts import LoggedOutputAlerts
from downloader.config import Settings
from downloader.core.fetching.domain.ssrf_guard import AllowedHosts, parse_allowed_hosts
from downloader.core.fetching.fetch import Fetcher, FetchLimits
from downloader.core.orphans.orphan_sweep import OrphanSweep, wait_for_parts
from downloader.core.scheduling.domain.outputs import ExpectedHosts
from downloader.core.scheduling.download_outputs import DownloadOutputs
from downloader.core.scheduling.slot_scheduler import SlotScheduler
from downloader.edges.blob_service import BlobServicer
from downloader.edges.events import REMOVALS, output_handlers, outputs_consumer, removal_handlers
from downloader.edges.fetch_file import DownloaderServicer
from events.topology import streams
from rushes.catalog.v1.storage_pb2_grpc import StorageServiceStub
from servicekit.blobs import BlobStore
from servicekit.clock import SystemClock
from servicekit.config import ConfigError, load
from servicekit.events import Consumer, EventLog
from servicekit.grpc.client import GrpcChannel
from servicekit.grpc.server import GrpcServer
from servicekit.process.lifecycle import Part, Tasks

SWEEP_S = 3600.0
"""Between two sweeps of the blob store."""


def build(environ: Mapping[str, str]) -> Sequence[Part]:
    """The downloader's parts, in the order of their start."""
    settings = load(Settings, environ)
    allowed = _allowed_hosts(settings)
    clock = SystemClock()
    blobs = BlobStore.of(settings)
    log = EventLog(
        settings.nats_url,
        service="downloader",
        clock=clock,
        streams=streams(),
        replicas=settings.event_log_replicas,
    )
    storage, claims = BlobStorage(blobs), KvClaims(log)

    # Fetching
    spool = FolderSpool(settings.spool_dir)
    probes = ProbePool(settings.probe_workers, timeout_s=settings.probe_timeout.total_seconds())
    origin = HttpOrigin(allowed, idle_s=settings.idle.total_seconds())
    fetcher = Fetcher(
        origin=origin,
        storage=storage,
        spool=spool,
        prober=probes,
        clock=clock,
        allowed=allowed,
        limits=FetchLimits(
            max_bytes=settings.max_bytes,
            total_s=settings.total.total_seconds(),
            window_s=settings.idle.total_seconds(),
            least_rate=settings.least_rate,
        ),
    )

    # Scheduling
    downloads = DownloadOutputs(
        fetcher=fetcher,
        events=DownloadEventPublisher(log),
        claims=claims,
        alerts=LoggedOutputAlerts(),
        scheduler=SlotScheduler(settings.fetch_slots),
        expected_hosts=ExpectedHosts(settings.fetch_expect, allowed),
        clock=clock,
    )
    outputs = Consumer(log, outputs_consumer(settings.in_flight), output_handlers(downloads, clock))
    removals = Consumer(log, REMOVALS, removal_handlers(storage))

    # Orphans
    catalog = GrpcChannel(settings.catalog_address)
    sweep: OrphanSweep | None = None
    sweeps = Tasks()

    def every_hour(task: str, work: Callable[[], Awaitable[object]]) -> None:
        sweeps.every(SWEEP_S, partial(wait_for_parts, task, work, clock), task)

    every_hour("sweep stale uploads", lambda: blobs.abort_stale_uploads(settings.stale_uploads))
    if settings.catalog_address:
        records = CatalogClient(catalog.stub(StorageServiceStub))
        sweep = OrphanSweep(storage, records, clock, older_than=settings.sweep_after)
        every_hour("sweep what no record names", sweep.run)

    servicers = [DownloaderServicer(fetcher, claims), BlobServicer(sweep)]
    server = GrpcServer(settings.grpc_listen, servicers, clock=clock, service="downloader")
    return [spool, probes, origin, blobs, log, catalog, outputs, removals, sweeps, server]


def _allowed_hosts(settings: Settings) -> AllowedHosts:
    try:
        return parse_allowed_hosts(settings.fetch_allow)
    except ValueError as error:
        raise ConfigError(f"FETCH_ALLOW: {error}") from error
