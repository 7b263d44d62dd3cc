"""Packs the data folder that a release leaves behind when it is killed in the middle of its work.

Once for each release, from the folder of this checkout:

    git worktree add ../released v0.2.0
    make -C ../released .venv/.ready
    .venv/bin/python -m tests.upgrade.make_release_data ../released

That writes tests/upgrade/data/<version>.tar.xz: commit it. `test_upgrade.py` starts today's code on each.

The folder has a job in every state that matters: completed; waiting for approval; failed; one whose cut is
requested of a stitcher that never answers; and one in the middle of its scenes, with an event of a finished
prediction in the log that nobody has handled, outputs that nobody has fetched, and a prediction that is
still running. A dead letter lies in the log. `moment` is the time at which everything was killed.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import nats
from PIL import Image

from servicekit.clock import SystemClock
from servicekit.events import EventLog
from servicekit.testing import eventually
from tests.e2e.system import System

DATA = Path(__file__).parent / "data"
SANDBOX_PORT = 18_999
"""Outputs that are not fetched yet have this address. No test's server takes such a port by chance."""

LEFT_OUT = ("logs", "work", "lock", "port", "stack.json", "*.db-shm", "*/*.db-shm", "*/*.log*")
"""What a start makes anew."""

JOB = {"scene_count": 1, "scene_seconds": 1, "size": "160x90", "music": {"prompt": "calm"}}


async def make(release: Path) -> Path:
    version = tomllib.loads((release / "cli/pyproject.toml").read_text())["project"]["version"]
    with tempfile.TemporaryDirectory(prefix="rushes-release-") as folder:
        data = Path(folder, "data")
        async with released_system(release, data) as system:
            await fill(system)
        (data / "moment").write_text(datetime.now(UTC).isoformat())
        return pack(data, DATA / f"{version}.tar.xz")


@asynccontextmanager
async def released_system(release: Path, data: Path) -> AsyncIterator[System]:
    """The release's own `rushes up`, which is killed at the end with everything that it has started."""
    data.mkdir()
    (data / "sandbox-port").write_text(f"{SANDBOX_PORT}\n")
    env = {**os.environ, "REPLICATE_START_DELAY_MS": "100"}
    process = await asyncio.create_subprocess_exec(
        release / ".venv/bin/python", "-m", "rushes_cli", "up", "--data", str(data), env=env
    )
    try:
        await eventually((data / "stack.json").exists, within=120.0)
        system = System(data, process)
        yield system
        await system.close()
    finally:
        process.kill()  # the others are killed with it, those that are stopped too
        await process.wait()


async def fill(system: System) -> None:
    """Bring jobs into their states, the last ones by stopping those who would go on with them."""
    with tempfile.TemporaryDirectory() as folder:
        campaign = (await system.campaign(photos(Path(folder))))["id"]
    completed = await system.approved_job(campaign, **JOB)
    assert (await system.final_job(completed["id"]))["status"] == "completed"
    await system.fault("E005", match={"model": "rushes/music-bed"}, count=1)
    failed = await system.approved_job(campaign, **JOB)
    assert (await system.final_job(failed["id"]))["status"] == "failed"
    _, cut, midway = [
        (await system.post(f"/api/v3/campaigns/{campaign}/create-job", JOB | {"scene_count": count}))["id"]
        for count in (1, 1, 3)
    ]
    await bury_a_letter(system)

    stop(system, "stitcher")
    await system.post(f"/api/v3/jobs/{cut}/approve")
    await eventually(lambda: has_status(system, cut, "stitching"), within=60.0)
    stop(system, "downloader")
    clock = SandboxClock(system)
    await clock.stop()
    await system.post(f"/api/v3/jobs/{midway}/approve")
    await clock.stagger(4)
    await clock.finish_one()
    await eventually(lambda: has_stage(system, midway, "fetching"), within=60.0)
    stop(system, "catalog")
    handled = len(await succeeded(system))
    await clock.finish_one()
    await eventually(lambda: more_than(system, handled), within=60.0)
    await keep_events(system)


class SandboxClock:
    """Ends predictions of the sandbox one by one: its time stands still but for the steps that it takes."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._address = f"{system.address('sandbox')}/sandbox/clock"

    async def stop(self) -> None:
        await self._system.outside.post(self._address, json={"virtual": True})

    async def stagger(self, count: int) -> None:
        """Have so many predictions begin a second after each other."""
        before = await self._count()
        for number in range(1, count + 1):
            await eventually(partial(self._are, before + number), within=60.0)
            await self._advance(1.0)

    async def finish_one(self) -> None:
        """Go on until one more prediction has succeeded, and no further."""
        before = await self._count("succeeded")

        async def one_more() -> bool:
            await self._advance(0.1)
            return await self._count("succeeded") > before

        await eventually(one_more, within=60.0, every=0.3)
        assert await self._count("processing") > 0, "the others go on when time does"

    async def _advance(self, seconds: float) -> None:
        await self._system.outside.post(self._address, json={"advance": seconds})

    async def _are(self, count: int) -> bool:
        return await self._count() >= count

    async def _count(self, status: str = "") -> int:
        return sum(status in ("", each["status"]) for each in await self._system.predictions())


def photos(folder: Path) -> list[Path]:
    """Two plain pictures: clips of them are small."""
    made = [folder / "house_front.jpg", folder / "house_garden.jpg"]
    for path, color in zip(made, ("steelblue", "darkolivegreen"), strict=True):
        Image.new("RGB", (160, 90), color).save(path)
    return made


async def bury_a_letter(system: System) -> None:
    """Publish what no consumer can read, and wait until it lies among the dead letters."""
    client = await nats.connect(system.address("nats"))
    try:
        js = client.jetstream()
        headers = {"ce-type": "download.completed", "ce-id": "unreadable", "Nats-Msg-Id": "unreadable"}
        await js.publish("download.completed.gen_1", b"\xff", headers=headers)

        async def buried() -> bool:
            return (await js.stream_info("RUSHES_DLQ")).state.messages > 0

        await eventually(buried)
    finally:
        await client.close()


async def keep_events(system: System) -> None:
    """Let nothing in the log grow too old: whoever starts a server on it later would lose it at once."""
    client = await nats.connect(system.address("nats"))
    try:
        js = client.jetstream()
        for name in ("RUSHES", "RUSHES_DLQ"):
            config = (await js.stream_info(name)).config
            await js.update_stream(replace(config, max_age=0.0))
    finally:
        await client.close()


def stop(system: System, name: str) -> None:
    """Let it do nothing more, and give back nothing either."""
    os.kill(system.pid(name), signal.SIGSTOP)


async def has_status(system: System, job_id: str, status: str) -> bool:
    return (await system.job(job_id))["status"] == status


async def has_stage(system: System, job_id: str, stage: str) -> bool:
    return stage in [each["stage"] for each in await system.generations(job_id)]


async def succeeded(system: System) -> list[str]:
    """The ids of the events in the log that tell of finished predictions."""
    log = EventLog(system.address("nats"), service="release", clock=SystemClock(), streams=())
    await log.start()
    try:
        return [event.id async for event in log.read("RUSHES") if event.type == "prediction.succeeded"]
    finally:
        await log.stop()


async def more_than(system: System, number: int) -> bool:
    return len(await succeeded(system)) > number


def pack(data: Path, archive: Path) -> Path:
    archive.parent.mkdir(exist_ok=True)
    for path in [path for pattern in LEFT_OUT for path in data.glob(pattern)]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    with tarfile.open(archive, "w:xz", preset=9) as packed:
        packed.add(data, arcname=".", filter=_anonymous)
    return archive


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


if __name__ == "__main__":
    made = asyncio.run(make(Path(sys.argv[1]).resolve()))
    print(f"{made}: {made.stat().st_size:,} bytes")  # noqa: T201  # a command for people
