"""Two catalogs on PostgreSQL: one after the other is killed in the middle of the work, and nobody notices."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from servicekit.testing import eventually, postgres_url
from tests.e2e.system import System, count_by_subject, running_system

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    data = tmp_path_factory.mktemp("catalogs")
    async with postgres_url() as database:
        env = {"DATABASE_URL": database, "REPLICATE_START_DELAY_MS": "3000"}
        async with running_system(data, "--replicas", "catalog=2", env=env) as running:
            yield running


async def test_a_job_goes_on_while_one_after_the_other_is_killed(system: System, photos: list[Path]) -> None:
    campaign = await system.campaign(photos[:4])
    job = await system.approved_job(campaign["id"], scene_count=4)
    for name in ("catalog-1", "catalog-2", "catalog-1"):
        lives = system.restarts(name)
        system.kill(name)
        assert (await system.job(job["id"]))["status"] != "completed", (
            "it is killed in the middle of the work"
        )
        await eventually(lambda name=name, lives=lives: system.restarts(name) > lives, within=30.0)
    assert (await system.final_job(job["id"], within=120.0))["status"] == "completed"

    assert len(await system.predictions()) == 5, "four scenes and a piece of music"
    assert len(await system.charges()) == 5
    events = await system.events(job["id"])
    for kind in ("attempt.intended", "prediction.succeeded", "download.completed", "stitch.completed"):
        counted = count_by_subject(events, kind)
        assert counted, kind
        assert set(counted.values()) == {1}, f"{kind}: {counted}"
    of_job = [kind for kind, _ in events if kind.startswith("job.")]
    assert of_job == ["job.created", "job.planned", "job.approved", "job.completed"], (
        "each once, and in order"
    )
    for name in ("catalog-1", "catalog-2"):
        assert '"level": "error"' not in (system.data / "logs" / f"{name}.log").read_text()
