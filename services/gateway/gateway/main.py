"""Composes the gateway: the only module that knows all of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from gateway.adapters.event_feed import LiveFeed
from gateway.adapters.grpc_client import Channels
from gateway.adapters.media_decoder import FileInspector
from gateway.config import Settings
from gateway.edges import probes, webhooks
from gateway.edges.auth.api_key_auth import Gate
from gateway.edges.auth.signed_urls import SignedAddresses
from gateway.edges.bytes.media_bytes import Bytes
from gateway.edges.http import app
from gateway.edges.live import sse_routes
from gateway.edges.rest import rpc_routes
from gateway.edges.uploads.asset_store import AssetStore
from gateway.edges.uploads.asset_uploads import Uploads
from servicekit.blobs import BlobStore
from servicekit.clock import Clock, SystemClock
from servicekit.config import load
from servicekit.errors import NotFound, Unavailable
from servicekit.events import EventLog
from servicekit.grpc.server import GrpcServer
from servicekit.http.server import HttpServer
from servicekit.lifecycle import Part

SERVICE = "gateway"


@dataclass(frozen=True)
class Gateway:
    """The parts, in the order of their start; `http` tells the port."""

    parts: list[Part]
    http: HttpServer
    feed: LiveFeed


def build(environ: Mapping[str, str]) -> Sequence[Part]:
    """The gateway's parts, in the order of their start."""
    return compose(load(Settings, environ), SystemClock()).parts


def compose(settings: Settings, clock: Clock) -> Gateway:
    """Make every part."""
    channels = Channels(
        {
            "rushes.catalog": settings.catalog_address,
            "rushes.generator": settings.generator_address,
            "rushes.downloader": settings.downloader_address,
            "rushes.stitcher": settings.stitcher_address,
        }
    )
    log = EventLog(settings.nats_url, service=SERVICE, clock=clock)
    blobs = BlobStore(
        settings.blob_endpoint, settings.blob_access_key, settings.blob_secret_key, settings.blob_bucket
    )
    feed = LiveFeed(log)
    readiness = probes.Readiness(
        {
            "catalog": partial(channels.check, "rushes.catalog"),
            "events": partial(_events, log),
            "blobs": partial(_blobs, blobs),
        },
        {name: partial(channels.check, f"rushes.{name}") for name in ("generator", "downloader", "stitcher")},
        closing=feed.release,
    )
    store = AssetStore(channels, blobs, FileInspector())
    signed = SignedAddresses(channels, clock, settings.signing_key, settings.public_url)
    gate = Gate(channels, clock)
    operations = [
        *rpc_routes.operations(channels),
        *Uploads(store, channels, signed).operations(),
        *signed.operations(),
        *Bytes(channels, blobs, clock, settings.signing_key, settings.serve_by_redirect).operations(),
        *webhooks.operations(channels),
        *sse_routes.operations(feed, channels, gate),
        *probes.operations(readiness),
    ]
    http = HttpServer(app.make(operations, gate), settings.http_listen)
    grpc = GrpcServer(settings.grpc_listen, [], clock=clock, service=SERVICE)
    return Gateway([log, blobs, channels, feed, grpc, http, readiness], http, feed)


async def _events(log: EventLog) -> None:
    if not log.is_connected:
        raise Unavailable("the event log is away")


async def _blobs(blobs: BlobStore) -> None:
    try:
        await blobs.stat("readiness")
    except NotFound:  # no such blob: but the store has answered
        return
