"""Today's code on the data folders of releases, which were killed in the middle of their work."""

from __future__ import annotations

import asyncio
import io
import os
import sqlite3
import sys
import tarfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path

import av
import nats
import pytest
from alembic.script import ScriptDirectory

from catalog.adapters.db.migrate import alembic_config
from tests.e2e.system import System, running_system
from tests.upgrade.make_release_data import DATA

HERE = Path(__file__).parent
RELEASES = sorted(DATA.glob("*.tar.xz"))

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("archive", RELEASES, ids=lambda path: path.name.removesuffix(".tar.xz"))
async def test_what_a_release_left_is_finished(archive: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with tarfile.open(archive) as packed:
        packed.extractall(data, filter="data")
    jobs = dict(_rows(data, "SELECT id, status FROM jobs"))
    assert sorted(jobs.values()) == ["awaiting_approval", "completed", "failed", "rendering", "stitching"]
    assert {"fetching", "running"} <= {stage for (stage,) in _rows(data, "SELECT stage FROM generations")}
    async with continued(data) as system:
        runs = len(await system.predictions())
        await system.outside.post(f"{system.address('sandbox')}/sandbox/clock", json={"virtual": False})
        approved = next(job_id for job_id, status in jobs.items() if status == "awaiting_approval")
        await system.post(f"/api/v3/jobs/{approved}/approve")
        ended = await asyncio.gather(*(system.final_job(job_id) for job_id in jobs))
        assert {job["id"]: job["status"] for job in ended} == {
            job_id: "failed" if status == "failed" else "completed" for job_id, status in jobs.items()
        }

        assert len(await system.predictions()) == runs + 2, "a scene and music for the job that was approved"
        assert len(await system.charges()) == runs + 2, "and nothing was paid twice"
        for job in ended:
            if job["status"] == "completed":
                await check_job(system, job)
        assert await dead_letters(system) == 1, "the one that the release had"
        assert await rebuilt(system, tmp_path / "rebuilt.db") == 0, "every entry of its journal can be read"
    ((revision,),) = _rows(data, "SELECT version_num FROM alembic_version")
    assert revision == ScriptDirectory.from_config(alembic_config()).get_current_head()


@asynccontextmanager
async def continued(data: Path) -> AsyncIterator[System]:
    """The system goes on where the release was killed, and when."""
    moment = datetime.fromisoformat((data / "moment").read_text())
    env = {
        "PYTHONPATH": str(HERE / "stopped_clock"),
        "CLOCK_BEHIND_S": str((datetime.now(UTC) - moment).total_seconds()),
        "REPLICATE_START_DELAY_MS": "100",
    }
    async with running_system(data, env=env) as system:
        yield system


async def check_job(system: System, job: dict) -> None:
    """Its films and its music play, each run has one output, and its events can be read."""
    for path in [job["result"]["url"], *(scene["clip"]["url"] for scene in job["scenes"])]:
        assert frames(await system.bytes_of(path), "video") > 20
    await system.bytes_of(job["result"]["thumbnail_url"])
    for generation in await system.generations(job["id"]):
        (media,) = generation["media"]
        assert frames(await system.bytes_of(media["url"]), media["facts"]["kind"]) > 20
    kinds = Counter(kind for kind, _ in await system.events(job["id"]))
    assert kinds["job.created"] == kinds["job.completed"] == 1


def frames(film: bytes, kind: str) -> int:
    with av.open(io.BytesIO(film)) as container:
        return sum(1 for _ in container.decode(**{kind: 0}))


async def dead_letters(system: System) -> int:
    client = await nats.connect(system.address("nats"))
    try:
        return (await client.jetstream().stream_info("RUSHES_DLQ")).state.messages
    finally:
        await client.close()


async def rebuilt(system: System, path: Path) -> int:
    """Make the database again from the journal; answers the exit code."""
    env = {**os.environ, "DATABASE_URL": f"sqlite:///{path}", "NATS_URL": system.address("nats")}
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "catalog", "rebuild", env=env)
    return await process.wait()


def _rows(data: Path, query: str) -> list[tuple]:
    with closing(sqlite3.connect(data / "catalog.db")) as connection:
        return connection.execute(query).fetchall()
