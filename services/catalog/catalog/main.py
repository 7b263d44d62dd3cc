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
from catalog.core.campaigns.service import AssetService, CampaignService, ClientService
from catalog.core.generations.attempts import AttemptLimits, AttemptService
from catalog.core.generations.service import GenerationService
from catalog.core.inbox.service import Inbox
from catalog.core.jobs.planning import Planning
from catalog.core.jobs.planning_retries import PlanningRetries
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


@dataclass(frozen=True)
class UseCases:
    clients: ClientService
    campaigns: CampaignService
    assets: AssetService
    media: MediaService
    api_keys: ApiKeyService
    attempts: AttemptService
    generations: GenerationService
    planning: Planning
    jobs: JobService
    storage_admin: StorageAdmin
    orphan_finder: OrphanFinder
    inbox: Inbox


def build(environ: Mapping[str, str]) -> Sequence[Part]:
    return compose(load(Settings, environ), SystemClock()).parts


def compose(settings: Settings, clock: Clock) -> Catalog:
    engine = open_engine(settings.database_url)
    log = EventLog(settings.nats_url, service="catalog", clock=clock, streams=(*streams(), JOURNAL))
    database = SqlDatabase(engine, clock, stalled_after=settings.stalled_after)
    relay = Relay(engine, tables.outbox, log, clock, writing=database.transaction)
    database.on_commit(relay.wake)
    generator, stitcher = GrpcChannel(settings.generator_address), GrpcChannel(settings.stitcher_address)

    use_cases = wire_use_cases(settings, clock, database, generator, stitcher)
    planning_retries = PlanningRetries(use_cases.planning)
    reconciler = Reconciler(database, use_cases.generations, planning_retries, clock)
    server = wire_server(settings, clock, use_cases)
    parts: list[Part] = [
        Migrator(engine),
        generator,
        stitcher,
        log,
        JournalSnapshots(engine, log, clock),
        AdminKey(use_cases.api_keys, settings.admin_key),
        relay,
        use_cases.planning,
        planning_retries,
        *wire_consumers(settings, log, use_cases.inbox),
        wire_tasks(settings, clock, database, reconciler),
        server,
    ]
    return Catalog(parts, database, relay, reconciler, server)


def wire_use_cases(
    settings: Settings,
    clock: Clock,
    database: SqlDatabase,
    generator_channel: GrpcChannel,
    stitcher_channel: GrpcChannel,
) -> UseCases:
    generator = GrpcGenerator(
        generator_channel.stub(ModelServiceStub), generator_channel.stub(PlanServiceStub)
    )
    stitcher = GrpcStitcher(stitcher_channel.stub(StitcherServiceStub))
    limits = AttemptLimits(settings.max_attempts, settings.daily_budget_cents * MICROS_PER_CENT)
    attempt_service = AttemptService(database, clock, limits)
    patience = settings.plan_patience.total_seconds()
    planning = Planning(database, generator, stitcher, clock, patience=patience)
    return UseCases(
        clients=ClientService(database, clock),
        campaigns=CampaignService(database, clock),
        assets=AssetService(database, clock),
        media=MediaService(database),
        api_keys=ApiKeyService(database, clock),
        attempts=attempt_service,
        generations=GenerationService(database, generator, attempt_service, clock),
        planning=planning,
        jobs=JobService(database, planning, attempt_service, clock),
        storage_admin=StorageAdmin(database, clock),
        orphan_finder=OrphanFinder(database),
        inbox=Inbox(database, clock),
    )


def wire_server(settings: Settings, clock: Clock, use_cases: UseCases) -> GrpcServer:
    servicers = [
        campaigns.ClientServicer(use_cases.clients),
        campaigns.CampaignServicer(use_cases.campaigns),
        campaigns.AssetServicer(use_cases.assets),
        storage.MediaServicer(use_cases.media),
        access.KeyServicer(use_cases.api_keys),
        generations.GenerationServicer(use_cases.generations, use_cases.storage_admin),
        generations.DownloadServicer(use_cases.generations, clock),
        attempts.AttemptServicer(use_cases.attempts),
        jobs.JobServicer(use_cases.jobs, fps=settings.cut_fps),
        storage.StorageServicer(use_cases.storage_admin, use_cases.orphan_finder),
    ]
    return GrpcServer(settings.grpc_listen, servicers, clock=clock, service="catalog")


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
