"""The composition root: settings, adapters, core, edges, in the order of their start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from importlib import resources
from pathlib import Path

from events.topology import streams
from generator.adapters.inputs.asset_upload import BlobAssetUploads
from generator.adapters.models.replicate_models import ReplicateModels
from generator.adapters.replicate_client import ReplicateClient
from generator.adapters.runs.catalog_attempts import CatalogAttempts
from generator.adapters.runs.event_publisher import LogEventPublisher
from generator.adapters.runs.kv_cell import KeyValueCell
from generator.adapters.runs.operator_log import StructlogOperatorLog
from generator.adapters.runs.replicate_predictions import ReplicatePredictions
from generator.adapters.runs.wakeups import LogWakeUps
from generator.adapters.scenes.photo_features import BlobPhotoFeatures
from generator.config import Settings, check
from generator.core.models.domain.prices import PriceFileError, PriceTable, load_prices
from generator.core.models.model_catalog import DefaultModels, ModelCatalog
from generator.core.runs.ports import RunPorts, RunSettings
from generator.core.runs.rate_limiter import RateLimiter
from generator.core.runs.run_results import ModelRunResults
from generator.edges.events import consumers
from generator.edges.models import ModelService
from generator.edges.scenes import PlanService
from generator.edges.webhooks import WebhookService
from rushes.catalog.v1.attempts_pb2_grpc import AttemptServiceStub
from rushes.catalog.v1.generations_pb2_grpc import GenerationServiceStub
from servicekit.blobs import BlobStore
from servicekit.clock import SystemClock
from servicekit.config import ConfigError, load
from servicekit.events import EventLog
from servicekit.grpc.client import GrpcChannel
from servicekit.grpc.server import GrpcServer
from servicekit.process.lifecycle import Part, Tasks

PROVIDER = "replicate"

READ_LIMITS_EVERY = 5.0
"""Seconds between two reads of the limits that all replicas share: so old may be what a metric shows."""


def build(environ: Mapping[str, str]) -> Sequence[Part]:
    """The generator's parts; ConfigError when settings are wrong."""
    settings = check(load(Settings, environ))
    clock, prices = SystemClock(), _load_prices(settings.prices_file)
    log = EventLog(
        settings.nats_url,
        service="generator",
        clock=clock,
        streams=streams(),
        replicas=settings.event_log_replicas,
    )
    blobs = BlobStore.of(settings)
    client = ReplicateClient(settings.base_url, settings.token)
    catalog = GrpcChannel(settings.catalog_address)
    predictions = ReplicatePredictions(client, clock)
    models = ModelCatalog(ReplicateModels(client), clock, ttl=settings.models_ttl.total_seconds())
    operators = StructlogOperatorLog(PROVIDER)
    limiter = RateLimiter(
        KeyValueCell(log, provider=PROVIDER),
        clock,
        operators,
        delay=settings.start_delay_ms / 1000,
        probe_every=settings.probe_every.total_seconds(),
    )
    uploads = BlobAssetUploads(
        blobs,
        predictions.upload,
        clock,
        public_url=settings.public_url,
        signing_key=settings.signing_key,
        life=settings.deadline + timedelta(hours=1),  # signed addresses work for as long as a run may take
    )
    deadline = settings.deadline.total_seconds()
    ports = RunPorts(
        provider=predictions,
        attempts=CatalogAttempts(
            catalog.stub(AttemptServiceStub), catalog.stub(GenerationServiceStub), clock
        ),
        limiter=limiter,
        events=LogEventPublisher(log),
        uploads=uploads,
        wakeups=LogWakeUps(log, clock),
        results=ModelRunResults(models, prices),
        operators=operators,
        clock=clock,
        settings=RunSettings(settings.submit_window.total_seconds(), deadline, settings.public_url),
    )
    default_models = DefaultModels(
        models, scene=settings.scene_model, pair=settings.pair_model, music=settings.music_model
    )
    servicers = [
        ModelService(models, prices, provider=PROVIDER, deadline=deadline),
        PlanService(BlobPhotoFeatures(blobs), default_models),
        WebhookService(ports, predictions),
    ]
    return [
        catalog,
        client,
        models,
        blobs,
        log,
        limiter,
        Tasks(clock=clock).every(READ_LIMITS_EVERY, limiter.tripped, "report the limits"),
        GrpcServer(settings.grpc_listen, servicers, clock=clock, service="generator"),
        *consumers(log, ports, provider=PROVIDER, concurrency=settings.max_concurrency),
    ]


def _load_prices(own: Path) -> PriceTable:
    file = resources.files("generator") / "prices.toml" if own == Path() else own
    try:
        return load_prices(file.read_text())
    except (OSError, UnicodeDecodeError, PriceFileError) as error:
        raise ConfigError(f"PRICES_FILE={str(own)!r} cannot be used: {error}") from error
