"""The composition root: settings become adapters, use cases, edges, and the order in which they start."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from catalog.adapters.db import tables
from catalog.adapters.db.migrate import Database
from catalog.adapters.db.unit_of_work import SqlStore
from catalog.adapters.jobs.generator_client import GrpcGenerator
from catalog.adapters.watchdog.alerts import LoggedAlerts
from catalog.config import Settings
from catalog.core.access.service import KeyRing
from catalog.core.campaigns.service import Library
from catalog.core.generations.attempts import AttemptLimits, AttemptService
from catalog.core.generations.service import GenerationService
from catalog.core.inbox.service import Inbox
from catalog.core.jobs.planning import Planning
from catalog.core.jobs.planning_retries import Drafts
from catalog.core.jobs.service import Producing
from catalog.core.shared.values import MICROS_PER_CENT
from catalog.core.storage.admin import Storing
from catalog.core.storage.blob_locator import Locator
from catalog.core.storage.orphans import Sweeping
from catalog.core.watchdog.expiry_alerts import ExpiryAlerts
from catalog.core.watchdog.reconciler import Reconciler
from catalog.edges import events
from catalog.edges.grpc import assets, attempts, campaigns, clients, generations, jobs, keys, media, storage
from catalog.edges.grpc.registration import served
from servicekit.clock import Clock, SystemClock
from servicekit.config import load
from servicekit.databases import open_engine
from servicekit.events import Consumer, EventLog
from servicekit.grpc.client import open_channel
from servicekit.grpc.server import GrpcServer
from servicekit.lifecycle import Part, Tasks
from servicekit.outbox import Relay


@dataclass(frozen=True)
class Catalog:
    """The parts, in the order of their start; and those that tests take hold of."""

    parts: Sequence[Part]
    store: SqlStore
    relay: Relay
    reconciler: Reconciler
    server: GrpcServer


def build(environ: Mapping[str, str]) -> Sequence[Part]:
    """Catalog's parts, in the order of their start."""
    return compose(load(Settings, environ), SystemClock()).parts


def compose(settings: Settings, clock: Clock) -> Catalog:
    """Everything put together."""
    engine = open_engine(settings.database_url)
    log = EventLog(settings.nats_url, service="catalog", clock=clock)
    store = SqlStore(engine, clock, stalled_after=settings.stalled_after)
    relay = Relay(engine, tables.outbox, log, clock, writing=store.writing)
    store.on_commit(relay.wake)
    generator = GrpcGenerator(open_channel(settings.generator_address))

    rules = AttemptLimits(settings.max_attempts, settings.daily_budget_cents * MICROS_PER_CENT)
    intents = AttemptService(store, clock, rules)
    generating = GenerationService(store, generator, intents, clock)
    planning = Planning(store, generator, clock, patience=settings.plan_patience.total_seconds())
    producing = Producing(store, planning, intents, clock)
    library, key_ring = Library(store, clock), KeyRing(store, clock)
    storing = Storing(store, clock)
    drafts = Drafts(planning)
    reconciler = Reconciler(store, generating, drafts, clock)
    deadlines = ExpiryAlerts(store, LoggedAlerts(), clock)

    services = served(
        clients.ClientServicer(library),
        campaigns.CampaignServicer(library),
        assets.AssetServicer(library),
        media.MediaServicer(library, Locator(store)),
        keys.KeyServicer(key_ring),
        generations.GenerationServicer(generating, storing),
        generations.DownloadServicer(generating, clock),
        attempts.AttemptServicer(intents),
        jobs.JobServicer(producing, fps=settings.cut_fps),
        storage.StorageServicer(storing, Sweeping(store)),
    )
    consumers = _consumers(log, Inbox(store, clock), settings)
    tasks = Tasks(clock=clock).every(settings.reconcile_every.total_seconds(), _told(reconciler), "reconcile")
    tasks.every(settings.reconcile_every.total_seconds(), _alerting(deadlines), "alert of what expires")
    tasks.every(3600.0, store.forget_applied, "forget applied facts")
    server = GrpcServer(settings.grpc_listen, services, clock=clock, service="catalog")
    operator = _Operator(key_ring, settings.admin_key)
    database = Database(engine)
    parts: list[Part] = [
        database,
        operator,
        generator,
        log,
        relay,
        planning,
        drafts,
        *consumers,
        tasks,
        server,
    ]
    return Catalog(parts, store, relay, reconciler, server)


def _consumers(log: EventLog, handlers: Inbox, settings: Settings) -> list[Consumer]:
    """Whose facts are heard."""
    predictions = events.PredictionEvents(handlers, max_attempts=settings.max_attempts)
    downloads, stitches = events.DownloadEvents(handlers), events.StitchEvents(handlers)
    return [
        Consumer(log, events.PREDICTIONS, predictions.handlers()),
        Consumer(log, events.DOWNLOADS, downloads.handlers()),
        Consumer(log, events.STITCHES, stitches.handlers()),
    ]


class _Operator:
    """A `Part`: sees to the operator's key when there is one."""

    def __init__(self, keys: KeyRing, key: str) -> None:
        self._keys = keys
        self._key = key

    async def start(self) -> None:
        if self._key:
            await self._keys.ensure_operator(self._key)

    async def stop(self) -> None:
        """Nothing to let go of."""


def _told(reconciler: Reconciler) -> Callable[[], Awaitable[None]]:
    async def round_() -> None:
        asked = await reconciler.run_once()
        log = structlog.get_logger("catalog.reconcile")
        if asked.any:
            counts = {name: count for name, count in vars(asked).items() if name != "failed"}
            log.warning("stalled work asked for again", **counts)
        for each in asked.failed:
            log.error("stalled work could not be asked for again", record=each.id, exc_info=each.error)

    return round_


def _alerting(expiry_alerts: ExpiryAlerts) -> Callable[[], Awaitable[None]]:
    async def round_() -> None:
        log = structlog.get_logger("catalog.expiry")
        for each in await expiry_alerts.run_once():
            log.error("a lost output could not be marked", generation=each.id, exc_info=each.error)

    return round_
