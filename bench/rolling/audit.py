"""Compares what there is after a run with what was requested: in the records, the log and at the provider."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import select

from bench.rolling.clients import Client, Load
from bench.rolling.replicas import Cluster
from catalog.adapters.db.tables import outbox
from catalog.adapters.journal.documents import JOURNAL
from events.topology import streams
from servicekit.clock import SystemClock
from servicekit.database.engine import open_engine
from servicekit.events import Event, EventLog
from servicekit.events.topology import DEAD_LETTERS, STREAM
from servicekit.testing import eventually
from tools.probe_cut import measure

_OUTBOX_EMPTY_S = 60.0


@dataclass
class Findings:
    """What is not as it should be, in words; and how much was compared.

    Args:
        lost: events that a record says there were, and the log or the subscriber has not.
        doubled: what exists, or was paid, twice.
        unplayable: cuts that do not decode from the first frame to the last, or are of the wrong length.
        events: events in the log.
        cuts: cuts that were played.
    """

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    unplayable: list[str] = field(default_factory=list)
    events: int = 0
    cuts: int = 0


async def audit(cluster: Cluster, client: Client, load: Load, *, scenes: int) -> Findings:
    """Everything, once nothing is under way any more."""
    found = Findings()
    log = EventLog(cluster.nats.url, service="bench", clock=SystemClock(), streams=(*streams(), JOURNAL))
    await log.start()
    try:
        await _outbox(cluster, log, found)
        events = [event async for event in log.read(STREAM)]
        dead = [event async for event in log.read(DEAD_LETTERS)]
    finally:
        await log.stop()
    found.events = len(events)
    found.lost += [f"{event.id} became a dead letter" for event in dead]
    await load.follow_until(events[-1].sequence)
    _subscriber(load.subscriber.seen, events, found)

    jobs = await client.pages("/api/v3/jobs", "jobs")
    generations = await client.pages("/api/v3/generations", "generations")
    async with httpx.AsyncClient(base_url=cluster.sandbox) as provider:
        predictions = (await provider.get("/sandbox/predictions", timeout=60)).json()["predictions"]
        charges = (await provider.get("/sandbox/ledger", timeout=60)).json()["charges"]
    _records(jobs, generations, events, found)
    _payments(generations, predictions, charges, events, found)
    for job in jobs:
        if job["status"] == "completed":
            found.cuts += 1
            cut = (await client.get(job["result"]["url"])).content
            if problem := await asyncio.to_thread(_problem_of_cut, cut, scenes):
                found.unplayable.append(f"the cut of {job['id']}: {problem}")
    return found


async def _outbox(cluster: Cluster, log: EventLog, found: Findings) -> None:
    """What was committed is in the log; nothing waits."""
    engine = open_engine(cluster.database_url)

    async def published() -> Sequence[Any]:
        async with engine.connect() as connection:
            read = select(outbox.c.event_id, outbox.c.type, outbox.c.published_at)
            committed = (await connection.execute(read)).all()
        waiting = [row.event_id for row in committed if row.published_at is None]
        assert not waiting, f"these wait in the outbox: {waiting[:5]}"
        return committed

    try:
        committed: Sequence[Any] = await eventually(published, within=_OUTBOX_EMPTY_S, every=0.5)
    finally:
        await engine.dispose()
    logged: set[str] = set()
    for stream in (STREAM, JOURNAL.name):
        logged |= {event.id async for event in log.read(stream)}
    found.lost += [f"{row.event_id} of the outbox" for row in committed if row.event_id not in logged]


def _subscriber(seen: Sequence[tuple[int, str]], events: Sequence[Event], found: Findings) -> None:
    sequences = Counter(sequence for sequence, _ in seen)
    found.lost += [f"{event.id} at the subscriber" for event in events if event.sequence not in sequences]
    found.doubled += [f"event {number} at the subscriber" for number, times in sequences.items() if times > 1]


def _records(
    jobs: Iterable[Mapping[str, Any]],
    generations: Iterable[Mapping[str, Any]],
    events: Sequence[Event],
    found: Findings,
) -> None:
    """Each record has the events of its life, each of them once; each generation has one output."""
    ids = Counter(event.id for event in events)
    found.doubled += [f"event {id_} in the log" for id_, times in ids.items() if times > 1]
    about = Counter((ref, event.type) for event in events for ref in event.refs.values())
    for job in jobs:
        if job["status"] == "completed":
            _once(job["id"], ("job.created", "job.planned", "job.approved", "job.completed"), about, found)
            _once(job["id"], ("stitch.completed",), about, found)
    for generation in generations:
        id_ = generation["id"]
        if generation["status"] == "completed":
            _once(id_, ("download.completed", "media.stored", "generation.completed"), about, found)
            # What is requested again is published again, in a round of its own.
            for type_ in ("generation.requested", "prediction.succeeded"):
                if not about[id_, type_]:
                    found.lost.append(f"{type_} of {id_}")
            if len(generation["media"]) != 1:
                found.doubled.append(f"{id_} has {len(generation['media'])} media")


def _once(id_: str, types: Iterable[str], about: Counter[tuple[str, str]], found: Findings) -> None:
    for type_ in types:
        if not about[id_, type_]:
            found.lost.append(f"{type_} of {id_}")
        elif about[id_, type_] > 1:
            found.doubled.append(f"{about[id_, type_]} {type_} of {id_}")


def _payments(
    generations: Sequence[Mapping[str, Any]],
    predictions: Sequence[Mapping[str, Any]],
    charges: Sequence[Mapping[str, Any]],
    events: Sequence[Event],
    found: Findings,
) -> None:
    """Each prediction at the provider belongs to one intent, each intent has one, and is paid once."""
    intents = Counter(event.key for event in events if event.type == "attempt.intended")
    released = {event.key for event in events if event.type == "attempt.released"}
    of_intent = Counter(
        prediction["webhook"].rpartition("/")[2].partition("?")[0] for prediction in predictions
    )
    for attempt_id, times in of_intent.items():
        if times > 1 or attempt_id not in intents:
            found.doubled.append(f"{times} predictions of the intent {attempt_id}")
    found.lost += [
        f"the prediction of the intent {each}" for each in intents.keys() - of_intent.keys() - released
    ]
    paid = Counter(charge["prediction_id"] for charge in charges)
    found.doubled += [f"{times} charges of {id_}" for id_, times in paid.items() if times > 1]
    attempts = sum(generation["attempts"] for generation in generations)
    if len(predictions) > attempts:
        found.doubled.append(f"{len(predictions)} predictions for {attempts} recorded submissions")


def _problem_of_cut(content: bytes, scenes: int) -> str:
    """Decodes all of it; empty when nothing is wrong with it."""
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        file.write(content)
        file.flush()
        try:
            seen = measure(Path(file.name))
        except (OSError, ValueError, AssertionError) as error:  # PyAV's errors are of these
            return f"{type(error).__name__}: {error}"
    if abs(seen.seconds - scenes) > 0.1:
        return f"{seen.seconds:.2f} s long"
    if len(seen.steps) != 1 or seen.audio != ["aac"]:
        return f"frames at steps of {seen.steps}, sound {seen.audio}"
    return ""
