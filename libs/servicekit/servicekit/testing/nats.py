"""Runs a real nats-server for tests: own folder, free port, killed and restarted at will."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from servicekit.embedded.nats import NatsServer
from servicekit.embedded.process import free_port
from servicekit.events.topology import event_streams

STREAMS = event_streams(("job", "generation", "prediction"))
"""Streams for tests that are not about the events of Rushes."""


class NatsFixture(str):
    """The address of a running nats-server (it *is* the address), with the power to break it."""

    __slots__ = ("server",)

    server: NatsServer

    @property
    def url(self) -> str:
        """The address for clients; the same after a restart."""
        return self.server.url

    async def kill(self) -> None:
        """End it as `kill -9` does; its folder stays."""
        self.server.kill()

    async def restart(self, *, wipe: bool = False) -> None:
        """Kill it when it runs, and start it again on the same port: with its data, or with none."""
        self.server.kill()
        if wipe:
            shutil.rmtree(self.server.folder / "jetstream", ignore_errors=True)
        await self.server.start()


@asynccontextmanager
async def nats_server() -> AsyncIterator[NatsFixture]:
    """Run a nats-server with JetStream in a temporary folder (starts in 20 to 40 ms).

    Writes are not synced to disk: tests kill processes, not machines.
    """
    with tempfile.TemporaryDirectory(prefix="rushes-nats-") as folder:
        server = NatsServer(Path(folder), sync_always=False)
        try:
            await server.start()
            fixture = NatsFixture(server.url)
            fixture.server = server
            yield fixture
        finally:
            server.kill()


class NatsCluster:
    """Three nats-servers that are one event log.

    Attributes:
        servers: each can be killed (`kill()`) and started again (`start()`) with its port and data.
    """

    def __init__(self, servers: Sequence[NatsServer]) -> None:
        self.servers = servers

    @property
    def url(self) -> str:
        """The addresses of all, for clients."""
        return ",".join(server.url for server in self.servers)


@asynccontextmanager
async def nats_cluster() -> AsyncIterator[NatsCluster]:
    """Run a cluster of three in a temporary folder. It takes seconds to elect its leader."""
    routes = [free_port() for _ in range(3)]
    listed = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
    cluster = f'cluster {{\n  name: "test"\n  routes: [{listed}]\n  listen: "127.0.0.1:%d"\n}}\n'
    with tempfile.TemporaryDirectory(prefix="rushes-nats-") as folder:
        servers = [
            NatsServer(
                Path(folder, str(number)),
                port=free_port(),
                sync_always=False,
                server_name=f"nats-{number}",
                cluster=cluster % port,
            )
            for number, port in enumerate(routes)
        ]
        try:
            await asyncio.gather(*(server.start() for server in servers))
            yield NatsCluster(servers)
        finally:
            for server in servers:
                server.kill()
