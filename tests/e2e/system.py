"""Starts a whole Rushes system as processes, and gives tests access to it over its ports."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import httpx

from servicekit.clock import SystemClock
from servicekit.events import EventLog
from servicekit.testing import eventually

FINAL = ("completed", "failed", "canceled")


class System:
    """One running stack: its REST API, its processes, its sandbox."""

    def __init__(self, data: Path, process: asyncio.subprocess.Process) -> None:
        self.data = data
        self.process = process
        self.key = (data / "api-key").read_text().strip()
        self.http = httpx.AsyncClient(
            base_url=self.state["gateway"], headers={"X-API-Key": self.key}, timeout=30.0
        )
        self.outside = httpx.AsyncClient(timeout=30.0)

    @property
    def state(self) -> dict[str, Any]:
        return json.loads((self.data / "stack.json").read_text())

    def address(self, name: str) -> str:
        return next(each["address"] for each in self.state["processes"] if each["name"] == name)

    def health_addresses(self) -> dict[str, str]:
        return {each["name"]: each["health"] for each in self.state["processes"] if each["health"]}

    def pid(self, name: str) -> int:
        return next(each["pid"] for each in self.state["processes"] if each["name"] == name)

    def restarts(self, name: str) -> int:
        return next(each["restarts"] for each in self.state["processes"] if each["name"] == name)

    def kill(self, name: str) -> None:
        """By SIGKILL, like a crash."""
        os.kill(self.pid(name), signal.SIGKILL)

    # The REST API. Reads wait for a gateway that restarts.

    async def get(self, path: str, **query: Any) -> Any:
        async def answer() -> httpx.Response | Literal[False]:
            try:
                got = await self.http.get(path, params=query)
            except httpx.TransportError:
                return False
            return got if got.status_code < 500 else False

        got = await eventually(answer, within=30.0)
        assert got.is_success, got.text
        return got.json()

    async def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        got = await self.http.post(path, json=dict(body or {}))
        assert got.is_success, f"{path}: {got.status_code} {got.text}"
        return got.json()

    async def campaign(self, photos: list[Path], **more: Any) -> dict[str, Any]:
        client = await self.post("/api/v3/clients", {"name": "Harbour Homes"})
        campaign = await self.post("/api/v3/campaigns", {"name": "Spring", "client_id": client["id"], **more})
        for photo in photos:
            got = await self.http.post(
                "/api/v3/assets",
                data={"campaign_id": campaign["id"], "tags": ",".join(photo.stem.split("_"))},
                files={"file": (photo.name, photo.read_bytes())},
            )
            assert got.status_code == 201, got.text
        return dict(campaign)

    async def approved_job(self, campaign_id: str, **request: Any) -> dict[str, Any]:
        job = await self.post(
            f"/api/v3/campaigns/{campaign_id}/create-job",
            {"scene_count": 2, "scene_seconds": 1, "size": "640x360", "music": {"prompt": "calm"}, **request},
        )
        return await self.post(f"/api/v3/jobs/{job['id']}/approve")

    async def job(self, job_id: str) -> dict[str, Any]:
        return await self.get(f"/api/v3/jobs/{job_id}")

    async def final_job(self, job_id: str, *, within: float = 90.0) -> dict[str, Any]:
        return await self._final(f"/api/v3/jobs/{job_id}", within)

    async def final_generation(self, generation_id: str, *, within: float = 60.0) -> dict[str, Any]:
        return await self._final(f"/api/v3/generations/{generation_id}", within)

    async def _final(self, path: str, within: float) -> dict[str, Any]:
        async def final() -> dict[str, Any] | Literal[False]:
            record = await self.get(path)
            return record if record["status"] in FINAL else False

        return dict(await eventually(final, within=within, every=0.2))

    async def generations(self, job_id: str) -> list[dict[str, Any]]:
        return (await self.get("/api/v3/generations", job_id=job_id, page_size=200))["generations"]

    async def bytes_of(self, path: str) -> bytes:
        got = await self.http.get(path)
        assert got.status_code == 200, got.text
        return got.content

    async def events(self, job_id: str) -> list[tuple[str, dict[str, Any]]]:
        """Every event of a job in the log, oldest first, up to its last one, as type and data."""
        found: list[tuple[str, dict[str, Any]]] = []
        async with self.http.stream(
            "GET", f"/api/v3/jobs/{job_id}/events", headers={"Last-Event-ID": "0"}
        ) as answer:
            kind = ""
            async for line in answer.aiter_lines():
                if line.startswith("event:"):
                    kind = line.split(":", 1)[1].strip()
                elif line.startswith("data:"):
                    found.append((kind, json.loads(line.split(":", 1)[1])))
                    if kind in ("job.completed", "job.failed", "job.canceled"):
                        return found
        return found

    async def generation(self, model: str) -> dict[str, Any]:
        return dict(await self.post("/api/v3/generations", {"model": model, "input": {"prompt": "x"}}))

    # The sandbox: its faults, and its own records.

    async def fault(self, name: str, **more: Any) -> None:
        got = await self.outside.post(
            f"{self.address('sandbox')}/sandbox/faults", json={"fault": name, **more}
        )
        assert got.is_success, got.text

    async def mend(self) -> None:
        """Take back every fault, and the rate that one may have cut: it would hold for ten minutes."""
        await self.outside.delete(f"{self.address('sandbox')}/sandbox/faults")
        log = EventLog(self.address("nats"), service="tests", clock=SystemClock(), streams=())
        await log.start()
        try:
            state = await (bucket := await log.bucket("rate_limits")).get("replicate")
            if state is not None and state[0]["spacing"]:
                await bucket.delete("replicate", revision=state[1])
        finally:
            await log.stop()

    async def charges(self) -> list[dict[str, Any]]:
        got = await self.outside.get(f"{self.address('sandbox')}/sandbox/ledger")
        return list(got.json()["charges"])

    async def predictions(self) -> list[dict[str, Any]]:
        got = await self.outside.get(f"{self.address('sandbox')}/sandbox/predictions")
        return list(got.json()["predictions"])

    async def close(self) -> None:
        await self.http.aclose()
        await self.outside.aclose()


def count_by_subject(events: list[tuple[str, dict[str, Any]]], kind: str) -> Counter[str]:
    """How often there was an event of one type for each job, or output of a generation."""
    counted: Counter[str] = Counter()
    for type_, data in events:
        if type_ == kind:
            record = data.get("prediction", data)
            counted[f"{record.get('generation_id') or record.get('job_id')}:{data.get('index', 0)}"] += 1
    return counted


@asynccontextmanager
async def running_system(
    data: Path, *arguments: str, env: Mapping[str, str] | None = None
) -> AsyncIterator[System]:
    """Runs `rushes up` on a data folder; stops it in order at the end."""
    data.mkdir(parents=True, exist_ok=True)
    log = data / "up.log"
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "rushes_cli", "up", "--data", str(data), *arguments,
            stdout=out, stderr=out, env={**os.environ, **(env or {})},
        )  # fmt: skip

    def up() -> bool:
        if process.returncode is not None:  # it has failed
            raise RuntimeError(log.read_text())
        return (data / "stack.json").exists()

    try:
        await eventually(up, within=90.0)
        system = System(data, process)
        try:
            # The gateway may have looked for the catalog before it was there, and looks again in a moment.
            await system.get("/api/v3/jobs", page_size=1)
            yield system
        finally:
            await system.close()
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), 45.0)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise
