"""The event log on a cluster of three servers: each event is on all of them, and any one of them may go."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from servicekit.config import ConfigError, load
from servicekit.errors import Conflict, Precondition, Unavailable
from servicekit.events import Consumer, ConsumerSpec, Event, EventLog
from servicekit.shared_settings import EventLogSettings
from servicekit.testing import (
    STREAMS,
    NatsCluster,
    NatsFixture,
    SimulatedClock,
    eventually,
    nats_cluster,
)

STORED = ("RUSHES", "RUSHES_DLQ", "KV_cells")
CONSUMER = ConsumerSpec("watcher", ("job.>",))


@pytest.fixture
async def cluster() -> AsyncIterator[NatsCluster]:
    async with nats_cluster() as cluster:
        yield cluster


@asynccontextmanager
async def event_log(url: str, clock: SimulatedClock, replicas: int) -> AsyncIterator[EventLog]:
    log = EventLog(url, service="tester", clock=clock, streams=STREAMS, replicas=replicas)
    try:
        await log.start()
        yield log
    finally:
        await log.stop()


async def copies(log: EventLog) -> dict[str, int]:
    """The servers that have each stream, whole: what its configuration says, and what there is."""
    found = {}
    for name in STORED:
        info = await log.guard("look at a stream", lambda name=name: log.js.stream_info(name))
        assert info.cluster is not None
        assert info.cluster.leader
        followers = info.cluster.replicas or []
        assert all(each.current and not each.offline for each in followers), info.cluster
        assert info.config.num_replicas == len(followers) + 1
        found[name] = len(followers) + 1
    return found


async def test_streams_and_buckets_of_one_server_get_three_and_keep_them(
    cluster: NatsCluster, clock: SimulatedClock
) -> None:
    handled: list[str] = []

    async def handle(event: Event) -> None:
        handled.append(event.id)

    for replicas, wanted in ((1, 1), (3, 3), (1, 3)):
        async with event_log(cluster.url, clock, replicas) as log:
            bucket = await log.bucket("cells", ttl=3600.0)
            if not await bucket.get("a"):
                await bucket.create("a", 1)
            await log.publish(Event(id=f"e{replicas}", type="job.created", key="job_1"))
            consumer = Consumer(log, CONSUMER, {"job.created": handle})
            await consumer.run_once(wait=5.0)
            await consumer.stop()
            assert await eventually(lambda log=log: copies(log)) == dict.fromkeys(STORED, wanted)
            assert await bucket.get("a") == (1, 1)
            config = (await log.js.stream_info("KV_cells")).config
            assert (config.max_age, config.max_msgs_per_subject) == (3600.0, 1)
    assert handled == ["e1", "e3"]


class Work:
    """Publishes events without end, counts them in a bucket, and handles them."""

    def __init__(self, log: EventLog) -> None:
        self.published: list[str] = []
        self.handled: set[str] = set()
        self._ending = False
        self._log = log
        self._consumer = Consumer(log, CONSUMER, {"job.created": self._handle})

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        await self._consumer.start()
        self._publishing = asyncio.create_task(self._publish())
        try:
            yield
        finally:
            self._ending = True
            await self._publishing
            await self._consumer.stop()

    async def goes_on(self) -> None:
        """Wait until more events are published and counted."""
        enough = len(self.published) + 20
        await eventually(lambda: self._publishing.done() or len(self.published) > enough, within=25.0)
        assert not self._publishing.done(), self._publishing

    async def _handle(self, event: Event) -> None:
        self.handled.add(event.id)

    async def _publish(self) -> None:
        bucket = await self._log.bucket("cells")
        await bucket.create("count", 0)
        while not self._ending:
            number = len(self.published) + 1
            await self._log.publish(Event(id=f"e{number}", type="job.created", key=f"job_{number}"))
            self.published.append(f"e{number}")
            while (found := await bucket.get("count"))[0] < number:
                with contextlib.suppress(Conflict):  # an answer was lost, and the change repeated
                    await bucket.update("count", number, revision=found[1])


async def test_one_server_after_the_other_restarts_and_nothing_is_lost_or_doubled(
    cluster: NatsCluster, clock: SimulatedClock
) -> None:
    async with event_log(cluster.url, clock, 3) as log:
        work = Work(log)
        async with work.running():
            for server in cluster.servers:
                await work.goes_on()
                server.kill()
                await work.goes_on()
                await server.start()
                await eventually(lambda: copies(log), within=25.0)
            await work.goes_on()
            sent = set(work.published)
            await eventually(lambda: work.handled >= sent, within=25.0)
        stored = [event.id async for event in log.read("RUSHES")]
        assert stored == work.published


async def test_without_a_majority_it_is_not_ready(cluster: NatsCluster, clock: SimulatedClock) -> None:
    async with event_log(cluster.url, clock, 3) as log:
        await log.check_ready()
        for server in cluster.servers[:2]:
            server.kill()
        with pytest.raises(Unavailable):
            await log.check_ready()
        await cluster.servers[0].start()
        await eventually(lambda: ready(log), within=25.0)


async def ready(log: EventLog) -> None:
    try:
        await log.check_ready()
    except Unavailable as error:
        raise AssertionError(str(error)) from error


async def test_one_server_alone_has_no_replicas(nats: NatsFixture, clock: SimulatedClock) -> None:
    with pytest.raises(Precondition, match=r"EVENT_LOG_REPLICAS is 3, .* no part of a cluster"):
        async with event_log(nats.url, clock, 3):
            pass


@pytest.mark.parametrize("number", ["0", "2", "4", "-1", "7", "three"])
def test_numbers_without_a_majority_are_refused(number: str) -> None:
    with pytest.raises(ConfigError, match=f"EVENT_LOG_REPLICAS='{number}' .*: expected one of 1, 3, 5"):
        load(EventLogSettings, {"EVENT_LOG_REPLICAS": number})
    assert load(EventLogSettings, {"EVENT_LOG_REPLICAS": "3"}).event_log_replicas == 3
