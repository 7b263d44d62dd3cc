"""The composition root: settings become adapters, use cases, edges, and the order in which they start."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from catalog.adapters.db import tables
from catalog.adapters.db.migrate import Migrator
from catalog.adapters.jobs.generator_client import GrpcGenerator
from catalog.adapters.jobs.stitcher_client import GrpcStitcher
from catalog.adapters.journal.documents import JOURNAL
from catalog.adapters.journal_snapshots import JournalSnapshots
from catalog.adapters.rebuild import Rebuild, RebuildReport
from catalog.adapters.unit_of_work import SqlDatabase
from catalog.adapters.watchdog.alerts import LoggedAlerts
from catalog.config import Settings
from catalog.core.access.service import AdminKey, ApiKeyService
from catalog.core.budget.day_budget import MEASURE_EVERY, DayBudget
from catalog.core.campaigns.service import AssetService, CampaignService, ClientService
from catalog.core.generations.attempts import AttemptLimits, AttemptService
from catalog.core.generations.service import GenerationService
from catalog.core.inbox.service import Inbox
from catalog.core.jobs.planning import Planning
from catalog.core.jobs.service import JobService
from catalog.core.shared.domain import MICROS_PER_CENT
from catalog.core.storage.admin import StorageAdmin
from catalog.core.storage.media import MediaService
from catalog.core.storage.orphans import OrphanFinder
from catalog.core.watchdog.expiry_alerts import ExpiryAlerts
from catalog.core.watchdog.reconciler import Reconciler
from catalog.edges import events, timers
from catalog.edges.grpc import access, attempts, campaigns, generations, jobs, storage
from events.topology import streams
from rushes.generator.v1.models_pb2_grpc import ModelServiceStub
from rushes.generator.v1.plan_pb2_grpc import PlanServiceStub
from rushes.stitcher.v1.stitcher_pb2_grpc import StitcherServiceStub
from servicekit.clock import Clock, SystemClock
from servicekit.config import load
from servicekit.database.engine import open_engine
from servicekit.events import Consumer, EventLog
from servicekit.grpc.client import GrpcChannel
from servicekit.grpc.server import GrpcServer
from servicekit.outbox import Relay
from servicekit.process.lifecycle import Part, Tasks


@dataclass(frozen=True)
class Catalog:
    """The parts in the order of their start, and those of them that tests use by themselves."""

    parts: Sequence[Part]
    database: SqlDatabase
    relay: Relay
    reconciler: Reconciler
    server: GrpcServer


def build(environ: Mapping[str, str]) -> Sequence[Part]:
    return compose(load(Settings, environ), SystemClock()).parts


def compose(settings: Settings, clock: Clock) -> Catalog:
    engine = open_engine(settings.database_url)
    log = EventLog(
        settings.nats_url,
        service="catalog",
        clock=clock,
        streams=(*streams(), JOURNAL),
        replicas=settings.event_log_replicas,
    )
    database = SqlDatabase(engine, clock, stalled_after=settings.stalled_after)
    relay = Relay(engine, tables.outbox, log, clock, writing=database.transaction)
    database.on_commit(relay.wake)
    to_generator, to_stitcher = (
        GrpcChannel(settings.generator_address),
        GrpcChannel(settings.stitcher_address),
    )
    generator = GrpcGenerator(to_generator.stub(ModelServiceStub), to_generator.stub(PlanServiceStub))
    stitcher = GrpcStitcher(to_stitcher.stub(StitcherServiceStub))

    limits = AttemptLimits(settings.max_attempts, settings.daily_budget_cents * MICROS_PER_CENT)
    attempt_service = AttemptService(database, clock, limits)
    generation_service = GenerationService(database, generator, attempt_service, clock)
    patience = settings.plan_patience.total_seconds()
    planning = Planning(database, generator, stitcher, clock, patience=patience)
    reconciler = Reconciler(database, planning, clock)
    api_keys = ApiKeyService(database, clock)
    storage_admin = StorageAdmin(database, clock)
    servicers = [
        campaigns.ClientServicer(ClientService(database, clock)),
        campaigns.CampaignServicer(CampaignService(database, clock)),
        campaigns.AssetServicer(AssetService(database, clock)),
        storage.MediaServicer(MediaService(database)),
        access.KeyServicer(api_keys),
        generations.GenerationServicer(generation_service, storage_admin),
        generations.DownloadServicer(generation_service, clock),
        attempts.AttemptServicer(attempt_service),
        jobs.JobServicer(JobService(database, planning, attempt_service, clock), fps=settings.cut_fps),
        storage.StorageServicer(storage_admin, OrphanFinder(database)),
    ]
    server = GrpcServer(settings.grpc_listen, servicers, clock=clock, service="catalog")
    parts: list[Part] = [
        Migrator(engine, migrate=settings.migrate_at_start),
        to_generator,
        to_stitcher,
        log,
        JournalSnapshots(engine, log, clock),
        AdminKey(api_keys, settings.admin_key),
        relay,
        planning,
        *wire_consumers(settings, log, Inbox(database, clock)),
        wire_tasks(settings, clock, database, reconciler),
        server,
    ]
    return Catalog(parts, database, relay, reconciler, server)


def wire_consumers(settings: Settings, log: EventLog, inbox: Inbox) -> list[Consumer]:
    predictions = events.PredictionEvents(inbox, max_attempts=settings.max_attempts)
    downloads, stitches = events.DownloadEvents(inbox), events.StitchEvents(inbox)
    return [
        Consumer(log, events.PREDICTIONS, predictions.handlers()),
        Consumer(log, events.DOWNLOADS, downloads.handlers()),
        Consumer(log, events.STITCHES, stitches.handlers()),
    ]


def wire_tasks(settings: Settings, clock: Clock, database: SqlDatabase, reconciler: Reconciler) -> Tasks:
    expiry_alerts = ExpiryAlerts(database, LoggedAlerts(), clock)
    seconds = settings.reconcile_every.total_seconds()
    tasks = Tasks(clock=clock)
    tasks.every(seconds, lambda: timers.reconcile(reconciler), "reconcile")
    tasks.every(seconds, lambda: timers.alert(expiry_alerts), "alert before outputs expire")
    budget = DayBudget(database, clock, cap_cents=settings.daily_budget_cents)
    tasks.every(MEASURE_EVERY, budget.measure, "measure the day's budget")
    tasks.every(3600.0, database.trim_inbox, "trim the inbox")
    return tasks


async def rebuild(settings: Settings, clock: Clock, *, report: Callable[[int], None]) -> RebuildReport:
    """Fill the empty database of the settings from the journal, which must be there: it is not made.

    Raises:
        AppError: it is not empty, there is no journal, or one of them is away. The database is as it was.
    """
    engine = open_engine(settings.database_url)
    migrator, log = Migrator(engine), EventLog(settings.nats_url, service="catalog", clock=clock, streams=())
    try:
        await log.start()
        await migrator.start()
        work = Rebuild(engine, log, clock, stalled_after=settings.stalled_after, report=report)
        return await work.run()
    finally:
        await log.stop()
        await migrator.stop()
