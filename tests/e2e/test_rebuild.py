"""The database is lost, and made again from the event log: nothing that people see has changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import RunRushes
from tests.e2e.system import System, running_system

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

PATHS = (
    "/api/v3/clients",
    "/api/v3/campaigns",
    "/api/v3/assets",
    "/api/v3/jobs",
    "/api/v3/generations",
    "/api/v3/admin/downloads/failed",
    "/api/v3/admin/storage/stats",
)


async def _read(system: System) -> dict[str, Any]:
    return {path: await system.get(path) for path in PATHS}


async def test_a_lost_database_is_rebuilt(tmp_path: Path, photos: list[Path], rushes: RunRushes) -> None:
    data = tmp_path / "data"
    model = "rushes/instant"
    async with running_system(data) as system:
        refused = await rushes("rebuild")
        assert (refused.exit_code, "already runs" in refused.output) == (2, True), refused.output
        campaign = await system.campaign(photos[:3])
        job = await system.post(f"/api/v3/campaigns/{campaign['id']}/create-job", {"scene_count": 2})
        await system.post(f"/api/v3/jobs/{job['id']}/cancel")
        done = await system.final_generation((await system.generation(model))["id"])
        assert done["status"] == "completed", done["error"]
        await system.fault("E005", count=1)
        failed = await system.final_generation((await system.generation(model))["id"])
        assert (failed["status"], failed["error"]["code"]) == ("failed", "E005")
        seen = await _read(system)

    for part in ("", "-wal", "-shm"):
        (data / f"catalog.db{part}").unlink(missing_ok=True)
    rebuilt = await rushes("rebuild")
    assert rebuilt.exit_code == 0, rebuilt.output
    assert "rebuilt from" in rebuilt.output

    async with running_system(data) as system:
        assert await _read(system) == seen
        await system.bytes_of(done["media"][0]["url"])
        again = await system.final_generation((await system.generation(model))["id"])
        assert again["status"] == "completed", again["error"]

    # The rebuilt one is moved aside in its turn, and comes back when nothing can be rebuilt.
    again = await rushes("rebuild")
    assert again.exit_code == 0, again.output
    assert len(list(data.glob("catalog.db.before-rebuild-*"))) >= 1
    size = (data / "catalog.db").stat().st_size
    without_log = await rushes("rebuild", env={"NATS_URL": "nats://127.0.0.1:1"})
    assert without_log.exit_code != 0
    assert (data / "catalog.db").stat().st_size == size


async def test_without_an_event_log_nothing_is_touched(tmp_path: Path, rushes: RunRushes) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "catalog.db").write_bytes(b"mine")
    ended = await rushes("rebuild")
    assert (ended.exit_code, "has no event log" in ended.output) == (2, True), ended.output
    assert (tmp_path / "data" / "catalog.db").read_bytes() == b"mine"
