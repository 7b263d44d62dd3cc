"""B12: a catalog rebuilt from its journal: entries a second, from the first read to the commit."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from statistics import median

from bench.measure import Line, Scale
from catalog.adapters.db.migrate import Migrator
from catalog.adapters.journal.documents import JOURNAL, event_of
from catalog.adapters.rebuild import Rebuild
from catalog.core.generations.domain.attempts import (
    begin_attempt,
    next_step,
    record_submitted,
    record_succeeded,
)
from catalog.core.generations.domain.events import Events
from catalog.core.generations.domain.evolve import fold
from catalog.core.generations.domain.model import Generation
from catalog.core.generations.domain.outputs import record_stored
from catalog.core.generations.domain.requesting import create_generation
from catalog.core.journal.domain.entry import Entry, generation_entry
from catalog.core.shared.domain import Facts, MediaKind, RunSpec
from servicekit.clock import SystemClock
from servicekit.database.engine import open_engine
from servicekit.events import EventLog
from servicekit.ids import new_id
from servicekit.testing import nats_server, postgres_url, sqlite_url

BAR_A_SECOND = 2000
AT_ONCE = 200
"""Entries on their way to the log while it is filled."""

NOTE = (
    "B12: a journal of generations that went well, five entries with eight events each, in an embedded "
    "nats-server; read, folded and written into an empty database in one process. An entry is one message, "
    "and counts once, however many events it has. The migrations are done before."
)
RUN = RunSpec(
    "replicate",
    "black-forest-labs/flux-1.1-pro",
    "5aec2b8b1c1c",
    MediaKind.IMAGE,
    {"prompt": "a villa by the sea at dusk, warm light in every window, slow push in", "seed": 7, "n": 1.5},
    40_000,
    "price table",
    60_000,
    300.0,
)
FACTS = Facts(MediaKind.IMAGE, "image/png", 1_480_222, "ab" * 32, 0.0, 1024, 1024, 0.0, ("png",))


async def measure(scale: Scale) -> list[Line]:
    """Lines for both databases."""
    lives = scale.of(10_000, 20)
    async with nats_server() as nats:
        log = EventLog(nats.url, service="bench", clock=SystemClock(), streams=(JOURNAL,))
        await log.start()
        entries = await _fill(log, lives)
        with tempfile.TemporaryDirectory(prefix="rushes-bench-") as folder:
            samples = {"SQLite": list[float](), "PostgreSQL": list[float]()}
            for _ in range(scale.of(3, 1)):
                async with sqlite_url(Path(folder)) as url:
                    samples["SQLite"].append(entries / await _rebuild(url, log))
                async with postgres_url() as url:
                    samples["PostgreSQL"].append(entries / await _rebuild(url, log))
        await log.stop()
    return [
        Line(
            "B12",
            f"{entries:,} entries, {name}",
            "/s",
            rates,
            bar=f"≥ {BAR_A_SECOND:,}/s",
            holds=None if scale.quick else median(rates) >= BAR_A_SECOND,
            note=NOTE,
        )
        for name, rates in samples.items()
    ]


async def _fill(log: EventLog, lives: int) -> int:
    """Publish so many lives; answers how many entries that were."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def live(number: int) -> int:
        async with slots:
            entries = _life(f"p{number}")
            for entry in entries:
                await log.publish(event_of(entry))
        return len(entries)

    return sum(await asyncio.gather(*(live(number) for number in range(lives))))


async def _rebuild(url: str, log: EventLog) -> float:
    """Seconds."""
    engine = open_engine(url)
    migrator = Migrator(engine)
    await migrator.start()
    try:
        begun = time.perf_counter()
        report = await Rebuild(engine, log, SystemClock(), stalled_after=timedelta(seconds=60)).run()
        took = time.perf_counter() - begun
        if report.gaps or report.unreadable:
            raise AssertionError(f"the journal is not whole: {report}")
    finally:
        await migrator.stop()
    return took


def _life(prediction_id: str) -> Sequence[Entry]:
    """The entries of a generation that goes well."""
    at = SystemClock().now()
    entries: list[Entry] = []
    state: Generation | None = None

    def happen(events: Events) -> Generation:
        nonlocal state
        before = state
        after = fold(before, events)
        if after is None:
            raise AssertionError("a life begins with an event")
        state = replace(after, revision=after.revision + 1)
        entries.append(generation_entry(before, state, events))
        return state

    attempt_id = new_id("attempt")
    now = happen(create_generation(at, new_id("generation"), RUN, campaign_id=new_id("campaign")))
    begun, _ = begin_attempt(now, at, next_step(now, at), attempt_id=attempt_id, accounts=(), max_attempts=3)
    now = happen(begun)
    now = happen(record_submitted(now, at, attempt_id=attempt_id, prediction_id=prediction_id))
    now = happen(
        record_succeeded(
            now,
            at,
            attempt_id=attempt_id,
            prediction_id=prediction_id,
            output_count=1,
            cost_micros=40_000,
            expires_at=at + timedelta(hours=1),
        )
    )
    happen(
        record_stored(
            now,
            at,
            attempt_id=attempt_id,
            index=0,
            media_id=new_id("media"),
            blob_key=f"media/{now.id}/0.png",
            facts=FACTS,
        )
    )
    return entries
