"""Composes the sandbox: settings, adapters, core, HTTP and gRPC servers."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from pathlib import Path

from starlette.types import ASGIApp

from sandbox.adapters.outbound_http import OutboundHttp
from sandbox.adapters.rendering.drawing import draw
from sandbox.adapters.rendering.renderers import LocalRenderer
from sandbox.adapters.sqlite_store import SqliteStore
from sandbox.config import Settings
from sandbox.core.clock import SandboxClock
from sandbox.core.faults import FaultRule, FaultRules
from sandbox.core.models.domain.catalog_own import OWN_MODELS
from sandbox.core.models.domain.catalog_public import COLLECTIONS, public_models
from sandbox.core.models.domain.model import ModelCatalog
from sandbox.core.predictions.domain.prediction import from_rfc3339
from sandbox.core.predictions.domain.rate_limit import TokenBucket
from sandbox.core.predictions.expiry_sweep import EVERY_S, sweep
from sandbox.core.predictions.prediction_runner import PredictionRunner
from sandbox.core.predictions.webhooks import Webhooks, new_secret
from sandbox.edges.http.app import build as build_app
from sandbox.edges.http.control_routes import ControlRoutes
from sandbox.edges.http.fault_responses import FaultResponses
from sandbox.edges.http.model_routes import ModelRoutes
from sandbox.edges.http.output_routes import OutputRoutes
from sandbox.edges.http.prediction_routes import PredictionRoutes
from sandbox.edges.http.upload_routes import UploadRoutes
from servicekit.clock import SystemClock
from servicekit.config import ConfigError, load
from servicekit.grpc.server import GrpcServer
from servicekit.http.server import HttpServer
from servicekit.process.lifecycle import Part, Tasks


def build(environ: Mapping[str, str]) -> Sequence[Part]:
    settings = _checked(load(Settings, environ))
    folder = settings.data.resolve()
    store = SqliteStore(folder)
    clock = _clock(store)
    faults = FaultRules(
        [FaultRule(**rule) for rule in store.setting("faults") or []],
        lambda rules: store.save_setting("faults", [asdict(rule) for rule in rules]),
    )
    catalog = ModelCatalog([*OWN_MODELS, *public_models()], COLLECTIONS)
    outbound = OutboundHttp(store)
    renderer = LocalRenderer(folder, at_once=settings.renderers)

    secret = _secret(store, "webhook_secret")
    webhooks = Webhooks(store, outbound, clock, faults, catalog, secret)
    runner = PredictionRunner(
        store=store,
        catalog=catalog,
        clock=clock,
        renderer=renderer,
        inputs=outbound,
        webhooks=webhooks,
        faults=faults,
        speed=settings.speed,
        ttl=timedelta(seconds=settings.file_ttl_s),
        folder=folder / "outputs",
    )
    fault_responses = FaultResponses(faults, clock)
    bucket = TokenBucket(settings.creates_per_minute)
    predictions = PredictionRoutes(runner, store, catalog, clock, fault_responses, bucket)
    uploads = _folder(folder / "uploads")
    app = build_app(
        [
            *predictions.routes(),
            *ModelRoutes(catalog, fault_responses).routes(),
            *UploadRoutes(store, uploads, clock, fault_responses, _secret(store, "files_secret")).routes(),
            *OutputRoutes(store, clock, faults, expired_status=settings.expired_status).routes(),
            *ControlRoutes(runner, store, clock, faults).routes(),
        ],
        token=settings.token,
        webhook_secret=secret,
        cover=_cover,
    )
    closing = _Closing(store, outbound, renderer)
    sweeper = Tasks(clock=clock).every(EVERY_S, partial(sweep, store, clock), "expiry-sweep")
    return [closing, sweeper, runner, *_servers(app, settings)]


def _checked(settings: Settings) -> Settings:
    if settings.speed <= 0 or settings.renderers < 1:
        raise ConfigError(
            f"SANDBOX_SPEED={settings.speed:g} must be above 0, "
            f"SANDBOX_RENDERERS={settings.renderers} at least 1"
        )
    return settings


def _servers(app: ASGIApp, settings: Settings) -> list[Part]:
    return [
        HttpServer(app, settings.listen),
        GrpcServer(settings.grpc_listen, [], clock=SystemClock(), service="sandbox"),
    ]


class _Closing:
    """Closes what the other parts use. It is the first to start, and so the last to stop."""

    def __init__(self, store: SqliteStore, outbound: OutboundHttp, renderer: LocalRenderer) -> None:
        self._store, self._outbound, self._renderer = store, outbound, renderer

    async def start(self) -> None: ...

    async def stop(self) -> None:
        await self._renderer.stop()
        await self._outbound.stop()
        self._store.close()


def _clock(store: SqliteStore) -> SandboxClock:
    stored = store.setting("clock") or {"offset": 0.0, "frozen_at": None}
    return SandboxClock(SystemClock(), offset=stored["offset"], frozen_at=from_rfc3339(stored["frozen_at"]))


def _secret(store: SqliteStore, name: str) -> str:
    """The secret of that name, made at the first start."""
    secret: str = store.setting(name) or new_secret()
    store.save_setting(name, secret)
    return secret


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def _cover(model: str) -> bytes:
    out = io.BytesIO()
    draw(model, 1, (480, 270)).save(out, "JPEG", quality=85)
    return out.getvalue()
