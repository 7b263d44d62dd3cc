from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

from rushes_cli.data_folder import DataFolder
from rushes_cli.stack.services import StackOptions
from rushes_cli.stack.supervisor import Stack, _Supervised
from servicekit.embedded.process import ServerProcess


class DeadServer:
    """Has died; sets `started` when it is started again."""

    def __init__(self, folder: Path) -> None:
        self.process = ServerProcess("dead", folder / "dead.log")
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

    stack, dead = Stack(DataFolder(tmp_path / "gone"), StackOptions(), fail), DeadServer(tmp_path)
    stack._supervised.append(_Supervised("dead", dead, lambda: "somewhere"))
    supervising = asyncio.create_task(stack.supervise())
    for _ in range(2):
        async with asyncio.timeout(10):
            await dead.started.wait()
        dead.started.clear()
        dead.is_alive = False
    supervising.cancel()
    await stack.stop()
