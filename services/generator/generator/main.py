"""The composition root: settings, adapters, core, edges, in the order of their start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from importlib import resources
from pathlib import Path

import grpc.aio

from events.topology import streams
from generator.adapters.catalog_grpc import CatalogAttempts
from generator.adapters.event_log import LogCell, LogFacts, LogWakes
from generator.adapters.files import AssetFiles
from generator.adapters.http import Api
from generator.adapters.journal import LogJournal
from generator.adapters.library_http import HttpLibrary
from generator.adapters.photo_looks import BlobPhotoLooks
from generator.adapters.provider_http import HttpProvider
from generator.config import Settings, check
from generator.core.follow import Ports, Rules
from generator.core.lane import SharedLane
from generator.core.prepare import Bills
from generator.core.prices import PriceTable, WrongPrices
from generator.core.prices import load as load_prices
from generator.core.shelf import Shelf
from generator.core.standard import StandardModels
from generator.edges.events import consumers
from generator.edges.models import ModelService
from generator.edges.plan import PlanService
from generator.edges.served import served
from generator.edges.webhooks import WebhookService
from servicekit.blobs import BlobStore
from servicekit.clock import Clock, SystemClock
from servicekit.config import ConfigError, load
from servicekit.events import EventLog
from servicekit.grpc.client import open_channel
from servicekit.grpc.server import GrpcServer
from servicekit.process.lifecycle import Part, Tasks

PROVIDER = "replicate"


def build(environ: Mapping[str, str]) -> Sequence[Part]:
    """The generator's parts; ConfigError when settings are wrong."""
    settings = check(load(Settings, environ))
    clock, prices = SystemClock(), _prices(settings)
    log = EventLog(settings.nats_url, service="generator", clock=clock, streams=streams())
    blobs = BlobStore(
        settings.blob_endpoint, settings.blob_access_key, settings.blob_secret_key, settings.blob_bucket
    )
    api = Api(settings.base_url, settings.token)
    catalog = open_channel(settings.catalog_address)
    provider = HttpProvider(api, clock)
    shelf = Shelf(HttpLibrary(api), clock, ttl=settings.models_ttl.total_seconds())
    journal = LogJournal(PROVIDER)
    lane = _lane(settings, log, clock, journal)
    ports = Ports(
        provider=provider,
        attempts=CatalogAttempts(catalog, clock),
        lane=lane,
        facts=LogFacts(log),
        files=_files(settings, blobs, provider, clock),
        wakes=LogWakes(log, clock),
        costs=Bills(shelf, prices),
        journal=journal,
        clock=clock,
        rules=_rules(settings),
    )
    standard = StandardModels(
        shelf, scene=settings.scene_model, pair=settings.pair_model, music=settings.music_model
    )
    services = served(
        ModelService(shelf, prices, provider=PROVIDER, deadline=ports.rules.deadline),
        PlanService(BlobPhotoLooks(blobs), standard),
        WebhookService(ports, provider),
    )
    return [
        _Channel(catalog),
        api,
        shelf,
        blobs,
        log,
        _OpenDoor(lane),
        Tasks(clock=clock).every(lane.probe_every, lane.closed, "see whether the lane is closed"),
        GrpcServer(settings.grpc_listen, services, clock=clock, service="generator"),
        *consumers(log, ports, provider=PROVIDER, concurrency=settings.max_concurrency),
    ]


def _lane(settings: Settings, log: EventLog, clock: Clock, journal: LogJournal) -> SharedLane:
    """The provider's limits, shared by all replicas."""
    return SharedLane(
        LogCell(log, lane=PROVIDER),
        clock,
        journal,
        delay=settings.start_delay_ms / 1000,
        probe_every=settings.probe_every.total_seconds(),
    )


def _files(settings: Settings, blobs: BlobStore, provider: HttpProvider, clock: Clock) -> AssetFiles:
    """Assets as the provider can read them, for as long as a run may take."""
    return AssetFiles(
        blobs,
        provider.upload,
        clock,
        public_url=settings.public_url,
        signing_key=settings.signing_key,
        life=settings.deadline + timedelta(hours=1),
    )


def _rules(settings: Settings) -> Rules:
    return Rules(
        submit_window=settings.submit_window.total_seconds(),
        deadline=settings.deadline.total_seconds(),
        webhook_base=settings.public_url,
    )


def _prices(settings: Settings) -> PriceTable:
    own = settings.prices_file
    try:
        text = (
            own.read_text() if own != Path() else (resources.files("generator") / "prices.toml").read_text()
        )
        return load_prices(text)
    except (OSError, UnicodeDecodeError, WrongPrices) as error:
        raise ConfigError(f"PRICES_FILE={str(own)!r} cannot be used: {error}") from error


class _Channel:
    """Closes the channel to catalog at the end."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel

    async def start(self) -> None:
        """It connects at the first call."""

    async def stop(self) -> None:
        """Close it."""
        await self._channel.close()


class _OpenDoor:
    """Whoever restarts us may have mended the token: a closed lane is tried at once."""

    def __init__(self, lane: SharedLane) -> None:
        self._lane = lane

    async def start(self) -> None:
        """Let the next submission probe."""
        await self._lane.try_now()

    async def stop(self) -> None:
        """Nothing to let go of."""
