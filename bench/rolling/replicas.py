"""Runs replicas of every service as a cluster does, and restarts them one after the other."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rushes_cli.data_folder import DataFolder
from rushes_cli.stack.services import ServiceProcessSpec, StackOptions, plan_services
from rushes_cli.stack.supervised import ServiceProcess, is_serving
from servicekit.embedded.nats import NatsServer
from servicekit.embedded.process import ServerProcess
from servicekit.embedded.s3 import S3Server
from servicekit.grpc.server import READY
from servicekit.testing import postgres_url

ROLLED = ("catalog", "generator", "downloader", "stitcher", "gateway")
"""The services that are restarted; the sandbox stands for somebody else's system."""

STOP_WITHIN_S = 45.0
"""`terminationGracePeriodSeconds` of the manifests."""
READY_WITHIN_S = 90.0

_ENV = {
    "MIGRATE_AT_START": "false",
    "RUSHES_LOG": "json",
    "REPLICATE_MAX_CONCURRENCY": "8",
    "REPLICATE_START_DELAY_MS": "50",
}
"""As in a cluster, but for the pace at the provider."""


@dataclass(frozen=True)
class Restart:
    """One replica, log or store that was restarted.

    Args:
        what: the service, `nats` or `s3`.
        start_s: from the start of the new process until it was ready.
        stop_s: from SIGTERM until the old process had ended.
        in_order: whether the old process ended by itself, without an error.
    """

    what: str
    start_s: float
    stop_s: float
    in_order: bool


class Replica(ServiceProcess):
    """One process of a service, on a port of its own."""

    stop_budget = STOP_WITHIN_S

    def __init__(self, spec: ServiceProcessSpec, folder: DataFolder) -> None:
        super().__init__(spec, folder)
        self.spec = spec

    async def start(self) -> None:
        """Start it, and wait until it says that it can work."""
        await super().start()
        await self.ready(lambda: is_serving(self.spec.health, READY, within=5.0), within=READY_WITHIN_S)


class Cluster:
    """Replicas of each service, one sandbox, and the addresses that clients need.

    Each service has one port more than replicas. A new replica takes the free one and is ready before an old
    one goes, as with `maxSurge: 1, maxUnavailable: 0`. Callers know all of them, as those behind a headless
    name.

    Args:
        specs: by service, one for each of its ports.

    Attributes:
        key: the admin key.
        database_url: of the catalog's PostgreSQL.
    """

    def __init__(
        self,
        folder: DataFolder,
        specs: Mapping[str, list[ServiceProcessSpec]],
        nats: NatsServer,
        store: S3Server,
        database_url: str,
    ) -> None:
        self.key = folder.api_key
        self.database_url = database_url
        self.nats = nats
        self.store = store
        self._slots = {name: [Replica(spec, folder) for spec in each] for name, each in specs.items()}
        self._running = {name: each[:-1] if name in ROLLED else each for name, each in self._slots.items()}

    @property
    def sandbox(self) -> str:
        return self._running["sandbox"][0].spec.address

    @property
    def gateways(self) -> list[str]:
        """Those that are ready, and those that are ending: a client learns of it by their refusal."""
        return [each.spec.address for each in self._running["gateway"]]

    async def start(self) -> None:
        await asyncio.gather(*(each.start() for replicas in self._running.values() for each in replicas))

    async def stop(self) -> None:
        await asyncio.gather(*(each.stop() for replicas in self._slots.values() for each in replicas))

    async def roll(self, name: str) -> list[Restart]:
        """Replace the replicas of a service, one at a time."""
        restarts = []
        running = self._running[name]
        for old in tuple(running):
            new = next(each for each in self._slots[name] if each not in running)
            begun = time.monotonic()
            await new.start()
            started = time.monotonic() - begun
            running.append(new)
            stop_s, in_order = await _stop(old)
            running.remove(old)
            restarts.append(Restart(name, started, stop_s, in_order))
        return restarts

    async def restart_log(self, *, away_s: float) -> Restart:
        """Stop the only server of the event log, and start it again after so many seconds."""
        return await _restart("nats", self.nats, away_s)

    async def restart_store(self, *, away_s: float) -> Restart:
        """Stop the only server of the store, and start it again after so many seconds."""
        return await _restart("s3", self.store, away_s)


async def _restart(what: str, server: NatsServer | S3Server, away_s: float) -> Restart:
    stop_s, in_order = await _stop(server)
    await asyncio.sleep(away_s)
    begun = time.monotonic()
    await server.start()
    return Restart(what, time.monotonic() - begun, stop_s, in_order)


async def _stop(server: ServerProcess) -> tuple[float, bool]:
    """Seconds until it had ended, and whether it did so by itself and without an error."""
    begun = time.monotonic()
    await server.stop()
    return time.monotonic() - begun, server.exit_code == 0


@asynccontextmanager
async def running_cluster(data: Path, *, replicas: int) -> AsyncIterator[Cluster]:
    """Everything on a fresh folder, so many replicas of each service; stopped in order at the end."""
    folder = DataFolder(data)
    folder.prepare()
    async with AsyncExitStack() as stack:
        database_url = await stack.enter_async_context(postgres_url())
        nats, store = NatsServer(data / "nats"), S3Server(data / "s3")
        for server in (nats, store):
            stack.push_async_callback(server.stop)
        await asyncio.gather(nats.start(), store.start(), _migrate(database_url))
        infrastructure = {
            "NATS_URL": nats.url,
            "BLOB_ENDPOINT": store.endpoint,
            "BLOB_ACCESS_KEY": store.access_key,
            "BLOB_SECRET_KEY": store.secret_key,
        }
        slots = dict.fromkeys(ROLLED, replicas + 1)
        options = StackOptions(replicas=slots, environ={"DATABASE_URL": database_url})
        specs: dict[str, list[ServiceProcessSpec]] = {}
        for spec in plan_services(folder, options, infrastructure):
            complete = replace(spec, env={**spec.env, **_ENV})
            specs.setdefault(spec.name.partition("-")[0], []).append(complete)
        cluster = Cluster(folder, specs, nats, store, database_url)
        stack.push_async_callback(cluster.stop)
        await cluster.start()
        yield cluster


async def _migrate(database_url: str) -> None:
    """As the Job of the manifests does."""
    migrating = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "catalog", "migrate"), env={**os.environ, "DATABASE_URL": database_url}
    )
    assert await migrating.wait() == 0, "the database was not migrated"
