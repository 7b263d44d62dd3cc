"""kill -9 of every process in the middle of a job: it completes, nothing twice, nothing paid twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from events.topology import streams
from servicekit.clock import SystemClock
from servicekit.events import EventLog
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
ENDS = {"running": "prediction.succeeded", "fetching": "download.completed", "stitching": "stitch.completed"}
"""The fact with which a moment is over: one of the job's must have been said after the kill."""
JOBS = 3
"""A quick machine may be past the moment when we have looked: that proves nothing, and is done again."""


async def _reached(system: System, job_id: str, moment: str) -> bool:
    job = await system.job(job_id)
    return job["status"] in (moment, *FINAL) or moment in {scene["stage"] for scene in job["scenes"]}


async def _said_after(system: System, job_id: str, kind: str, when: datetime) -> bool:
    """Whether a fact of that kind was said for the job, which is over, after that moment."""
    log = EventLog(system.address("nats"), service="test", clock=SystemClock(), streams=streams())
    await log.start()
    after = False
    try:
        async for event in await log.tail([f"{kind}.>", "job.completed.>"], after=0):
            if event.refs.get("job") == job_id:
                after = after or (event.type == kind and event.time is not None and event.time > when)
                if event.type == "job.completed":
                    return after
    finally:
        await log.stop()
    raise AssertionError(f"the log has no end of job {job_id}")


@asynccontextmanager
async def _slow_files(system: System) -> AsyncIterator[None]:
    """Outputs take seconds to come."""
    faults = f"{system.address('sandbox')}/sandbox/faults"
    drip = {"fault": "slow_drip", "params": {"chunk": 16_384, "seconds": 0.2}}
    got = await system.outside.post(faults, json=drip)
    assert got.is_success, got.text
    try:
        yield
    finally:
        await system.outside.delete(faults)


@pytest.mark.parametrize("victim", sorted(MOMENTS))
async def test_a_job_survives_the_death_of(victim: str, system: System, photos: list[Path]) -> None:
    moment = MOMENTS[victim]
    for _ in range(JOBS):
        killed_at, done = await _killed_at(moment, victim, system, photos)
        if await _said_after(system, done["id"], ENDS[moment], killed_at):
            return
    pytest.fail(f"{JOBS} jobs were past {moment} when {victim} was killed: nothing is proved")


async def _killed_at(
    moment: str, victim: str, system: System, photos: list[Path]
) -> tuple[datetime, dict[str, Any]]:
    """One job whose victim is killed at the moment: it completes. Answers when it was, and the job."""
    paid_before = len(await system.charges())
    restarts_before = system.restarts(victim)
    campaign = await system.campaign(photos[:6])
    async with _slow_files(system) if moment == "fetching" else nullcontext():
        wish = {"scene_seconds": 2, "transition": "crossfade"}  # which cannot be copied: a cut takes a while
        job = await system.approved_job(campaign["id"], **wish)
        await eventually(lambda: _reached(system, job["id"], moment), within=30.0)
        killed_at = datetime.now(UTC)
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
    return killed_at, done
