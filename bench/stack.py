"""Starts the whole system by `rushes up`, with clients for what a benchmark needs of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from nats.js.api import ConsumerConfig, DeliverPolicy

from bench.memory import tree
from events.topology import streams
from servicekit.blobs import BlobStore
from servicekit.clock import SystemClock
from servicekit.embedded.s3 import LOCAL_SECRET
from servicekit.events import Event, EventLog
from servicekit.events.event import from_message
from servicekit.events.topology import STREAM

START_S = 120.0
STOP_S = 60.0
FINAL_S = 180.0
"""Seconds without an end of a generation after which a benchmark gives up."""

SERVICES = ("gateway", "catalog", "generator", "downloader", "stitcher", "sandbox", "nats", "s3")


@dataclass(frozen=True)
class LoggedEvent:
    """`stored`: when the log stored it."""

    event: Event
    stored: datetime


class Stack:
    """A running system, with clients of REST, log, store and sandbox."""

    def __init__(self, data: Path) -> None:
        state = json.loads((data / "stack.json").read_text())
        self._processes = {each["name"]: each for each in state["processes"]}
        key = {"X-API-Key": (data / "api-key").read_text().strip()}
        limits = httpx.Limits(max_connections=100, max_keepalive_connections=100)
        self.rest = httpx.AsyncClient(base_url=state["gateway"], headers=key, timeout=60, limits=limits)
        self.provider = httpx.AsyncClient(base_url=self.address("sandbox"), timeout=60)
        self.log = EventLog(self.address("nats"), service="bench", clock=SystemClock(), streams=streams())
        self.blobs = BlobStore(self.address("s3"), "rushes", LOCAL_SECRET, "rushes")

    async def start(self) -> None:
        await self.log.start()
        await self.blobs.start()

    async def stop(self) -> None:
        await self.blobs.stop()
        await self.log.stop()
        await self.rest.aclose()
        await self.provider.aclose()

    def address(self, name: str) -> str:
        return str(self._processes[name]["address"])

    def cpu_s(self) -> dict[str, float]:
        """Seconds of processor that each process has used until now, with its children."""
        return {name: _cpu_s(each["pid"]) for name, each in self._processes.items()}

    async def generate(self, model: str, **value: Any) -> str:
        """Request one generation; returns its id."""
        got = await self.rest.post("/api/v3/generations", json={"model": model, "input": value})
        assert got.is_success, got.text
        return str(got.json()["id"])

    async def generate_all(self, model: str, count: int) -> list[str]:
        """Request many generations, a hundred at a time; returns their ids."""
        ids: list[str] = []
        while len(ids) < count:
            wanted = [{"model": model, "input": {}}] * min(100, count - len(ids))
            got = await self.rest.post("/api/v3/generations:batch", json={"requests": wanted})
            assert got.is_success, got.text
            ids += [each["id"] for each in got.json()["generations"]]
        return ids

    async def ends(self) -> AsyncIterator[Event]:
        """The last event of every generation that ends from now on."""
        return await self.log.tail(("generation.completed.>", "generation.failed.>"))

    async def events(self, after: int) -> list[LoggedEvent]:
        """Everything in the log after that sequence."""
        end = (await self.log.js.stream_info(STREAM)).state.last_seq
        start = ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=after + 1)
        subscription = await self.log.js.subscribe(">", stream=STREAM, ordered_consumer=True, config=start)
        events: list[LoggedEvent] = []
        while after < end:
            message = await subscription.next_msg(timeout=10)
            stored = message.metadata.timestamp.astimezone(UTC)
            events.append(LoggedEvent(from_message(message), stored))
            after = message.metadata.sequence.stream
        await subscription.unsubscribe()
        return events

    async def last_sequence(self) -> int:
        return (await self.log.js.stream_info(STREAM)).state.last_seq


async def all_ended(ends: AsyncIterator[Event], ids: Sequence[str]) -> None:
    """Wait until all of them are completed. One that fails ends the measurement."""
    waiting = set(ids)
    while waiting:
        event = await asyncio.wait_for(anext(ends), FINAL_S)
        if event.refs.get("generation") in waiting:
            assert event.type == "generation.completed", event
            waiting.discard(event.refs["generation"])


@asynccontextmanager
async def running_stack(env: Mapping[str, str] | None = None) -> AsyncIterator[Stack]:
    """`rushes up` on a fresh data folder, with the sandbox as provider; stopped in order at the end."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("REPLICATE_", "BLOB_"))}
    for name in ("NATS_URL", "DATABASE_URL", "PUBLIC_URL"):
        own.pop(name, None)
    with tempfile.TemporaryDirectory(prefix="rushes-bench-", ignore_cleanup_errors=True) as folder:
        data = Path(folder)
        with (data / "up.log").open("wb") as out:
            up = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "rushes_cli", "up", "--data", folder),
                stdout=out, stderr=out, env={**own, **(env or {})},
            )  # fmt: skip
        try:
            async with asyncio.timeout(START_S):
                while not (data / "stack.json").exists():
                    assert up.returncode is None, (data / "up.log").read_text()
                    await asyncio.sleep(0.1)
            stack = Stack(data)
            await stack.start()
            try:
                yield stack
            finally:
                await stack.stop()
        finally:
            if up.returncode is None:
                up.send_signal(signal.SIGTERM)
            await asyncio.wait_for(up.wait(), STOP_S)


def _cpu_s(pid: int) -> float:
    """Of the process, its children that live, and those that it has reaped."""
    ticks = 0
    for each in tree(pid):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        ticks += sum(int(field) for field in fields[11:15])  # proc(5): user and system, its own and reaped
    return ticks / os.sysconf("SC_CLK_TCK")
