from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest

from rushes_cli.data_folder import DataFolder
from rushes_cli.stack.services import StackOptions
from rushes_cli.stack.supervised import HealthCheck, Supervised
from rushes_cli.stack.supervisor import Stack
from servicekit.clock import SystemClock
from servicekit.errors import Unavailable
from servicekit.grpc.server import GrpcServer
from servicekit.testing import eventually


class DeadServer:
    """Has died; sets `started` when it is started again."""

    pid = None

    def __init__(self) -> None:
        self.is_alive = False
        self.started = asyncio.Event()

    async def start(self) -> None:
        self.is_alive = True
        self.started.set()

    async def stop(self) -> None:
        self.is_alive = False


async def test_a_dead_process_is_restarted_also_when_nothing_can_be_written(tmp_path: Path) -> None:
    def fail(line: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    stack, dead = Stack(DataFolder(tmp_path / "gone"), StackOptions(), fail), DeadServer()
    await stack._start_all([Supervised("dead", dead, lambda: "somewhere")])
    dead.started.clear()
    dead.is_alive = False
    supervising = asyncio.create_task(stack.supervise())
    for _ in range(2):
        async with asyncio.timeout(10):
            await dead.started.wait()
        dead.started.clear()
        dead.is_alive = False
    supervising.cancel()
    await stack.stop()


class FlakyServer(DeadServer):
    """Dies at its first starts."""

    def __init__(self, *, deaths: int) -> None:
        super().__init__()
        self.deaths = deaths
        self.starts = 0

    async def start(self) -> None:
        self.starts += 1
        if self.starts <= self.deaths:
            raise Unavailable("ended at its start")
        await super().start()


async def test_a_stack_is_up_once_its_services_have_found_each_other(tmp_path: Path) -> None:
    checks: list[int] = []

    async def ready() -> None:
        checks.append(len(checks))
        if len(checks) < 3:
            raise Unavailable("the other one is away")

    server = GrpcServer("127.0.0.1:0", [], clock=SystemClock(), service="one")
    server.ready = ready
    await server.start()
    await Stack(DataFolder(tmp_path), StackOptions(), print)._await_ready([f"127.0.0.1:{server.port}"])
    assert len(checks) == 3
    await server.stop()


async def test_a_process_that_dies_at_its_start_is_started_again(tmp_path: Path) -> None:
    lines: list[str] = []
    stack, flaky = Stack(DataFolder(tmp_path), StackOptions(), lines.append), FlakyServer(deaths=2)
    supervised = Supervised("flaky", flaky, lambda: "somewhere")
    await stack._start_all([supervised])
    assert (flaky.starts, supervised.restarts) == (3, 2)
    assert lines == [
        "flaky did not start; trying again in 0.2 s",
        "flaky did not start; trying again in 0.5 s",
    ]
    await stack.stop()
    assert not flaky.is_alive


async def test_a_process_that_always_dies_at_its_start_is_given_up(tmp_path: Path) -> None:
    stack, flaky = Stack(DataFolder(tmp_path), StackOptions(), print), FlakyServer(deaths=99)
    other = FlakyServer(deaths=98)
    with pytest.raises(Unavailable, match="ended at its start"):
        await stack._start_all(
            [Supervised("flaky", flaky, lambda: ""), Supervised("other", other, lambda: "")]
        )
    starts = (flaky.starts, other.starts)
    assert flaky.starts == 4
    await stack.stop()
    await asyncio.sleep(0)
    assert (flaky.starts, other.starts) == starts, "nothing is started after the stop"


class StuckServer(DeadServer):
    """Lives; `works` from its second start on."""

    def __init__(self) -> None:
        super().__init__()
        self.starts = 0
        self.checks = 0
        self.works = False
        self.room = True

    async def start(self) -> None:
        self.starts += 1
        self.works = self.starts > 1
        await super().start()

    async def check(self) -> None:
        self.checks += 1
        if not self.works:
            raise Unavailable("refuses writes")


async def test_a_process_that_lives_and_does_not_work_is_restarted(tmp_path: Path) -> None:
    lines: list[str] = []
    stack, stuck = Stack(DataFolder(tmp_path), StackOptions(), lines.append), StuckServer()
    check = HealthCheck(stuck.check, interval_s=0.01, max_errors=3, restart_helps=lambda: stuck.room)
    stuck.room = False
    await stack._start_all([Supervised("stuck", stuck, lambda: "", health_check=check)])
    supervising = asyncio.create_task(stack.supervise())
    await eventually(lambda: stuck.checks >= 6)
    assert stuck.starts == 1, "a restart would not help"
    assert lines == ["stuck does not work: refuses writes (a restart would not help yet)"]
    stuck.room = True
    await eventually(lambda: stuck.starts == 2 and lines[-1] == "stuck is back")
    assert lines[1:] == ["stuck does not work: refuses writes; starting it again in 0.2 s", "stuck is back"]
    checks = stuck.checks
    await eventually(lambda: stuck.checks > checks + 5)
    assert stuck.starts == 2, "it works"
    supervising.cancel()
    await stack.stop()


async def test_only_errors_in_a_row_count(tmp_path: Path) -> None:
    stack, stuck = Stack(DataFolder(tmp_path), StackOptions(), print), StuckServer()

    async def every_second_one() -> None:
        stuck.works = not stuck.works
        await stuck.check()

    check = HealthCheck(every_second_one, interval_s=0.01, max_errors=2)
    await stack._start_all([Supervised("stuck", stuck, lambda: "", health_check=check)])
    supervising = asyncio.create_task(stack.supervise())
    await eventually(lambda: stuck.checks >= 10)
    assert stuck.starts == 1
    supervising.cancel()
    await stack.stop()
