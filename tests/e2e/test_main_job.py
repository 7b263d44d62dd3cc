"""The main job through real processes: everything is there, once, paid once, and one trace."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from servicekit.testing import eventually
from tests.e2e.system import System
from tools.probe_cut import measure

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]


async def test_photos_become_a_cut(system: System, photos: list[Path], tmp_path: Path) -> None:
    before = len(await system.charges())
    campaign = await system.campaign(photos)
    job = await system.approved_job(campaign["id"], scene_count=3)
    done = await system.final_job(job["id"])

    assert done["status"] == "completed", done["error"]
    assert done["progress"]["percent"] == 100
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(await system.bytes_of(done["result"]["url"]))
    seen = measure(cut)
    assert abs(seen.seconds - 3.0) < 0.1
    assert seen.size == (640, 360)
    assert seen.audio == ["aac"]
    assert seen.loudness > 0.003
    assert seen.boxes.index("moov") < seen.boxes.index("mdat")

    generations = await system.generations(job["id"])
    assert len(generations) == 4, "three scenes and the music"
    assert all(
        g["status"] == "completed" and g["attempts"] == 1 and len(g["media"]) == 1 for g in generations
    )
    assert len(await system.charges()) - before == 4
    assert done["cost_cents"] > 0
    for scene in done["scenes"]:
        clip = await system.bytes_of(scene["clip_url"])
        assert len(clip) == scene["clip"]["facts"]["size_bytes"]
        half = await system.http.get(scene["clip_url"], headers={"Range": f"bytes={len(clip) // 2}-"})
        assert (half.status_code, half.content) == (206, clip[len(clip) // 2 :])


async def test_the_demo_does_the_job_at_a_system_that_runs_elsewhere(system: System, tmp_path: Path) -> None:
    """As an operator tries a cluster: with an address and a key, and a data folder of no stack."""
    out = tmp_path / "cut.mp4"
    command = ["demo", "--at", system.state["gateway"], "--scenes", "1", "--seconds", "1", "--out", str(out)]
    environ = {**os.environ, "RUSHES_API_KEY": system.key, "RUSHES_DATA": str(tmp_path)}
    demo = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "rushes_cli", *command, env=environ, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await demo.communicate()
    assert demo.returncode == 0, printed
    assert abs(measure(out).seconds - 1.0) < 0.1
    assert f"API        {system.state['gateway']}/docs" in printed.decode()


async def test_no_address_of_the_provider_is_shown(system: System, photos: list[Path]) -> None:
    campaign = await system.campaign(photos[:4])
    job = await system.approved_job(campaign["id"])
    await system.final_job(job["id"])
    shown = json.dumps(
        [await system.job(job["id"]), await system.generations(job["id"]), await system.events(job["id"])]
    )
    sandbox = system.address("sandbox").removeprefix("http://")
    assert sandbox not in shown
    assert "/files/" not in shown


async def test_one_job_is_one_trace_across_http_grpc_and_events(system: System, photos: list[Path]) -> None:
    campaign = await system.campaign(photos[:4])
    job = await system.post(
        f"/api/v3/campaigns/{campaign['id']}/create-job",
        {"scene_count": 1, "scene_seconds": 1, "size": "640x360"},
    )
    approve = await system.http.post(
        f"/api/v3/jobs/{job['id']}/approve",
        json={},
        headers={"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
    )
    assert approve.is_success, approve.text
    await system.final_job(job["id"])

    def services() -> set[str]:
        mine = [span for span in spans(system) if span["trace_id"] == "0af7651916cd43dd8448eb211c80319c"]
        parents = {span["span_id"]: span["service"] for span in mine}
        edges = defaultdict(set)
        for span in mine:
            if span["parent_id"] in parents:
                edges[parents[span["parent_id"]]].add(span["service"])
        wanted = {
            "gateway": {"catalog"},  # HTTP in, gRPC out
            "catalog": {"generator", "stitcher"},  # through the outbox and the log
            "generator": {"catalog", "downloader"},  # gRPC, and the log
            "downloader": {"catalog"},  # the log
            "stitcher": {"catalog"},
        }
        missing = {f"{a} → {b}" for a, into in wanted.items() for b in into if b not in edges[a]}
        assert not missing, f"spans that are not joined: {sorted(missing)}"
        return {span["service"] for span in mine}

    assert await eventually(services, within=10.0) >= {
        "gateway",
        "catalog",
        "generator",
        "downloader",
        "stitcher",
    }


async def test_what_was_done_for_a_job_is_found_by_its_id(system: System, photos: list[Path]) -> None:
    campaign = await system.campaign(photos[:4])
    job = await system.approved_job(campaign["id"], scene_count=1)
    done = await system.final_job(job["id"])
    of_job = {"job_id": job["id"]}

    def traced() -> set[tuple[str, str]]:
        mine = [span for span in spans(system) if span["attributes"].items() >= of_job.items()]
        assert len({span["trace_id"] for span in mine if span["service"] == "generator"}) == 1
        return {(span["service"], span["name"]) for span in mine}

    assert await eventually(traced, within=10.0) >= {
        ("catalog", "plan job"),
        ("gateway", "POST /api/v3/jobs/{id}/approve"),
        ("generator", "handle generation.requested"),
        ("downloader", "handle prediction.succeeded"),
        ("stitcher", "handle stitch.requested"),
        ("catalog", "handle stitch.completed"),
    }
    generation = {**of_job, "generation_id": done["scenes"][0]["generation_id"]}
    assert any(span["attributes"].items() >= generation.items() for span in spans(system))
    for service, event in (("gateway", "http"), ("stitcher", "cut completed")):
        text = (system.data / f"logs/{service}.log").read_text()
        lines = (json.loads(line) for line in text.splitlines() if line.startswith("{"))
        mine = [line for line in lines if line["event"] == event and line.get("job_id") == job["id"]]
        assert mine
        assert all(line["trace_id"] for line in mine)


async def test_probes_leave_no_trace(system: System) -> None:
    await system.outside.get(f"{system.address('gateway')}/readyz")  # which asks every service for its health
    await system.post("/api/v3/clients", {"name": "Probed"})
    written = await eventually(lambda: [s["name"] for s in spans(system) if s["name"].endswith("/clients")])
    assert written
    assert not [s["name"] for s in spans(system) if "ealth" in s["name"] or s["name"].endswith("/readyz")]


def spans(system: System) -> list[dict[str, Any]]:
    """What all services have traced by now."""
    return [json.loads(line) for line in (system.data / "traces.jsonl").read_text().splitlines() if line]
