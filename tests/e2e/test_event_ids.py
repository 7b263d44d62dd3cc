"""Compares the envelope of every event of a whole run with a golden file: type, subject, id, source, refs.

Ids of events are deterministic, and duplicates are recognised by them, also across an upgrade of one service:
whoever changes how they are made sees it here.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from events.topology import streams
from servicekit.clock import SystemClock
from servicekit.events import Event, EventLog
from servicekit.testing import eventually
from tests.e2e.system import System, running_system

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

GOLDEN = Path(__file__).parent / "golden" / "event_ids.json"
REWRITE = "RUSHES_REWRITE_GOLDEN"
"""Set in the environment, it makes this test write the golden file instead of comparing with it."""
QUIET_S = 8.0
"""The log of a rewritten file had no new event for so long."""

ID = re.compile(r"([a-z]+)_[0-7][0-9A-HJKMNP-TV-Z]{25}")
MILLISECONDS = re.compile(r"\b1\d{12}\b")


@dataclass
class Run:
    """What was made, in the order of its making."""

    system: System
    log: EventLog
    ids: list[str] = field(default_factory=list)
    read: list[Event] = field(default_factory=list)
    stuck: str = ""
    """The generation whose prediction runs until it is canceled."""

    async def generation(self, model: str, **more: Any) -> str:
        made = await self.system.post(
            "/api/v3/generations", {"model": model, "input": {"prompt": "x"}, **more}
        )
        self.ids.append(made["id"])
        return str(made["id"])

    async def job(self, campaign_id: str, **more: Any) -> dict[str, Any]:
        job = await self.system.approved_job(campaign_id, **more)
        self.ids.append(job["id"])
        self.ids += [each["generation_id"] for each in (*job["scenes"], job["edit"]["music"]) if each]
        return job

    async def finished(self, generation_id: str, status: str) -> None:
        done = await self.system.final_generation(generation_id)
        assert done["status"] == status, done

    async def delete(self, path: str) -> None:
        got = await self.system.http.delete(path)
        assert got.status_code == 204, got.text

    async def reported(self, type_: str, key: str, id_end: str = "") -> None:
        """Wait for an event."""

        async def there() -> bool:
            events = await self.events()
            return any((each.type, each.key) == (type_, key) and each.id.endswith(id_end) for each in events)

        await eventually(there, within=40.0, every=0.2)

    @asynccontextmanager
    async def fault(self, name: str, **more: Any) -> AsyncIterator[None]:
        """A fault at the provider, for as long as the block lasts."""
        await self.system.fault(name, **more)
        try:
            yield
        finally:
            await self.system.mend()

    async def events(self) -> list[Event]:
        """The log from its first event to the one that is last now; each is read once."""
        end = (await self.log.js.stream_info("RUSHES")).state.last_seq
        last = self.read[-1].sequence if self.read else 0
        if end > last:
            async with aclosing(await self.log.tail(after=last)) as events:
                async for event in events:
                    self.read.append(event)
                    if event.sequence >= end:
                        break
        return self.read

    async def envelopes(self) -> list[dict[str, Any]]:
        """The events without what depends on timing, each once, in a steady order."""
        events = [event for event in await self.events() if not self._depends_on_timing(event)]
        labels = Labels(self.ids)
        by_id = {event.id: labels.envelope(event) for event in events}
        return sorted(by_id.values(), key=lambda each: (each["type"], each["id"]))

    def _depends_on_timing(self, event: Event) -> bool:
        """Whether another run may have it or not, or this test has published it.

        A prediction that ends before the first poll has no `prediction.started`.
        """
        short = event.type == "prediction.started" and event.key != self.stuck
        return short or event.type.endswith(".progressed") or event.source == "test"


class Labels:
    """Names that are the same in each run: `gen_3` is the third generation, `att_3.2` its second attempt."""

    def __init__(self, ids: list[str]) -> None:
        self._labels: dict[str, str] = {}
        self._counts: Counter[str] = Counter()
        for each in ids:
            self._shown(each, "")

    def envelope(self, event: Event) -> dict[str, Any]:
        generation = self._labels.get(event.refs.get("generation", ""), "").removeprefix("gen_")
        return {
            "type": event.type,
            "subject": self._shown(event.subject, generation),
            "id": self._shown(event.id, generation),
            "source": event.source,
            "refs": {name: self._shown(value, "") for name, value in sorted(event.refs.items())},
        }

    def _shown(self, text: str, generation: str) -> str:
        def label(found: re.Match[str]) -> str:
            if found.group() not in self._labels:
                kind = f"{found.group(1)}_{generation}." if generation else f"{found.group(1)}_"
                self._counts[kind] += 1
                self._labels[found.group()] = f"{kind}{self._counts[kind]}"
            return self._labels[found.group()]

        return MILLISECONDS.sub("<ms>", ID.sub(label, text))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def run(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Run]:
    """A system whose log begins with this run.

    Nothing counts as stalled before the run is over: on a busy machine that would be one round more.
    """
    env = {"STALLED_AFTER_S": "600", "SUBMIT_WINDOW_S": "4", "REPLICATE_START_DELAY_MS": "50"}
    async with running_system(tmp_path_factory.mktemp("events") / "data", env=env) as system:
        log = EventLog(system.address("nats"), service="test", clock=SystemClock(), streams=streams())
        await log.start()
        yield Run(system, log)
        await log.stop()


async def test_each_event_has_the_envelope_it_had(run: Run, photos: list[Path]) -> None:
    campaign = await run.system.campaign(photos[:3])
    assets = (await run.system.get(f"/api/v3/campaigns/{campaign['id']}/assets"))["assets"]
    run.ids += [campaign["id"], *sorted(each["id"] for each in assets)]
    await _jobs(run, campaign["id"])
    await _deletions(run, run.ids[1])
    await _errors(run, campaign["id"])

    if os.environ.get(REWRITE):
        GOLDEN.write_text(_as_lines(await _quiet(run)))
    golden = json.loads(GOLDEN.read_text())

    async def same() -> None:
        seen = await run.envelopes()
        different = [f"- {each}" for each in golden if each not in seen]
        different += [f"+ {each}" for each in seen if each not in golden]
        if different:
            raise AssertionError("\n".join([f"{REWRITE}=1 writes {GOLDEN.name} anew:", *different]))

    await eventually(same, within=40.0, every=0.2)


async def _jobs(run: Run, campaign_id: str) -> None:
    """One that is completed, one that fails, one that is paused and resumed, and two that are canceled."""
    job = await run.job(campaign_id)
    done = await run.system.final_job(job["id"])
    assert done["status"] == "completed", done["error"]
    await run.delete(f"/api/v3/admin/storage/videos/{job['id']}")

    async with run.fault("E005", count=1):
        job = await run.job(campaign_id, scene_count=1, music=None)
        assert (await run.system.final_job(job["id"]))["status"] == "failed"

    async with run.fault("stuck_processing", count=1):
        job = await run.job(campaign_id, scene_count=1, music=None)
        run.stuck = job["scenes"][0]["generation_id"]
        await run.reported("prediction.started", run.stuck)
        for action in ("pause", "resume", "cancel"):
            await run.system.post(f"/api/v3/jobs/{job['id']}/{action}")
        await run.finished(run.stuck, "canceled")

    draft = await run.system.post(f"/api/v3/campaigns/{campaign_id}/create-job", {"scene_count": 1})
    run.ids.append(draft["id"])
    await run.system.post(f"/api/v3/jobs/{draft['id']}/cancel")


async def _deletions(run: Run, asset_id: str) -> None:
    """An asset, and a generation of a batch whose output comes once more after it is deleted."""
    wanted = {"model": "rushes/instant", "input": {"prompt": "x"}}
    batch = await run.system.post("/api/v3/generations:batch", {"requests": [wanted, wanted]})
    first, second = (str(each["id"]) for each in batch["generations"])
    run.ids += [first, second]
    for each in (first, second):
        await run.finished(each, "completed")
    await run.delete(f"/api/v3/generations/{second}")
    await run.delete(f"/api/v3/assets/{asset_id}")
    stored = await run.log.js.get_last_msg("RUSHES", f"download.completed.{second}")
    await run.log.publish(Event(f"{second}:again", "download.completed", second, stored.data or b""))


async def _errors(run: Run, campaign_id: str) -> None:
    """What is tried again or adopted, outputs that are lost and found, and an output that is gone."""
    run_id = await run.generation("rushes/still", input={"prompt": "a kitchen", "num_outputs": 2})
    await run.finished(run_id, "completed")
    for fault in ("E6716", "429_header", "reset"):  # failed in passing, too busy, an answer that got lost
        async with run.fault(fault, count=1):
            await run.finished(await run.generation("rushes/instant", campaign_id=campaign_id), "completed")

    async with run.fault("redirect_private"):
        found, gone = [await run.generation("rushes/instant", campaign_id=campaign_id) for _ in range(2)]
        for each in (found, gone):
            await run.finished(each, "failed")
    await run.system.post(f"/api/v3/admin/downloads/{found}/requeue")
    await run.reported("generation.completed", found)
    # The provider's time alone: it has deleted everything by now.
    moved = await run.system.outside.post(
        f"{run.system.address('sandbox')}/sandbox/clock", json={"advance": 7200}
    )
    assert moved.is_success, moved.text
    await run.system.post(f"/api/v3/admin/downloads/{gone}/requeue")
    await run.reported("generation.failed", gone, ":2")


async def _quiet(run: Run) -> list[dict[str, Any]]:
    """The envelopes, once nothing new comes."""
    seen: list[dict[str, Any]] = []
    since = 0.0
    clock = SystemClock()

    async def unchanged() -> bool:
        nonlocal seen, since
        now = await run.envelopes()
        if now != seen:
            seen, since = now, clock.monotonic()
        return clock.monotonic() - since > QUIET_S

    await eventually(unchanged, within=60.0, every=0.2)
    return seen


def _as_lines(envelopes: list[dict[str, Any]]) -> str:
    """JSON with one event a line: so that a difference is a line."""
    return "[\n" + ",\n".join(json.dumps(each) for each in envelopes) + "\n]\n"
