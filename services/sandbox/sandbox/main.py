"""Composes the sandbox: settings, adapters, the life of predictions, HTTP and gRPC edges."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp

from sandbox.adapters.outbound_http import Outbound
from sandbox.adapters.rendering.drawing import draw
from sandbox.adapters.rendering.renderers import LocalRenderer
from sandbox.adapters.sqlite_store import SqliteStore
from sandbox.config import Settings
from sandbox.core.clock import SandboxClock
from sandbox.core.faults import FaultBook, Rule
from sandbox.core.models.domain.catalog_own import own_models
from sandbox.core.models.domain.catalog_public import COLLECTIONS, listed_models
from sandbox.core.models.domain.model import Catalogue
from sandbox.core.predictions.domain.prediction import Prediction, moment
from sandbox.core.predictions.domain.rate_limit import Bucket
from sandbox.core.predictions.expiry_sweep import Sweeper
from sandbox.core.predictions.prediction_runner import Life, Pace
from sandbox.core.predictions.webhook_signature import new_secret
from sandbox.core.predictions.webhooks import Webhooks
from sandbox.edges.http.app import build as build_app
from sandbox.edges.http.control_routes import Control
from sandbox.edges.http.fault_responses import Troubles
from sandbox.edges.http.model_routes import Models
from sandbox.edges.http.output_routes import Outputs
from sandbox.edges.http.prediction_routes import Predictions
from sandbox.edges.http.upload_routes import Uploads
from servicekit.clock import SystemClock
from servicekit.config import ConfigError, load
from servicekit.grpc.server import GrpcServer
from servicekit.http.server import HttpServer
from servicekit.lifecycle import Part


def build(environ: Mapping[str, str]) -> Sequence[Part]:
    """The parts in the order of their start."""
    settings = _checked(load(Settings, environ))
    folder = settings.data.resolve()
    store = SqliteStore(folder)
    clock = _clock(store)
    faults = FaultBook(
        [Rule(**rule) for rule in store.setting("faults") or []],
        lambda rules: store.put_setting("faults", [asdict(rule) for rule in rules]),
    )
    catalogue = Catalogue([*own_models(), *listed_models()], COLLECTIONS)
    outbound = Outbound(store)
    renderer = LocalRenderer(folder, at_once=settings.renderers)

    def shown(prediction: Prediction) -> dict[str, Any]:
        return predictions.shown(prediction, prediction.base)

    secret = _kept(store, "webhook_secret")
    webhooks = Webhooks(store, outbound, clock, faults, secret, shown)
    life = Life(
        store=store,
        catalogue=catalogue,
        clock=clock,
        renderer=renderer,
        inputs=outbound,
        webhooks=webhooks,
        faults=faults,
        pace=Pace(settings.speed, timedelta(seconds=settings.file_ttl_s), folder / "outputs"),
    )
    troubles = Troubles(faults, clock)
    predictions = Predictions(life, store, catalogue, clock, troubles, Bucket(settings.creates_per_minute))
    uploads = _folder(folder / "uploads")
    app = build_app(
        [
            *predictions.routes(),
            *Models(catalogue, troubles).routes(),
            *Uploads(store, uploads, clock, troubles, _kept(store, "files_secret")).routes(),
            *Outputs(store, clock, faults, expired_status=settings.expired_status).routes(),
            *Control(life, store, clock, faults).routes(),
        ],
        token=settings.token,
        webhook_secret=secret,
        cover=_cover,
    )
    return [_Closing(store, outbound, renderer), Sweeper(store, clock), life, *_servers(app, settings)]


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
    """Closes what the others used, as the last thing."""

    def __init__(self, store: SqliteStore, outbound: Outbound, renderer: LocalRenderer) -> None:
        self._store, self._outbound, self._renderer = store, outbound, renderer

    async def start(self) -> None:
        """Nothing to do."""

    async def stop(self) -> None:
        """Renderers, connections, database."""
        await self._renderer.stop()
        await self._outbound.stop()
        self._store.close()


def _clock(store: SqliteStore) -> SandboxClock:
    kept = store.setting("clock") or {"offset": 0.0, "frozen_at": None}
    return SandboxClock(SystemClock(), offset=kept["offset"], frozen_at=moment(kept["frozen_at"]))


def _kept(store: SqliteStore, name: str) -> str:
    """A secret that is made once and then stays."""
    secret: str = store.setting(name) or new_secret()
    store.put_setting(name, secret)
    return secret


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def _cover(model: str) -> bytes:
    out = io.BytesIO()
    draw(model, 1, (480, 270)).save(out, "JPEG", quality=85)
    return out.getvalue()
