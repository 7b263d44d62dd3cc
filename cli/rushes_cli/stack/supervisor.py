"""Starts every process of a stack, restarts those that die, and stops all in order."""

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

from rushes_cli.data_folder import DataFolder, ProcessState, StackState
from rushes_cli.errors import FAILED, CommandError
from rushes_cli.fingerprint import code_fingerprint
from rushes_cli.stack.external_servers import check_reachable
from rushes_cli.stack.services import (
    Infrastructure,
    ServiceProcessSpec,
    StackOptions,
    plan_services,
    provider_of,
)
from servicekit.embedded.nats import NatsServer
from servicekit.embedded.process import ServerProcess
from servicekit.embedded.s3 import S3Server
from servicekit.errors import Unavailable

_READY_TIMEOUT_S = 60.0
"""For a service to become healthy; with a cold disk and two cores it takes about ten seconds."""
_STOP_TIMEOUT_S = 20.0
"""For a service to finish or give back its work: more than it allows itself."""
_POLL_S = 0.1
_RESTART_DELAYS_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Before a process is started again, by its deaths in a row. A minute of life ends the row."""

Print = Callable[[str], None]
"""Shows one line to people: what is being started, what has died."""


class _Server(Protocol):
    process: ServerProcess

    @property
    def is_alive(self) -> bool: ...
    async def start(self) -> None: ...
    async def stop(self) -> None: ...


class _ServiceProcess:
    """Runs a service with the methods of the embedded servers."""

    def __init__(self, service: ServiceProcessSpec, folder: DataFolder) -> None:
        self._service = service
        self.process = ServerProcess(service.name, folder.logs / f"{service.name}.log")

    @property
    def is_alive(self) -> bool:
        return self.process.is_alive

    async def start(self) -> None:
        self.process.spawn(self._service.argv, env=self._service.env)
        await self.process.ready(self._serves, within=_READY_TIMEOUT_S)

    async def stop(self) -> None:
        await self.process.stop(within=_STOP_TIMEOUT_S)

    async def _serves(self) -> bool:
        return await is_serving(self._service.health)


@dataclass
class _Supervised:
    name: str
    server: _Server
    address: Callable[[], str]
    health: str = ""
    metrics: str = ""
    restarts: int = 0
    deaths: int = 0
    """In a row."""
    started_at: float = field(default_factory=time.monotonic)
    restarting: asyncio.Task[None] | None = None


async def is_serving(address: str) -> bool:
    """Whether the gRPC health service at `address` (host:port) answers SERVING."""
    async with grpc.aio.insecure_channel(address) as channel:
        try:
            answer = await health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=1.0
            )
        except grpc.aio.AioRpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


class Stack:
    """All processes of one data folder: `start()`, then `supervise()` until `stop()`."""

    def __init__(self, folder: DataFolder, options: StackOptions, print_line: Print) -> None:
        self._folder = folder
        self._options = options
        self._print_line = print_line
        self._supervised: list[_Supervised] = []
        self._gateway = ""
        self._stopping = False

    async def start(self) -> StackState:
        """Start everything; returns once every service serves.

        Raises:
            CommandError: a port is in use, or a process did not start; everything is stopped again.
        """
        if self._options.port:
            _refuse_port_in_use(self._options.port)
        try:
            infrastructure = await self._start_infrastructure()
            await self._start_services(plan_services(self._folder, self._options, infrastructure))
        except Unavailable as error:
            await self.stop()
            raise CommandError(
                f"The stack did not start: {error}", "`rushes doctor` looks for the reason.", exit_code=FAILED
            ) from error
        except BaseException:
            await self.stop()
            raise
        return self._write_state()

    async def supervise(self) -> None:
        """Restart what dies, until cancelled or stopped."""
        while not self._stopping:
            for each in self._supervised:
                if not each.server.is_alive and each.restarting is None:
                    self._note_death(each)
                    each.restarting = asyncio.create_task(self._bring_up(each))
            await asyncio.sleep(_POLL_S)

    async def stop(self) -> None:
        """Stop the services, then the store, then the log. Twice is fine."""
        self._stopping = True
        for each in self._supervised:
            if each.restarting is not None:
                each.restarting.cancel()
        infrastructure = [each for each in self._supervised if not each.health]
        # All services at once: each finishes its own work, and the event log keeps what one gives back.
        await asyncio.gather(*(each.server.stop() for each in self._supervised if each.health))
        for each in reversed(infrastructure):
            await each.server.stop()

    async def _start_infrastructure(self) -> Infrastructure:
        environ = self._options.environ
        nats_url, endpoint = environ.get("NATS_URL", ""), environ.get("BLOB_ENDPOINT", "")
        access, secret = environ.get("BLOB_ACCESS_KEY", ""), environ.get("BLOB_SECRET_KEY", "")
        await asyncio.gather(*(check_reachable(each) for each in (nats_url, endpoint) if each))
        starts = []
        if not nats_url:
            nats = NatsServer(self._folder.path / "nats")
            starts.append(_Supervised("nats", nats, lambda: nats.url))
        if not endpoint:
            s3 = S3Server(self._folder.path / "s3")
            access, secret = s3.access_key, s3.secret_key
            starts.append(_Supervised("s3", s3, lambda: s3.endpoint))
        self._supervised += starts
        self._print(
            f"starting {', '.join(each.name for each in starts) or 'nothing: log and store are given'}"
        )
        await asyncio.gather(*(each.server.start() for each in starts))
        return Infrastructure(nats_url or nats.url, endpoint or s3.endpoint, access, secret)

    async def _start_services(self, wanted: list[ServiceProcessSpec]) -> None:
        self._gateway = next(each.address for each in wanted if each.name.startswith("gateway"))
        self._print(f"starting {', '.join(each.name for each in wanted)}")
        starts = [
            _Supervised(
                each.name,
                _ServiceProcess(each, self._folder),
                partial(str, each.address),
                each.health,
                each.metrics,
            )
            for each in wanted
        ]
        self._supervised += starts
        await asyncio.gather(*(each.server.start() for each in starts))

    def _note_death(self, each: _Supervised) -> None:
        if time.monotonic() - each.started_at > 60.0:
            each.deaths = 0
        each.deaths += 1

    async def _bring_up(self, each: _Supervised) -> None:
        wait = _RESTART_DELAYS_S[min(each.deaths, len(_RESTART_DELAYS_S)) - 1]
        try:
            self._print(f"{each.name} ended; starting it again in {wait:g} s")
            await asyncio.sleep(wait)
            each.restarts += 1
            each.started_at = time.monotonic()
            await each.server.start()
        except Unavailable as error:  # the next poll finds it dead, and waits longer
            self._print(str(error).splitlines()[0])
        else:
            self._print(f"{each.name} is back")
        finally:
            each.restarting = None
            if not self._stopping:
                with suppress(OSError):  # a full disk: the process runs all the same
                    self._write_state()

    def _print(self, line: str) -> None:
        # Restarts go on where nothing can be written: on a full disk, or to a closed terminal.
        with suppress(OSError):
            self._print_line(line)

    def _write_state(self) -> StackState:
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
                for each in self._supervised
            ],
        )
        self._folder.write_state(state)
        return state


def _refuse_port_in_use(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError as error:
            raise CommandError(
                f"Port {port} needs more rights than you have.", "Take one above 1023."
            ) from error
        except (OSError, OverflowError) as error:
            raise CommandError(
                f"Port {port} of 127.0.0.1 is not free.",
                "Take another one, or leave --port out for a free one.",
            ) from error
