from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from rushes_cli.photo_files import copy_demo_photos
from tests.e2e.system import System, running_system


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return copy_demo_photos(tmp_path_factory.mktemp("photos"))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """One system for all tests that need no special one; its spans are in `traces.jsonl`."""
    data = tmp_path_factory.mktemp("system")
    env = {
        "RUSHES_TRACE_FILE": str(data / "traces.jsonl"),
        "STALLED_AFTER_S": "10",
        "SUBMIT_WINDOW_S": "4",
        "BREAKER_PROBE_S": "2",
    }
    async with running_system(data, env=env) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def provider(system: System) -> AsyncIterator[System]:
    """The system, with every fault taken back at the end."""
    yield system
    await system.mend()


@dataclass(frozen=True)
class Finished:
    exit_code: int
    output: str


RunRushes = Callable[..., Awaitable[Finished]]


@pytest.fixture
def rushes(tmp_path: Path) -> RunRushes:
    """Run `rushes` to its end, on a data folder of the test."""

    async def run(*arguments: str, env: dict[str, str] | None = None, within: float = 60.0) -> Finished:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "rushes_cli", *arguments,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "RUSHES_DATA": str(tmp_path / "data"), **(env or {})},
        )  # fmt: skip
        output, _ = await asyncio.wait_for(process.communicate(), within)
        return Finished(process.returncode or 0, output.decode())

    return run
