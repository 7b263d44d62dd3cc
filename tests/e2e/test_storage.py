"""Storage on the running system: counted, deleted with bytes and record, and paid for all the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from events.topology import streams
from rushes.events.v1 import events_pb2
from servicekit.blobs import BlobStore
from servicekit.clock import SystemClock
from servicekit.embedded.s3 import LOCAL_SECRET
from servicekit.events import Event, EventLog
from servicekit.ids import new_id
from servicekit.testing import eventually
from tests.e2e.conftest import RunRushes
from tests.e2e.system import System, running_system

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

STATS, CLEANUP = "/api/v3/admin/storage/stats", "/api/v3/admin/storage/cleanup"


async def _status(system: System, *paths: str) -> set[int]:
    return {(await system.http.get(path)).status_code for path in paths}


async def _spent(system: System, campaign: dict[str, Any]) -> float:
    return float((await system.get(f"/api/v3/campaigns/{campaign['id']}"))["spent_cents"])


@asynccontextmanager
async def _store(system: System) -> AsyncIterator[BlobStore]:
    """A client of the system's store."""
    store = BlobStore(system.address("s3"), "rushes", LOCAL_SECRET, "rushes")
    await store.start()
    try:
        yield store
    finally:
        await store.stop()


async def _keys(system: System, prefix: str) -> list[str]:
    async with _store(system) as store:
        return [blob.key async for blob in store.list(prefix)]


async def _publish_late_download(system: System, done: dict[str, Any]) -> None:
    """Do what a late download would: store bytes, and publish `download.completed` with a new id."""
    log = EventLog(system.address("nats"), service="test", clock=SystemClock(), streams=streams())
    await log.start()
    try:
        stored = await log.js.get_last_msg("RUSHES", f"download.completed.{done['id']}")
        completed = events_pb2.DownloadCompleted.FromString(stored.data or b"")
        async with _store(system) as store:
            await store.put(completed.blob_key, b"late", content_type="video/mp4")
        await log.publish(
            Event(f"{done['id']}:again", "download.completed", done["id"], completed.SerializeToString())
        )
    finally:
        await log.stop()


async def test_a_deleted_video_has_no_bytes_and_no_record_but_its_cost(system: System) -> None:
    campaign = await system.campaign([])
    before = await system.get(STATS)
    wanted = {"model": "rushes/instant", "input": {"prompt": "x"}, "campaign_id": campaign["id"]}
    requested = await system.post("/api/v3/generations", wanted)
    done = await system.final_generation(requested["id"])
    assert done["status"] == "completed", done["error"]
    (media,) = done["media"]
    size = media["facts"]["size_bytes"]
    stats = await system.get(STATS)
    assert stats["total_videos"] == before["total_videos"] + 1
    assert stats["total_size_bytes"] == before["total_size_bytes"] + size
    assert stats["downloads"]["completed"] == before["downloads"]["completed"] + 1
    assert (stats["files"][0]["id"], stats["files"][0]["url"]) == (media["id"], media["url"])
    assert await system.get("/api/admin/storage/stats") == stats

    would = await system.post(CLEANUP, {"older_than_days": 1, "dry_run": True})
    assert (would["files"], would["ids"], would["more"]) == (0, [], False), "all of it is of today"
    assert (await system.get(STATS))["total_size_bytes"] == stats["total_size_bytes"]
    addresses = (media["url"], media["thumbnail_url"])
    for address in addresses:
        await system.bytes_of(address)

    async def stored() -> bool:
        return bool(await _keys(system, f"thumbs/{media['id']}"))

    await eventually(stored)
    assert await _keys(system, f"media/{done['id']}/") == [f"media/{done['id']}/0.mp4"]

    spent = await _spent(system, campaign)
    assert spent == done["cost_cents"] > 0
    got = await system.http.delete(f"/api/v3/admin/storage/videos/{media['id']}")
    assert got.status_code == 204, got.text
    records = (f"/api/v3/generations/{done['id']}", f"/api/v3/media/{media['id']}/info")
    assert await _status(system, *records, *addresses) == {404}
    stats = await system.get(STATS)
    assert (stats["total_videos"], stats["total_size_bytes"]) == (
        before["total_videos"],
        before["total_size_bytes"],
    )

    async def removed() -> None:
        assert await _keys(system, f"media/{done['id']}/") == []
        assert await _keys(system, f"thumbs/{media['id']}") == []

    await eventually(removed, within=30.0)

    await _publish_late_download(system, done)
    await eventually(removed, within=30.0)
    later = await system.final_generation((await system.post("/api/v3/generations", wanted))["id"])
    assert later["status"] == "completed", later["error"]  # the events before it are handled by now
    assert await _status(system, *records, *addresses) == {404}
    assert done["id"] not in [each["id"] for each in (await system.get("/api/v3/generations"))["generations"]]
    assert await _spent(system, campaign) == spent + later["cost_cents"]
    for again in (done["id"], media["id"]):
        got = await system.http.delete(f"/api/v3/admin/storage/videos/{again}")
        assert got.status_code == 404, got.text
    got = await system.http.delete(f"/api/v3/generations/{done['id']}")
    assert got.status_code == 404


async def test_a_job_keeps_its_parts_while_it_runs_and_its_cut_outlives_its_clips(
    system: System, photos: list[Path]
) -> None:
    campaign = await system.campaign(photos[:2])
    job = await system.approved_job(campaign["id"], scene_count=1, music=None)
    scene = job["scenes"][0]["generation_id"]
    refused = await system.http.delete(f"/api/v3/generations/{scene}")
    assert refused.status_code == 409, refused.text
    done = await system.final_job(job["id"])
    assert done["status"] == "completed", done["error"]
    clip, cut = done["scenes"][0]["clip_url"], done["result"]["url"]
    assert await _status(system, clip, cut) == {200}

    got = await system.http.delete(f"/api/v3/generations/{scene}")
    assert got.status_code == 204, got.text
    later = await system.job(job["id"])
    assert (later["status"], later["cost_cents"]) == ("completed", done["cost_cents"])
    assert (later["scenes"][0]["clip_url"], later["scenes"][0]["clip"]) == ("", None)
    assert await _status(system, clip) == {404}
    assert await _status(system, cut, later["result"]["thumbnail_url"]) == {200}
    files = (await system.get(STATS))["files"]
    assert [each["url"] for each in files if each["job_id"] == job["id"]] == [cut]

    got = await system.http.delete(f"/api/v3/admin/storage/videos/{job['id']}")
    assert got.status_code == 204, got.text
    assert (await system.job(job["id"]))["result"] is None
    assert await _status(system, cut, f"/api/v3/videos/{job['id']}/combined") == {404}

    async def removed() -> None:
        for prefix in (f"cuts/{job['id']}/", f"thumbs/{job['id']}", f"media/{scene}/"):
            assert await _keys(system, prefix) == []

    await eventually(removed, within=30.0)
    assert await _spent(system, campaign) == done["cost_cents"] > 0


async def test_a_running_generation_is_not_deleted_and_the_way_out_is_shown(system: System) -> None:
    requested = await system.post(
        "/api/v3/generations", {"model": "rushes/title-card", "input": {"text": "Lake", "duration": 5}}
    )
    got = await system.http.delete(f"/api/v3/generations/{requested['id']}")
    assert got.status_code == 409, got.text
    assert f"/api/v3/generations/{requested['id']}/cancel" in got.json()["detail"]
    assert (await system.final_generation(requested["id"]))["status"] == "completed"
    wrong = await system.http.delete("/api/v3/admin/storage/videos/ast_x")
    assert wrong.status_code == 422
    assert "med_" in wrong.json()["detail"]


async def test_the_command_shows_what_is_stored(system: System, rushes: RunRushes) -> None:
    finished = await rushes("storage", "--data", str(system.data))
    assert finished.exit_code == 0, finished.output
    assert finished.output.split()[:3] == ["kind", "files", "size"]
    total = next(line for line in finished.output.splitlines() if line.startswith("total"))
    stats = await system.get(STATS)
    assert str(sum(each["count"] for each in stats["by_kind"].values())) in total.split()
    finished = await rushes(
        "storage", "cleanup", "--older-than", "1", "--dry-run", "--data", str(system.data)
    )
    assert finished.exit_code == 0, finished.output
    assert "Nothing ended more than 1 day ago" in finished.output
    wrong = await rushes("storage", "cleanup", "--older-than", "0", "--data", str(system.data))
    assert wrong.exit_code == 2


async def test_the_store_is_compared_with_the_records(system: System, rushes: RunRushes) -> None:
    requested = await system.post(
        "/api/v3/generations", {"model": "rushes/instant", "input": {"prompt": "x"}}
    )
    (media,) = (await system.final_generation(requested["id"]))["media"]
    finished = await rushes("storage", "check", "--data", str(system.data))
    assert (finished.exit_code, media["id"] in finished.output) == (0, False), finished.output
    async with _store(system) as store:
        await store.put(f"media/{requested['id']}/0.mp4", b"not the film", content_type="video/mp4")
    finished = await rushes("storage", "check", "--data", str(system.data))
    assert (finished.exit_code, media["id"] in finished.output) == (0, False), finished.output
    finished = await rushes("storage", "check", "--content", "--data", str(system.data))
    assert (finished.exit_code, media["id"] in finished.output) == (1, True), finished.output
    async with _store(system) as store:
        await store.delete(f"media/{requested['id']}/0.mp4")  # as a disk would
    finished = await rushes("storage", "check", "--data", str(system.data))
    assert finished.exit_code == 1
    assert media["id"] in finished.output, finished.output
    got = await system.http.delete(f"/api/v3/generations/{requested['id']}")
    assert got.status_code == 204, got.text
    finished = await rushes("storage", "check", "--data", str(system.data))
    assert finished.exit_code == 0, finished.output


async def test_orphans_are_swept_from_a_running_system(tmp_path: Path) -> None:
    stray, strange = f"assets/{new_id('asset')}/original.png", "notes/readme.txt"
    async with running_system(tmp_path / "data", env={"SWEEP_AFTER_S": "0.001"}) as system:
        async with _store(system) as store:
            for key in (stray, strange):
                await store.put(key, b"x", content_type="image/png")
        done = await system.final_generation(
            (await system.post("/api/v3/generations", {"model": "rushes/instant", "input": {"prompt": "x"}}))[
                "id"
            ],
        )
        system.kill("downloader")  # it sweeps when it starts

        async def swept() -> None:
            assert await _keys(system, "assets/") == []

        await eventually(swept, within=60.0)
        await system.bytes_of(done["media"][0]["url"])
        assert await _keys(system, "notes/") == [strange]
