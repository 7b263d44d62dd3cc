"""One sandbox process for all tests of this package; and their fakes become importable."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import Popen

import httpx
import pytest

from generator.adapters.replicate_client import ReplicateClient
from servicekit.testing import eventually

sys.path.insert(0, str(Path(__file__).parent))

from generator_processes import AUTH, TOKEN, free_port  # importable only now


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A sandbox for all tests of this package, as a process."""
    folder = tmp_path_factory.mktemp("sandbox")
    port = free_port()
    settings = {
        "SANDBOX_LISTEN": f"127.0.0.1:{port}",
        "SANDBOX_DATA": str(folder),
        "SANDBOX_TOKEN": TOKEN,
        "SANDBOX_SPEED": "50",
    }
    with (folder / "log").open("w") as log:
        process = Popen([sys.executable, "-m", "sandbox"], env=os.environ | settings, stdout=log, stderr=log)
        try:
            base = f"http://127.0.0.1:{port}"
            with ThreadPoolExecutor(1) as aside:  # a fixture may be requested inside a running loop
                aside.submit(lambda: asyncio.run(eventually(lambda: _answers(base), within=30))).result()
            yield base
        finally:
            process.kill()
            process.wait()


def _answers(base: str) -> bool:
    try:
        return httpx.get(f"{base}/sandbox/ledger", headers=AUTH).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
async def client(sandbox: str) -> AsyncIterator[ReplicateClient]:
    client = ReplicateClient(sandbox, TOKEN)
    await client.start()
    yield client
    await client.stop()
