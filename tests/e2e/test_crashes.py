"""After kill -9 of any process in the middle of a job, it completes, and nothing is done or paid twice."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from events.topology import streams
from servicekit.clock import SystemClock
from servicekit.events import EventLog
from servicekit.testing import eventually
from tests.e2e.system import FINAL, System, count_by_subject, running_system

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
LAST_EVENTS = {
    "running": "prediction.succeeded",
    "fetching": "download.completed",
    "stitching": "stitch.completed",
}
"""The event with which a moment is over: the job must have one of them after the kill."""
MAX_JOBS = 3
"""On a fast machine the moment may be over before the kill. That proves nothing, and another job is tried."""


async def _has_reached(system: System, job_id: str, moment: str) -> bool:
    job = await system.job(job_id)
    return job["status"] in (moment, *FINAL) or moment in {scene["stage"] for scene in job["scenes"]}


async def _reported_after(system: System, job_id: str, kind: str, when: datetime) -> bool:
    """Whether the final job has an event of that type after that time."""
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
    """The transfer of an output takes seconds."""
    await system.fault("slow_drip", params={"chunk": 16_384, "seconds": 0.2})
    try:
        yield
    finally:
        await system.mend()


@pytest.mark.parametrize("victim", sorted(MOMENTS))
async def test_a_job_survives_the_death_of(victim: str, system: System, photos: list[Path]) -> None:
    moment = MOMENTS[victim]
    for _ in range(MAX_JOBS):
        killed_at, done = await _killed_at(moment, victim, system, photos)
        if await _reported_after(system, done["id"], LAST_EVENTS[moment], killed_at):
            return
    pytest.fail(f"{MAX_JOBS} jobs were past {moment} when {victim} was killed: nothing is proved")


async def _killed_at(
    moment: str, victim: str, system: System, photos: list[Path]
) -> tuple[datetime, dict[str, Any]]:
    """Kill the victim at the moment of a job that must complete. Returns when it was, and the job."""
    paid_before = len(await system.charges())
    restarts_before = system.restarts(victim)
    campaign = await system.campaign(photos[:6])
    async with _slow_files(system) if moment == "fetching" else nullcontext():
        # A cross-fade cannot be copied: such a cut takes a while.
        request = {"scene_seconds": 2, "transition": "crossfade"}
        job = await system.approved_job(campaign["id"], **request)
        await eventually(lambda: _has_reached(system, job["id"], moment), within=30.0)
        killed_at = datetime.now(UTC)
        system.kill(victim)
    done = await system.final_job(job["id"], within=100.0)

    await eventually(lambda: system.restarts(victim) > restarts_before, within=15.0)
    assert done["status"] == "completed", done["error"]
    generations = await system.generations(job["id"])
    assert [len(g["media"]) for g in generations] == [1, 1, 1]
    intents = sum(g["attempts"] for g in generations)
    paid = len(await system.charges()) - paid_before
    assert paid <= intents, "a submission that no intent allowed"
    assert paid == len(generations), "paid for something twice"
    events = await system.events(job["id"])
    assert set(count_by_subject(events, "generation.completed").values()) == {1}
    assert [kind for kind, _ in events].count("job.completed") == 1
    cut = await system.bytes_of(done["result"]["url"])
    assert len(cut) == done["result"]["facts"]["size_bytes"]
    return killed_at, done


@pytest.mark.parametrize(("victim", "line"), [("catalog", "catalog did not start"), ("nats", "nats ended")])
async def test_a_part_that_is_killed_while_the_stack_starts_is_started_again(
    victim: str, line: str, tmp_path: Path
) -> None:
    data = tmp_path / "data"

    async def kill() -> None:
        # nats has started by then; of the services none has.
        await eventually(lambda: _pid_in(data / "logs", "catalog"), within=30.0)
        folder = data / ("nats" if victim == "nats" else "logs")
        os.kill(
            await eventually(lambda: _pid_in(folder, victim)), signal.SIGKILL
        )  # never 0: that is ourselves

    killing = asyncio.create_task(kill())
    async with running_system(data) as system:
        await killing
        assert line in (data / "up.log").read_text()
        assert system.restarts(victim) == 1
        assert {each["restarts"] for each in system.state["processes"] if each["name"] != victim} == {0}


async def test_a_killed_supervisor_leaves_no_process_and_no_file_behind(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with running_system(data) as system:
        campaign = await system.campaign([])
        pids = [each["pid"] for each in system.state["processes"]]
        sockets = _store_sockets(data)
        assert sockets
        system.process.kill()
        await system.process.wait()
        await eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    async with running_system(data) as system:
        assert (await system.get(f"/api/v3/campaigns/{campaign['id']}"))["name"] == campaign["name"]
        assert not [each for each in sockets if each.exists()]
        assert len(list((data / "s3" / "data").glob("m[0-9]*"))) == 1


def _store_sockets(data: Path) -> list[Path]:
    options = (data / "s3" / "data" / "mini.options").read_text()
    ports = [line.partition("=")[2] for line in options.splitlines() if ".port" in line.partition("=")[0]]
    return [path for port in ports for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock")]


def _pid_in(folder: Path, name: str) -> int:
    """The process of that name that works in a folder; 0 when there is none."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cwd").readlink() == folder and name.encode() in (process / "cmdline").read_bytes():
                return int(process.name)
    return 0
