"""Two replicas of every service that can have them: limits hold over both, and nothing is done twice."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from tests.e2e.system import System, count_by_subject, running_system

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

TWICE = ("generator", "downloader", "stitcher", "gateway")
LIMIT, SPACING_S = 3, 1.0
LATE_S = 0.5
"""How much later than planned a busy machine may send."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def doubled(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    data = tmp_path_factory.mktemp("doubled")
    flags = [part for name in TWICE for part in ("--replicas", f"{name}=2")]
    env = {
        "RUSHES_TRACE_FILE": str(data / "traces.jsonl"),
        "REPLICATE_MAX_CONCURRENCY": str(LIMIT),
        "REPLICATE_START_DELAY_MS": str(int(SPACING_S * 1000)),
    }
    async with running_system(data, *flags, env=env) as running:
        yield running


async def test_limits_hold_over_both_and_nothing_is_done_twice(doubled: System, photos: list[Path]) -> None:
    campaign = await doubled.campaign(photos[:8])
    jobs = await asyncio.gather(*(doubled.approved_job(campaign["id"], scene_count=3) for _ in range(2)))
    done = await asyncio.gather(*(doubled.final_job(job["id"], within=120.0) for job in jobs))
    assert [job["status"] for job in done] == ["completed", "completed"]

    predictions = await doubled.predictions()
    assert len(predictions) == 8, "two jobs of three scenes and a piece of music each"
    assert len(await doubled.charges()) == 8
    starts = sorted(_time(each["created_at"]) for each in predictions)
    assert min(b - a for a, b in pairwise(starts)) >= SPACING_S - LATE_S
    # Two replicas that space their starts each for itself would send twice as fast.
    assert starts[LIMIT - 1] - starts[0] >= (LIMIT - 1) * SPACING_S - LATE_S
    moments = [(_time(p["created_at"]), 1) for p in predictions] + [
        (_time(p["completed_at"]), -1) for p in predictions
    ]
    in_flight = peak = 0
    for _, change in sorted(moments):
        in_flight += change
        peak = max(peak, in_flight)
    assert 1 < peak <= LIMIT

    for job in jobs:
        events = await doubled.events(job["id"])
        for kind in ("attempt.intended", "prediction.succeeded", "download.completed", "stitch.completed"):
            counted = count_by_subject(events, kind)
            assert counted, kind
            assert set(counted.values()) == {1}, f"{kind}: {counted}"


async def test_both_replicas_of_each_consumer_handle_events(doubled: System) -> None:
    handled: Counter[tuple[str, str]] = Counter()
    for line in (doubled.data / "traces.jsonl").read_text().splitlines():
        span = json.loads(line)
        if span["kind"] == "consumer" and span["service"] != "gateway":  # whose webhooks come to the first
            handled[span["service"], span["instance"]] += 1
    took_part = Counter(service for service, _ in handled if service in TWICE)
    assert took_part == {"generator": 2, "downloader": 2, "stitcher": 2}, handled


async def test_both_gateways_answer(doubled: System) -> None:
    for name in ("gateway-1", "gateway-2"):
        got = await doubled.outside.get(
            f"{doubled.address(name)}/api/v3/jobs", headers=dict(doubled.http.headers)
        )
        assert got.status_code == httpx.codes.OK
        assert len(got.json()["jobs"]) == 2


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
