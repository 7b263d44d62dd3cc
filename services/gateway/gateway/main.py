"""Composes the gateway: the only module that knows all of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from events.topology import streams
from gateway.adapters.event_feed import EventFeed
from gateway.adapters.grpc_client import GrpcClient
from gateway.adapters.media_decoder import MediaDecoder
from gateway.config import Settings
from gateway.edges.auth.api_key_auth import ApiKeyAuth
from gateway.edges.auth.signed_urls import SignedUrls
from gateway.edges.bytes.media_bytes import MediaBytes
from gateway.edges.http.routing import make_app
from gateway.edges.live.sse_routes import LiveEvents
from gateway.edges.probes import Probes, Readiness
from gateway.edges.rest.openapi.docs_page import Docs
from gateway.edges.rest.rpc_routes import rpc_operations
from gateway.edges.rest.transcoding.descriptors import rpc_method
from gateway.edges.uploads.asset_store import AssetStore
from gateway.edges.uploads.asset_uploads import Uploads
from gateway.edges.uploads.multipart_form import UploadForms
from gateway.edges.webhooks import ProviderWebhooks
from servicekit.blobs import BlobStore
from servicekit.clock import Clock, SystemClock
from servicekit.config import load
from servicekit.events import EventLog
from servicekit.grpc.server import GrpcServer
from servicekit.http.server import HttpServer
from servicekit.process.lifecycle import Part
from servicekit.process.scratch_dir import ScratchDir

SERVICE = "gateway"

LAST_REQUESTS_S = 2.0
"""At stop, for clients that have a connection open and are about to use it."""


@dataclass(frozen=True)
class Gateway:
    """The parts, in the order of their start; `http` knows the port."""

    parts: list[Part]
    http: HttpServer
    feed: EventFeed


def build(environ: Mapping[str, str]) -> Sequence[Part]:
    """The gateway's parts, in the order of their start."""
    return compose(load(Settings, environ), SystemClock()).parts


def compose(settings: Settings, clock: Clock) -> Gateway:
    calls = GrpcClient(
        {
            "rushes.catalog": settings.catalog_address,
            "rushes.generator": settings.generator_address,
            "rushes.downloader": settings.downloader_address,
            "rushes.stitcher": settings.stitcher_address,
        },
        rpc_method,
    )
    log = EventLog(
        settings.nats_url,
        service=SERVICE,
        clock=clock,
        streams=streams(),
        replicas=settings.event_log_replicas,
    )
    blobs = BlobStore.of(settings)
    uploads_folder = ScratchDir(settings.upload_dir, setting="UPLOAD_DIR")
    feed = EventFeed(log)
    auth = ApiKeyAuth(calls, clock, settings.signing_key)
    signed_urls = SignedUrls(calls, clock, settings.signing_key, settings.public_url)
    store = AssetStore(calls, blobs, MediaDecoder().inspect)
    readiness = Readiness(
        needed={"catalog": partial(calls.check, "rushes.catalog")},
        parts={"events": log.check_ready, "blobs": blobs.check_ready},
        wanted={
            name: partial(calls.check, f"rushes.{name}") for name in ("generator", "downloader", "stitcher")
        },
        closing=feed.release,
    )
    servicers = {
        "rushes.gateway.v1.UploadService": Uploads(UploadForms(uploads_folder), store, calls, signed_urls),
        "rushes.gateway.v1.SignedUrlService": signed_urls,
        "rushes.gateway.v1.BytesService": MediaBytes(calls, blobs, clock, settings.serve_by_redirect),
        "rushes.gateway.v1.EventService": LiveEvents(feed, calls, auth),
        "rushes.gateway.v1.WebhookService": ProviderWebhooks(calls),
        "rushes.gateway.v1.ProbeService": Probes(readiness),
        "rushes.gateway.v1.DocumentService": Docs(),
    }
    app = make_app(rpc_operations(calls, servicers), auth)
    http = HttpServer(app, settings.http_listen, last_requests=LAST_REQUESTS_S)
    grpc = GrpcServer(settings.grpc_listen, [], clock=clock, service=SERVICE)
    return Gateway([log, blobs, calls, uploads_folder, feed, grpc, http, readiness], http, feed)
