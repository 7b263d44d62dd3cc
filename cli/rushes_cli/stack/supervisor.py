"""Starts every process of a stack, restarts what dies, and stops them in order."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from rushes_cli.fingerprint import code_fingerprint
from rushes_cli.folder import DataFolder, ProcessState, StackState
from rushes_cli.problems import FAILED, Problem
from rushes_cli.stack.given import refuse_dead
from rushes_cli.stack.services import Backing, Options, Service, provider_of, services
from servicekit.embedded.nats import NatsServer
from servicekit.embedded.process import ServerProcess
from servicekit.embedded.s3 import S3Server
from servicekit.errors import Unavailable

_READY_BUDGET = 60.0
"""Seconds for a service to answer its health check; a cold disk and two cores take about ten."""
_STOP_BUDGET = 20.0
"""Seconds for a service to finish or hand back its work: more than `servicekit.process.lifecycle` allows."""
_LOOK = 0.1
"""Seconds between two looks at the processes."""
_BACKOFF = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds before a process that died is started again; it counts anew after a minute of life."""

Tell = Callable[[str], None]
"""Takes one line for people: what is being started, what died."""


class _Server(Protocol):
    """An embedded server: the log or the store."""

    process: ServerProcess

    @property
    def is_alive(self) -> bool: ...
    async def start(self) -> None: ...
    async def stop(self) -> None: ...


class _ServiceProcess:
    """A service as a process: the same contract as the embedded servers."""

    def __init__(self, service: Service, folder: DataFolder) -> None:
        self._service = service
        self.process = ServerProcess(service.name, folder.logs / f"{service.name}.log")

    @property
    def is_alive(self) -> bool:
        return self.process.is_alive

    async def start(self) -> None:
        self.process.spawn(self._service.argv, env=self._service.env)
        await self.process.ready(self._serves, within=_READY_BUDGET)

    async def stop(self) -> None:
        await self.process.stop(within=_STOP_BUDGET)

    async def _serves(self) -> bool:
        return await is_serving(self._service.health)


@dataclass
class _Watched:
    """A process that is kept alive."""

    name: str
    server: _Server
    address: Callable[[], str]
    health: str = ""
    metrics: str = ""
    restarts: int = 0
    deaths: int = 0
    """In a row: sets the wait before the next start."""
    started_at: float = field(default_factory=time.monotonic)
    coming_up: asyncio.Task[None] | None = None


async def is_serving(address: str) -> bool:
    """Whether the gRPC health service at `address` (host:port) says SERVING."""
    async with grpc.aio.insecure_channel(address) as channel:
        try:
            answer = await health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=1.0
            )
        except grpc.aio.AioRpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


class Stack:
    """All processes of one data folder. `start()`, then `supervise()` until `stop()`."""

    def __init__(self, folder: DataFolder, options: Options, tell: Tell) -> None:
        self._folder = folder
        self._options = options
        self._show = tell
        self._watched: list[_Watched] = []
        self._gateway = ""
        self._stopping = False

    async def start(self) -> StackState:
        """Start everything and answer once every service serves.

        Raises:
            Problem: a port is in use, or a process did not come up; everything is stopped again.
        """
        if self._options.port:
            _refuse_port_in_use(self._options.port)
        try:
            backing = await self._start_backing()
            await self._start_services(services(self._folder, self._options, backing))
        except Unavailable as error:
            await self.stop()
            raise Problem(
                f"The stack did not start: {error}", "`rushes doctor` looks for the reason.", exit_code=FAILED
            ) from error
        except BaseException:
            await self.stop()
            raise
        return self._tell_state()

    async def supervise(self) -> None:
        """Restart whatever dies, until cancelled or stopped."""
        while not self._stopping:
            for watched in self._watched:
                if not watched.server.is_alive and watched.coming_up is None:
                    self._note_death(watched)
                    watched.coming_up = asyncio.create_task(self._bring_up(watched))
            await asyncio.sleep(_LOOK)

    async def stop(self) -> None:
        """Stop the services, then the store, then the log. Twice is fine."""
        self._stopping = True
        for watched in self._watched:
            if watched.coming_up is not None:
                watched.coming_up.cancel()
        backing = [each for each in self._watched if not each.health]
        # All services at once: each drains by itself, and what one hands back the log keeps.
        await asyncio.gather(*(each.server.stop() for each in self._watched if each.health))
        for each in reversed(backing):
            await each.server.stop()

    async def _start_backing(self) -> Backing:
        environ = self._options.environ
        nats_url, endpoint = environ.get("NATS_URL", ""), environ.get("BLOB_ENDPOINT", "")
        access, secret = environ.get("BLOB_ACCESS_KEY", ""), environ.get("BLOB_SECRET_KEY", "")
        await asyncio.gather(*(refuse_dead(each) for each in (nats_url, endpoint) if each))
        starts = []
        if not nats_url:
            nats = NatsServer(self._folder.path / "nats")
            starts.append(_Watched("nats", nats, lambda: nats.url))
        if not endpoint:
            s3 = S3Server(self._folder.path / "s3")
            access, secret = s3.access_key, s3.secret_key
            starts.append(_Watched("s3", s3, lambda: s3.endpoint))
        self._watched += starts
        self._tell(
            f"starting {', '.join(each.name for each in starts) or 'nothing: log and store are given'}"
        )
        await asyncio.gather(*(each.server.start() for each in starts))
        return Backing(nats_url or nats.url, endpoint or s3.endpoint, access, secret)

    async def _start_services(self, wanted: list[Service]) -> None:
        self._gateway = next(each.address for each in wanted if each.name.startswith("gateway"))
        self._tell(f"starting {', '.join(each.name for each in wanted)}")
        starts = [
            _Watched(
                each.name,
                _ServiceProcess(each, self._folder),
                partial(str, each.address),
                each.health,
                each.metrics,
            )
            for each in wanted
        ]
        self._watched += starts
        await asyncio.gather(*(each.server.start() for each in starts))

    def _note_death(self, watched: _Watched) -> None:
        if time.monotonic() - watched.started_at > 60.0:
            watched.deaths = 0
        watched.deaths += 1

    async def _bring_up(self, watched: _Watched) -> None:
        wait = _BACKOFF[min(watched.deaths, len(_BACKOFF)) - 1]
        try:
            self._tell(f"{watched.name} ended; starting it again in {wait:g} s")
            await asyncio.sleep(wait)
            watched.restarts += 1
            watched.started_at = time.monotonic()
            await watched.server.start()
        except Unavailable as error:  # the next look finds it dead, and waits longer
            self._tell(str(error).splitlines()[0])
        else:
            self._tell(f"{watched.name} is back")
        finally:
            watched.coming_up = None
            if not self._stopping:
                with suppress(OSError):  # a full disk: the process runs, and the next restart tells
                    self._tell_state()

    def _tell(self, line: str) -> None:
        # Nothing can be written any more (a full disk, a closed terminal): what died is still restarted.
        with suppress(OSError):
            self._show(line)

    def _tell_state(self) -> StackState:
        state = StackState(
            pid=os.getpid(),
            gateway=self._gateway,
            code=code_fingerprint(),
            provider=provider_of(self._options.environ),
            processes=[
                ProcessState(
                    each.name,
                    each.server.process.pid or 0,
                    each.address(),
                    each.health,
                    each.restarts,
                    each.metrics,
                )
                for each in self._watched
            ],
        )
        self._folder.tell(state)
        return state


def _refuse_port_in_use(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError as error:
            raise Problem(f"Port {port} needs more rights than you have.", "Take one above 1023.") from error
        except (OSError, OverflowError) as error:
            raise Problem(
                f"Port {port} of 127.0.0.1 is not free.",
                "Take another one, or leave --port out for a free one.",
            ) from error
