"""Starts every process of a stack, restarts those that die or do not work, and stops all in order."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from urllib.parse import urlsplit

from rushes_cli.data_folder import DataFolder, ProcessState, StackState
from rushes_cli.errors import FAILED, CommandError
from rushes_cli.fingerprint import code_fingerprint
from rushes_cli.stack.external_servers import check_reachable
from rushes_cli.stack.services import (
    ServiceProcessSpec,
    StackOptions,
    plan_services,
    provider_of,
    uses_postgres,
)
from rushes_cli.stack.supervised import HealthCheck, ServiceProcess, Supervised, is_serving
from servicekit.embedded.nats import NatsServer
from servicekit.embedded.s3 import S3Server
from servicekit.errors import Unavailable
from servicekit.grpc.server import READY

_POLL_S = 0.1
_READY_S = 10.0
_RESTART_DELAYS_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Before a process is started again, by its deaths in a row. A minute of life ends the row."""
_START_DELAYS_S = _RESTART_DELAYS_S[:3]
"""Before another try while the stack starts. What fails four times has wrong settings, say."""

Print = Callable[[str], None]
"""Shows one line to people: what is being started, what has died."""


class Stack:
    """All processes of one data folder: `start()`, then `supervise()` until `stop()`."""

    def __init__(self, folder: DataFolder, options: StackOptions, print_line: Print) -> None:
        self._folder = folder
        self._options = options
        self._print_line = print_line
        self._supervised: list[Supervised] = []
        self._gateway = ""
        self._is_up = False
        self._stopping = False

    async def start(self) -> StackState:
        """Start everything; returns once every service serves.

        Raises:
            CommandError: a port is in use, or a process did not start; everything is stopped again.
        """
        if self._options.port:
            _refuse_port_in_use(self._options.port)
        # What has started may die while others start.
        supervising = asyncio.create_task(self.supervise())
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
        finally:
            supervising.cancel()
        self._is_up = True
        return self._write_state()

    async def supervise(self) -> None:
        """Restart what dies or does not work, until cancelled or stopped."""
        while not self._stopping:
            for each in self._supervised:
                if not each.has_started or each.restarting is not None:
                    continue
                if not each.server.is_alive:
                    self._begin_restart(each, f"{each.name} ended")
                elif each.health_check is not None and (each.checking is None or each.checking.done()):
                    each.checking = asyncio.create_task(self._check_health(each, each.health_check))
            await asyncio.sleep(_POLL_S)

    async def stop(self) -> None:
        """Stop the services, then the store, then the log. Twice is fine."""
        self._stopping = True
        for each in self._supervised:
            for task in (each.restarting, each.checking):
                if task is not None:
                    task.cancel()
        infrastructure = [each for each in self._supervised if not each.health]
        # All services at once: each finishes its own work, and the event log keeps what one gives back.
        await asyncio.gather(*(each.server.stop() for each in self._supervised if each.health))
        for each in reversed(infrastructure):
            await each.server.stop()

    async def _start_infrastructure(self) -> dict[str, str]:
        """Start the log and the store that nobody has given; answers the settings of both."""
        environ = self._options.environ
        settings = {
            name: environ.get(name, "")
            for name in ("NATS_URL", "BLOB_ENDPOINT", "BLOB_ACCESS_KEY", "BLOB_SECRET_KEY")
        }
        given = [settings[name] for name in ("NATS_URL", "BLOB_ENDPOINT") if settings[name]]
        if uses_postgres(environ) and urlsplit(environ["DATABASE_URL"]).hostname:  # else it is a socket here
            given.append(environ["DATABASE_URL"])
        await asyncio.gather(*map(check_reachable, given))
        nats, s3 = NatsServer(self._folder.path / "nats"), S3Server(self._folder.path / "s3")
        embedded = []
        if not settings["NATS_URL"]:
            # After a full disk it lives, and stores nothing until it is started again.
            check = HealthCheck(nats.check_writable, restart_helps=lambda: nats.has_room)
            embedded.append(Supervised("nats", nats, lambda: nats.url, health_check=check))
        if not settings["BLOB_ENDPOINT"]:
            embedded.append(Supervised("s3", s3, lambda: s3.endpoint))
        names = ", ".join(each.name for each in embedded)
        self._print(f"starting {names or 'nothing: log and store are given'}")
        await self._start_all(embedded)
        if not settings["NATS_URL"]:
            settings["NATS_URL"] = nats.url
        if not settings["BLOB_ENDPOINT"]:
            settings |= {
                "BLOB_ENDPOINT": s3.endpoint,
                "BLOB_ACCESS_KEY": s3.access_key,
                "BLOB_SECRET_KEY": s3.secret_key,
            }
        return settings

    async def _start_services(self, planned: list[ServiceProcessSpec]) -> None:
        self._gateway = next(each.address for each in planned if each.name.startswith("gateway"))
        self._print(f"starting {', '.join(each.name for each in planned)}")
        await self._start_all([self._supervised_service(each) for each in planned])
        await self._await_ready([each.health for each in planned])

    async def _await_ready(self, addresses: Sequence[str]) -> None:
        """Wait for a while until all services can work: who started first may not have found the others yet.

        What is not ready by then is up all the same: `/readyz` and `rushes doctor` say what it lacks.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(_READY_S):
                for address in addresses:
                    while not await is_serving(address, READY):  # noqa: ASYNC110  # another process
                        await asyncio.sleep(_POLL_S)

    def _supervised_service(self, service: ServiceProcessSpec) -> Supervised:
        process = ServiceProcess(service, self._folder)
        return Supervised(service.name, process, lambda: service.address, service.health, service.metrics)

    async def _start_all(self, processes: Sequence[Supervised]) -> None:
        """Start them at once.

        Raises:
            Unavailable: one did not start; no other is started after that.
        """
        self._supervised += processes
        starts = [asyncio.create_task(self._start(each)) for each in processes]
        try:
            await asyncio.gather(*starts)
        finally:
            for start in starts:
                start.cancel()
            await asyncio.gather(*starts, return_exceptions=True)

    async def _start(self, each: Supervised) -> None:
        for delay in (*_START_DELAYS_S, None):
            each.started_at = time.monotonic()
            try:
                await each.server.start()
            except Unavailable:
                # One that lives is only slow, and has had its time.
                if delay is None or each.server.is_alive:
                    raise
                self._print(f"{each.name} did not start; trying again in {delay:g} s")
                await asyncio.sleep(delay)
                each.restarts += 1
            else:
                each.has_started = True
                return

    async def _check_health(self, each: Supervised, check: HealthCheck) -> None:
        errors, shown = 0, ""
        while True:
            await asyncio.sleep(check.interval_s)
            if each.restarting is not None:
                errors = 0
                continue
            try:
                await check.run()
            except Unavailable as error:
                errors += 1
                reason = f"{each.name} does not work: {error}"
                if errors < check.max_errors:
                    continue
                if check.restart_helps():
                    errors, shown = 0, ""
                    self._begin_restart(each, reason)
                elif reason != shown:
                    shown = reason
                    self._print(f"{reason} (a restart would not help yet)")
            else:
                errors, shown = 0, ""

    def _begin_restart(self, each: Supervised, reason: str) -> None:
        if time.monotonic() - each.started_at > 60.0:
            each.deaths = 0
        each.deaths += 1
        each.restarting = asyncio.create_task(self._restart(each, reason))

    async def _restart(self, each: Supervised, reason: str) -> None:
        delay = _RESTART_DELAYS_S[min(each.deaths, len(_RESTART_DELAYS_S)) - 1]
        try:
            self._print(f"{reason}; starting it again in {delay:g} s")
            if each.server.is_alive:
                await each.server.stop()
            await asyncio.sleep(delay)
            each.restarts += 1
            each.started_at = time.monotonic()
            await each.server.start()
        except Unavailable as error:  # the next poll finds it dead, and waits longer
            self._print(str(error).splitlines()[0])
        else:
            self._print(f"{each.name} is back")
        finally:
            each.restarting = None
            if self._is_up and not self._stopping:
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
                    each.server.pid or 0,
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
