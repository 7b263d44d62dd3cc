"""With a token and an address set, the same code talks to that provider: a sandbox that demands the token."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from servicekit.embedded.process import free_port
from servicekit.testing import eventually
from tests.e2e.system import running_system

pytestmark = pytest.mark.e2e
TOKEN = "r8_only_for_this_test"


@asynccontextmanager
async def _provider(folder: Path) -> AsyncIterator[str]:
    address = f"127.0.0.1:{free_port()}"
    folder.mkdir()
    with (folder / "log").open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "sandbox", stdout=out, stderr=out,
            env={**os.environ, "SANDBOX_LISTEN": address, "SANDBOX_DATA": str(folder), "SANDBOX_TOKEN": TOKEN,
                 "GRPC_LISTEN": f"127.0.0.1:{free_port()}"},
        )  # fmt: skip

    async def answers() -> bool:
        async with httpx.AsyncClient() as http:
            try:
                return (await http.get(f"http://{address}/healthz")).is_success
            except httpx.TransportError:
                return False

    try:
        await eventually(answers, within=30.0)
        yield f"http://{address}"
    finally:
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), 20.0)


async def test_a_provider_that_demands_the_token(tmp_path: Path, photos: list[Path]) -> None:
    async with _provider(tmp_path / "provider") as base, httpx.AsyncClient(base_url=base) as http:
        assert (await http.get("/v1/predictions")).status_code == 401
        env = {"REPLICATE_BASE_URL": base, "REPLICATE_API_TOKEN": TOKEN}
        async with running_system(tmp_path / "data", env=env) as system:
            assert "sandbox" not in {each["name"] for each in system.state["processes"]}
            campaign = await system.campaign(photos[:4])
            job = await system.approved_job(campaign["id"], scene_count=1)
            done = await system.final_job(job["id"])
            assert done["status"] == "completed", done["error"]
            logs = "".join(p.read_text(errors="replace") for p in (tmp_path / "data" / "logs").iterdir())
            assert TOKEN not in logs
        ledger = await http.get("/sandbox/ledger", headers={"Authorization": f"Bearer {TOKEN}"})
        assert len(ledger.json()["charges"]) == 2, "a scene and its music, at that provider"
