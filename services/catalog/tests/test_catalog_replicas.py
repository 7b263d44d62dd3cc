"""Several catalogs on one PostgreSQL: whatever two do at once has its effect once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from catalog_core import IMAGE, CatalogCore
from catalog_jobs import planned, stitched
from job_scenario import JobScenario
from running_catalog import running
from sqlalchemy import func, select, text
from structlog.testing import capture_logs

from catalog.adapters.db import tables
from catalog.adapters.db.migrate import Migrator
from catalog.adapters.unit_of_work import SqlDatabase
from catalog.core.access.domain import ApiKey
from catalog.core.access.service import AdminKey, ApiKeyService
from catalog.core.campaigns.domain import Asset
from catalog.core.generations.domain.model import LostOutput
from catalog.core.jobs.domain.model import JobRequest, JobStatus, Music
from catalog.core.jobs.planning import Planning
from catalog.core.jobs.service import JobService
from catalog.core.shared.domain import Facts, MediaKind
from catalog.core.shared.paging import PageRequest
from catalog.core.watchdog.expiry_alerts import ExpiryAlerts
from catalog.core.watchdog.reconciler import Reconciler, ReconcileReport
from rushes.catalog.v1 import jobs_pb2
from rushes.common.v1 import media_pb2
from servicekit.clock import SystemClock
from servicekit.database.engine import open_engine
from servicekit.errors import Invalid, NotFound
from servicekit.ids import new_id
from servicekit.testing import NatsFixture, SimulatedClock, eventually

SOUND = Facts(MediaKind.AUDIO, "audio/wav", 9, "a" * 64)


class CountingPlanner:
    """Counts the plans that are wanted, and answers none of them until it may; then it refuses."""

    def __init__(self) -> None:
        self.requests = 0
        self.go = asyncio.Event()

    async def plan(self, _request: Any) -> Any:
        self.requests += 1
        await self.go.wait()
        raise Invalid("no picture fits")


class CountingAlerts:
    def __init__(self) -> None:
        self.raised: Counter[str] = Counter()

    def at_risk(self, output: LostOutput, seconds_left: float) -> None:
        self.raised["at risk", output.generation_id] += 1

    def lost(self, output: LostOutput) -> None:
        self.raised["lost", output.generation_id] += 1


class Replica(CatalogCore):
    """The use cases of one of several catalogs."""

    def __init__(self, database: SqlDatabase, clock: SimulatedClock) -> None:
        super().__init__(database, clock)
        self.planner: Any = CountingPlanner()
        self.planning = Planning(database, self.planner, self.planner, SystemClock(), patience=3600)
        self.reconciler = Reconciler(database, self.planning, clock)
        self.jobs = JobService(database, self.planning, self.attempts, clock)
        self.api_keys = ApiKeyService(database, clock)

    async def upload(
        self, campaign: str = "", *, client: str = "", id_: str = "", facts: Facts = IMAGE
    ) -> Asset:
        now, id_ = self.clock.now(), id_ or new_id("asset")
        key = f"assets/{id_}/original.png"
        return await self.assets.create(Asset(id_, client, "a", "a.png", key, facts, now, now, campaign))


@dataclass(frozen=True)
class Replicas:
    first: Replica
    second: Replica

    async def locked_out(self, *work: Awaitable[object]) -> list[asyncio.Future[Any]]:
        """Begin all of this work; answers when each waits for what the caller has locked."""
        begun = [asyncio.ensure_future(each) for each in work]

        async def waiting() -> bool:
            query = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
            async with self.first.database.read() as unit:
                return await unit._connection.scalar(query) == len(begun)

        await eventually(waiting)
        return begun


@pytest_asyncio.fixture
async def replicas(postgres_database: str, clock: SimulatedClock) -> AsyncIterator[Replicas]:
    async with AsyncExitStack() as stack:
        both = []
        for _ in range(2):
            engine = open_engine(postgres_database)
            migrator = Migrator(engine)
            await migrator.start()
            stack.push_async_callback(migrator.stop)
            both.append(Replica(SqlDatabase(engine, clock, stalled_after=timedelta(seconds=60)), clock))
            stack.push_async_callback(both[-1].planning.stop)
        yield Replicas(*both)


# The watchdog ------------------------------------------------------------------------------------


async def test_two_reconcilers_request_stalled_work_once(replicas: Replicas) -> None:
    core, other = replicas.first, replicas.second
    campaign = await core.campaign()
    waiting = [await core.generation(campaign) for _ in range(8)]
    lost = [await core.made(lose=True, may_come=True) for _ in range(8)]
    drafts = [await core.job(campaign) for _ in range(6)]
    async with core.database.write() as unit:
        await unit.jobs.save(None, JobScenario().stitching().history)
    core.clock.advance(61)
    reports = await asyncio.gather(core.reconciler.run_once(), other.reconciler.run_once())
    assert _sum(reports) == ReconcileReport(len(waiting), 1, len(drafts), len(lost))
    requested = await _requests(core, "generation.requested")
    fetched = await _requests(core, "generation.fetch_requested")
    assert requested == {each.id: 2 for each in waiting} | {each.id: 1 for each in lost}
    assert fetched == {each.id: 1 for each in lost}
    assert len(await core.outbox("stitch.requested")) == 2
    await eventually(lambda: core.planner.requests + other.planner.requests == len(drafts))
    assert (await other.reconciler.run_once()).any is False


async def _requests(core: CatalogCore, type_: str) -> dict[str, int]:
    """How often there was such an event of each generation."""
    return Counter(key.rpartition(".")[2] for key, _ in await core.outbox(type_))


def _sum(reports: list[ReconcileReport]) -> ReconcileReport:
    names = ("generations", "jobs", "drafts", "downloads")
    assert not any(report.failed for report in reports), reports
    return ReconcileReport(*(sum(getattr(report, name) for report in reports) for name in names))


async def test_two_replicas_warn_and_count_an_output_once(replicas: Replicas) -> None:
    core, alerts = replicas.first, CountingAlerts()
    lost = [await core.made(lose=True) for _ in range(8)]
    watching = [ExpiryAlerts(each.database, alerts, core.clock) for each in (core, replicas.second)]
    for seconds, raised in ((3001, "at risk"), (600, "lost")):
        core.clock.advance(seconds)
        assert not any(await asyncio.gather(*(each.run_once() for each in watching)))
        assert {key: n for key, n in alerts.raised.items() if key[0] == raised} == {
            (raised, each.id): 1 for each in lost
        }


async def test_a_plan_that_fails_does_not_end_what_another_replica_has_planned(replicas: Replicas) -> None:
    core, other = replicas.first, replicas.second
    campaign = await core.campaign()
    await core.upload(campaign)
    job = await core.job(campaign)
    planning = asyncio.ensure_future(core.planning.begin(job.id))
    await eventually(lambda: core.planner.requests == 1)
    async with other.database.write() as unit:
        planned_by_hand = JobScenario(music=None).planned().history[1:]
        await unit.jobs.save(await unit.jobs.get(job.id, lock=True), planned_by_hand)
    core.planner.go.set()
    with pytest.raises(Invalid, match="no picture fits"):
        await planning
    assert (await other.jobs.get(job.id)).job.status is JobStatus.AWAITING_APPROVAL


# Starting ----------------------------------------------------------------------------------------


async def test_replicas_that_start_at_once_make_one_key(replicas: Replicas) -> None:
    for key in ("the first key", "the second key"):
        starting = [AdminKey(each.api_keys, key) for each in (replicas.first, replicas.second) * 3]
        await asyncio.gather(*(each.start() for each in starting))
        active = [each for each in await _keys(replicas.first) if each.revoked_at is None]
        assert len(active) == 1
        assert active[0].prefix == key[:8]
    assert len(await _keys(replicas.first)) == 2


async def _keys(replica: Replica) -> list[ApiKey]:
    return list((await replica.api_keys.page(PageRequest())).items)


async def test_two_catalogs_that_start_at_once_log_no_error_and_do_one_job(
    postgres_database: str, nats: NatsFixture
) -> None:
    async with AsyncExitStack() as stack:
        with capture_logs() as logged:
            one, two = await asyncio.gather(
                *(stack.enter_async_context(running(postgres_database, str(nats))) for _ in range(2))
            )
            assert [each for each in logged if each["log_level"] in ("warning", "error", "critical")] == []
            assert [each["event"] for each in logged].count("journal begun") == 1
            campaign = await one.campaign()
            job = await planned(two, campaign.id)
            job = await one.jobs.ApproveJob(jobs_pb2.ApproveJobRequest(id=job.id))
            for catalog, scene in zip((one, two), job.scenes, strict=True):
                await catalog.made(scene.generation_id)
            await one.made(job.edit.music.generation_id, media_pb2.MEDIA_KIND_AUDIO)
            await two.status(job.id, "stitching")
            await stitched(two, job.id)
            await one.status(job.id, "completed")
            assert [each for each in logged if each["log_level"] in ("warning", "error", "critical")] == []
        counted = Counter(event.id for event in await one.published("job.>"))
        assert set(counted.values()) == {1}
        assert len(await one.published("stitch.requested.>")) == 1
        async with one.service.database.read() as unit:
            assert await unit._connection.scalar(select(func.count()).select_from(tables.cuts)) == 1


# Checked, then done ------------------------------------------------------------------------------


async def test_what_is_made_while_its_owner_is_deleted_is_refused(replicas: Replicas) -> None:
    core, other = replicas.first, replicas.second
    client = (await core.clients.create(name="c")).id
    async with core.database.write() as unit:
        locked = await unit.clients.get(client, lock=True)
        making = await replicas.locked_out(
            other.campaigns.create(client_id=client, name="Spring"), other.upload(client=client)
        )
        await unit.clients.delete(locked)
    for each in making:
        with pytest.raises(NotFound, match="there is no client"):
            await each

    campaign = await core.campaign()
    async with core.database.write() as unit:
        locked_campaign = await unit.campaigns.get(campaign, lock=True)
        making = await replicas.locked_out(
            other.upload(campaign), other.jobs.create(campaign, JobRequest(1, 2.0, 640, 360), {}, None)
        )
        await unit.campaigns.delete(locked_campaign)
    for each in making:
        with pytest.raises(NotFound, match="there is no campaign"):
            await each


async def test_music_that_is_deleted_meanwhile_is_in_no_job(replicas: Replicas) -> None:
    core, other = replicas.first, replicas.second
    campaign = await core.campaign()
    await core.upload(campaign)
    music = Music(asset_id=(await core.upload(campaign, facts=SOUND)).id)
    async with core.database.write() as unit:
        locked = await unit.assets.get(music.asset_id, lock=True)
        (making,) = await replicas.locked_out(
            other.jobs.create(campaign, JobRequest(1, 2.0, 640, 360), {}, music)
        )
        await unit.assets.delete(locked)
    with pytest.raises(NotFound, match="there is no asset"):
        await making


async def test_an_upload_that_is_repeated_at_once_is_one_asset(replicas: Replicas) -> None:
    campaign, asset_id = await replicas.first.campaign(), new_id("asset")
    made = await asyncio.gather(
        *(each.upload(campaign, id_=asset_id) for each in (replicas.first, replicas.second) * 4)
    )
    assert {each.id for each in made} == {asset_id}


async def test_a_client_that_is_to_be_reused_is_made_once(replicas: Replicas) -> None:
    made = await asyncio.gather(
        *(each.clients.create(name="Uploads", reuse=True) for each in (replicas.first, replicas.second) * 4)
    )
    assert len({client.id for client in made}) == 1
    assert (await replicas.first.clients.create(name="Uploads")).id != made[0].id
    assert (await replicas.second.clients.create(name="Uploads", reuse=True)).id == made[0].id
