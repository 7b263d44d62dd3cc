"""What operators see: health, readiness, metrics, the order of stopping, and the settings."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest

from servicekit.errors import Unavailable
from servicekit.readiness import readiness
from servicekit.testing import eventually


async def test_readiness_names_what_is_missing_and_stops_first(fresh: Any) -> None:
    ready = await fresh.http.get("/readyz")
    assert (ready.status_code, set(ready.json()["checks"].values())) == (200, {"ok"})
    async with fresh.http.stream("GET", "/api/v3/events") as stream:
        readiness = fresh.gateway.parts[-1]
        await readiness.stop()
        # The live stream ends by itself, and the port still answers: not ready.
        async with asyncio.timeout(5):
            assert b"retry:" in b"".join([chunk async for chunk in stream.aiter_bytes()])
    answer = await fresh.http.get("/readyz")
    assert (answer.status_code, answer.json()["checks"]["gateway"]) == (503, "stopping")
    assert (await fresh.http.get("/healthz")).status_code == 200


async def test_a_catalog_that_is_away_makes_503_and_not_ready(fresh: Any) -> None:
    assert (await fresh.http.get("/api/v3/clients")).status_code == 200  # the key is remembered
    await fresh.server.stop()
    answer = await fresh.http.get("/api/v3/clients")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    ready = await fresh.http.get("/readyz")
    assert (ready.status_code, ready.json()["checks"]["catalog"]) == (503, "unavailable")
    await fresh.nats.kill()

    async def away() -> None:
        assert (await fresh.http.get("/readyz")).json()["checks"]["events"] == "unavailable"

    await eventually(away)


async def test_a_part_that_is_away_is_named_once_and_by_its_own_check(fresh: Any) -> None:
    ready = readiness(fresh.gateway.parts)
    await ready()
    await fresh.nats.kill()

    async def away() -> None:
        with pytest.raises(Unavailable, match=r"^EventLog: [^;]*$"):
            await ready()

    await eventually(away)
    assert (await fresh.http.get("/readyz")).json()["checks"]["events"] == "unavailable"
    await fresh.server.stop()
    with pytest.raises(Unavailable, match=r"^EventLog: [^;]*; Readiness: catalog: unavailable$"):
        await ready()


async def test_metrics_name_routes_by_template(fresh: Any) -> None:
    await fresh.http.get("/api/v3/jobs/whatever")
    text = (await fresh.http.get("/metrics")).text
    assert 'route="/api/v3/jobs/{id}"' in text
    assert "whatever" not in text


def test_missing_settings_are_reported_at_once() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gateway"], env={}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    for env in ("SIGNING_KEY", "BLOB_ENDPOINT", "CATALOG_ADDRESS", "STITCHER_ADDRESS"):
        assert env in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
