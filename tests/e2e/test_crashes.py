"""kill -9 of every process in the middle of a job: it completes, nothing twice, nothing paid twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from servicekit.testing import eventually
from tests.e2e.system import FINAL, System, attempts_by_number

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

MOMENTS = {
    # process: the stage of a scene, or the status of the job, at which it dies
    "generator": "running",
    "catalog": "running",
    "nats": "running",
    "sandbox": "running",
    "gateway": "running",
    "downloader": "fetching",
    "s3": "fetching",
    "stitcher": "stitching",
}


async def _is_at(system: System, job_id: str, moment: str) -> bool:
    job = await system.job(job_id)
    stages = {scene["stage"] for scene in job["scenes"]}
    # A quick machine may be past the moment by the time we look: later is in the middle too.
    return moment in stages or job["status"] in (moment, "stitching", *FINAL)


@pytest.mark.parametrize("victim", sorted(MOMENTS))
async def test_a_job_survives_the_death_of(victim: str, system: System, photos: list[Path]) -> None:
    paid_before = len(await system.charges())
    restarts_before = system.restarts(victim)
    campaign = await system.campaign(photos[:6])
    job = await system.approved_job(campaign["id"], scene_seconds=2)

    await eventually(lambda: _is_at(system, job["id"], MOMENTS[victim]), within=30.0)
    system.kill(victim)
    done = await system.finished(job["id"], within=100.0)

    await eventually(lambda: system.restarts(victim) > restarts_before, within=15.0)
    assert done["status"] == "completed", done["error"]
    generations = await system.generations(job["id"])
    assert [len(g["media"]) for g in generations] == [1, 1, 1]
    intents = sum(g["attempts"] for g in generations)
    paid = len(await system.charges()) - paid_before
    assert paid <= intents, "a submission that no intent allowed"
    assert paid == len(generations), "paid for something twice"
    facts = await system.facts(job["id"])
    assert set(attempts_by_number(facts, "generation.completed").values()) == {1}
    assert [kind for kind, _ in facts].count("job.completed") == 1
    cut = await system.bytes_of(done["result"]["url"])
    assert len(cut) == done["result"]["facts"]["size_bytes"]
