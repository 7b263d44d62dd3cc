"""The composition root: settings become adapters, use cases, edges, and the order in which they start."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from downloader.adapters.alarms_log import LoggedAlarms
from downloader.adapters.claims_log import SharedClaims
from downloader.adapters.facts_log import LoggedFacts
from downloader.adapters.origin_http import HttpOrigin
from downloader.adapters.probe_pool import ProbePool
from downloader.adapters.records_catalog import CatalogRecords
from downloader.adapters.spool import FolderSpool
from downloader.adapters.store_blobs import Blobs
from downloader.config import Settings
from downloader.core.downloads import Downloads
from downloader.core.expected import Expected
from downloader.core.fetch import Fetcher, Limits
from downloader.core.guard import Allowed, parse_allowed
from downloader.core.sweep import Sweep
from downloader.core.turns import Turns
from downloader.edges.blobs import BLOBS, BlobServicer
from downloader.edges.events import REMOVALS, Outputs, Removals, outputs_consumer
from downloader.edges.grpc import SERVICE, DownloaderServicer
from events.topology import streams
from rushes.downloader.v1.blobs_pb2_grpc import add_BlobServiceServicer_to_server
from rushes.downloader.v1.downloader_pb2_grpc import add_DownloaderServiceServicer_to_server
from servicekit.blobs import BlobStore
from servicekit.clock import SystemClock
from servicekit.config import ConfigError, load
from servicekit.events import Consumer, EventLog
from servicekit.grpc.server import GrpcServer, Service
from servicekit.process.lifecycle import Part, Tasks

SWEEP_S = 3600.0


def build(environ: Mapping[str, str]) -> Sequence[Part]:
    """The downloader's parts, in the order of their start."""
    settings = load(Settings, environ)
    allowed = _allowed(settings)
    clock = SystemClock()
    blobs = BlobStore(
        settings.blob_endpoint, settings.blob_access_key, settings.blob_secret_key, settings.blob_bucket
    )
    log = EventLog(settings.nats_url, service="downloader", clock=clock, streams=streams())
    spool = FolderSpool(_spool_dir(settings))
    probes = ProbePool(settings.decoders, timeout_s=settings.decode_within.total_seconds())
    origin = HttpOrigin(allowed, idle_s=settings.idle.total_seconds())
    store, claims = Blobs(blobs), SharedClaims(log)
    fetcher = Fetcher(
        origin=origin,
        store=store,
        spool=spool,
        prober=probes,
        clock=clock,
        allowed=allowed,
        limits=_limits(settings),
    )
    downloads = Downloads(
        fetcher=fetcher,
        facts=LoggedFacts(log),
        claims=claims,
        alarms=LoggedAlarms(),
        turns=Turns(settings.fetches),
        expected=Expected(settings.expected, allowed),
        clock=clock,
    )
    outputs = Consumer(log, outputs_consumer(settings.in_flight), Outputs(downloads, clock).handlers())
    removals = Consumer(log, REMOVALS, Removals(store).handlers())
    records = CatalogRecords(settings.catalog_address)
    sweep = (
        Sweep(store, records, clock, older_than=settings.sweep_after) if settings.catalog_address else None
    )
    services: list[Service] = [
        (add_DownloaderServiceServicer_to_server, DownloaderServicer(fetcher, claims), SERVICE),
        (add_BlobServiceServicer_to_server, BlobServicer(sweep), BLOBS),
    ]
    server = GrpcServer(settings.grpc_listen, services, clock=clock, service="downloader")
    sweeps = Tasks().every(
        SWEEP_S, lambda: blobs.abort_stale_uploads(settings.stale_uploads), "sweep stale uploads"
    )
    if sweep is not None:
        sweeps.every(SWEEP_S, sweep.run, "sweep what no record names")
    return [spool, probes, origin, blobs, log, records, outputs, removals, sweeps, server]


def _limits(settings: Settings) -> Limits:
    return Limits(
        max_bytes=settings.max_bytes,
        total_s=settings.total.total_seconds(),
        window_s=settings.idle.total_seconds(),
        least_rate=settings.least_rate,
    )


def _allowed(settings: Settings) -> Allowed:
    try:
        return parse_allowed(settings.fetch_allow)
    except ValueError as error:
        raise ConfigError(f"FETCH_ALLOW: {error}") from error


def _spool_dir(settings: Settings) -> Path:
    if settings.spool_dir != Path():
        return settings.spool_dir
    return Path(tempfile.gettempdir()) / "rushes-spool"
