"""Runs one process of a stack, and knows whether it lives and whether it works."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from rushes_cli.data_folder import DataFolder
from rushes_cli.stack.services import ServiceProcessSpec
from servicekit.embedded.process import ServerProcess
from servicekit.errors import AppError
from servicekit.grpc.client import GrpcChannel

_READY_TIMEOUT_S = 60.0
"""For a service to become healthy; with a cold disk and two cores it takes about ten seconds."""


class Server(Protocol):
    """What the supervisor needs of a `ServerProcess`."""

    @property
    def pid(self) -> int | None: ...
    @property
    def is_alive(self) -> bool: ...
    async def start(self) -> None: ...
    async def stop(self) -> None: ...


class ServiceProcess(ServerProcess):
    """Runs a service with the methods of the embedded servers."""

    stop_budget = 20.0
    """For a service to finish or give back its work: more than it allows itself."""

    def __init__(self, service: ServiceProcessSpec, folder: DataFolder) -> None:
        super().__init__(service.name, folder.logs / f"{service.name}.log")
        self._service = service

    async def start(self) -> None:
        self.spawn(self._service.argv, env=self._service.env)
        await self.ready(lambda: is_serving(self._service.health), within=_READY_TIMEOUT_S)


async def is_serving(address: str, name: str = "", *, within: float = 1.0) -> bool:
    """Whether the gRPC health service at `address` (host:port) answers SERVING for that name."""
    channel = GrpcChannel(address)
    try:
        await channel.check_serving(name, within=within)
    except AppError:
        return False
    finally:
        await channel.stop()
    return True


def _always() -> bool:
    return True


@dataclass(frozen=True)
class HealthCheck:
    """Finds a process that lives and does not work.

    Args:
        run: raises Unavailable, with the reason, when the process does not work; limits its own time.
        interval_s: seconds between two checks.
        max_errors: errors in a row after which the process is restarted.
        restart_helps: whether a restart would help now; not while the disk is full, say.
    """

    run: Callable[[], Awaitable[None]]
    interval_s: float = 5.0
    max_errors: int = 3
    restart_helps: Callable[[], bool] = _always


@dataclass
class Supervised:
    """A process of the stack, and what the supervisor knows of it."""

    name: str
    server: Server
    address: Callable[[], str]
    health: str = ""
    """gRPC address of its health service; empty for the log and the store."""
    metrics: str = ""
    health_check: HealthCheck | None = None
    has_started: bool = False
    restarts: int = 0
    deaths: int = 0
    """In a row."""
    started_at: float = field(default_factory=time.monotonic)
    restarting: asyncio.Task[None] | None = None
    checking: asyncio.Task[None] | None = None
