"""`prediction.succeeded` through the real event log and store: each output said stored or given up, once."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest_asyncio
from google.protobuf.timestamp_pb2 import Timestamp

from downloader.adapters.alarms_log import LoggedAlarms
from downloader.adapters.claims_log import SharedClaims
from downloader.adapters.facts_log import LoggedFacts
from downloader.adapters.store_blobs import Blobs
from downloader.core.downloads import Downloads
from downloader.core.turns import Turns
from downloader.edges.events import REMOVALS, Outputs, Removals, outputs_consumer
from rushes.common.v1.media_pb2 import MEDIA_KIND_VIDEO
from rushes.events.v1.events_pb2 import (
    DownloadCompleted,
    Output,
    PredictionRef,
    PredictionSucceeded,
)
from servicekit.clock import SystemClock
from servicekit.events import Consumer, Event, EventLog


class Replica:
    """One downloader's event side."""

    def __init__(self, bench, log: EventLog) -> None:
        self.log = log
        downloads = Downloads(
            fetcher=bench.fetcher,
            facts=LoggedFacts(log),
            claims=SharedClaims(log, ttl_s=5),
            alarms=LoggedAlarms(),
            turns=Turns(4),
            clock=bench.clock,
        )
        self.outputs = Consumer(log, outputs_consumer(100), Outputs(downloads, bench.clock).handlers())
        self.removals = Consumer(log, REMOVALS, Removals(Blobs(bench.blobs)).handlers())


@asynccontextmanager
async def replica(bench, nats) -> AsyncIterator[Replica]:
    log = EventLog(nats, service="downloader", clock=SystemClock())
    await log.start()
    one = Replica(bench, log)
    try:
        yield one
    finally:
        await one.outputs.stop()
        await one.removals.stop()
        await log.stop()


@pytest_asyncio.fixture
async def here(bench, nats) -> AsyncIterator[Replica]:
    async with replica(bench, nats) as one:
        yield one


def succeeded(
    *urls: str, left: timedelta = timedelta(hours=1), turn: int = 1, kind=MEDIA_KIND_VIDEO
) -> Event:
    expires_at = Timestamp()
    expires_at.FromDatetime(datetime.now(UTC) + left)
    message = PredictionSucceeded(
        prediction=PredictionRef(
            generation_id="gen_1", attempt_id="att_1", prediction_id="p1", job_id="job_1", round=turn
        ),
        outputs=[
            Output(index=index, source_url=url, blob_key_stem=f"media/gen_1/{index}")
            for index, url in enumerate(urls)
        ],
        kind=kind,
        expires_at=expires_at,
    )
    return Event(
        id=f"gen_1:att_1:succeeded:{turn}",
        type="prediction.succeeded",
        key="gen_1",
        data=message.SerializeToString(),
    )


async def said(log: EventLog, *, until: int) -> list[Event]:
    """The `download.*` facts in the log, started and progressed left out, once there are `until`."""
    found: list[Event] = []
    tail = await log.tail(("download.completed.>", "download.failed.>"), after=0)
    async for event in tail:
        found.append(event)
        if len(found) >= until:
            break
    await tail.aclose()
    return found


async def test_every_output_is_stored_and_said(bench, here, origin, media) -> None:
    first, second = origin.serve(media["mp4"]), origin.serve(media["webm"], "/b")
    await here.log.publish(succeeded(first, second))
    assert await here.outputs.run_once(wait=5) == 1
    facts = {event.message(DownloadCompleted).index: event for event in await said(here.log, until=2)}
    message = facts[0].message(DownloadCompleted)
    assert message.blob_key == "media/gen_1/0.mp4"
    assert message.facts.sha256 == hashlib.sha256(media["mp4"]).hexdigest()
    assert message.facts.size_bytes == len(media["mp4"])
    assert message.facts.kind == MEDIA_KIND_VIDEO
    assert message.prediction.attempt_id == "att_1"
    assert facts[0].id == "gen_1:att_1:0:completed"
    assert facts[0].refs == {"job": "job_1", "generation": "gen_1"}
    assert await bench.keys() == ["media/gen_1/0.mp4", "media/gen_1/1.webm"]
