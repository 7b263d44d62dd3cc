"""`prediction.succeeded` through the real event log and store: each output said stored or given up, once."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from google.protobuf.timestamp_pb2 import Timestamp
from structlog.testing import capture_logs

from downloader.adapters.alarms_log import OUTPUTS_AT_RISK, OUTPUTS_LOST, LoggedAlarms
from downloader.adapters.claims_log import SharedClaims
from downloader.adapters.facts_log import LoggedFacts
from downloader.adapters.store_blobs import Blobs
from downloader.core.downloads import Downloads
from downloader.core.expected import Expected
from downloader.core.turns import Turns
from downloader.edges.events import REMOVALS, Outputs, Removals, outputs_consumer
from events.topology import streams
from rushes.common.v1.media_pb2 import MEDIA_KIND_VIDEO
from rushes.events.v1.events_pb2 import (
    AssetDeleted,
    DownloadCompleted,
    DownloadFailed,
    MediaDeleted,
    Output,
    PredictionRef,
    PredictionSucceeded,
)
from servicekit.clock import SystemClock
from servicekit.errors import Unavailable
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
            expected=Expected(["replicate.delivery"]),
            clock=bench.clock,
        )
        self.outputs = Consumer(log, outputs_consumer(100), Outputs(downloads, bench.clock).handlers())
        self.removals = Consumer(log, REMOVALS, Removals(Blobs(bench.blobs)).handlers())


@asynccontextmanager
async def replica(bench, nats) -> AsyncIterator[Replica]:
    log = EventLog(nats, service="downloader", clock=SystemClock(), streams=streams())
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


async def test_asked_again_it_says_again_and_fetches_nothing(bench, here, origin, media, nats) -> None:
    url = origin.serve(media["mp4"])
    await here.log.publish(succeeded(url))
    await here.outputs.run_once(wait=5)
    async with replica(bench, nats) as other:
        await other.log.publish(succeeded(url, turn=2))
        assert await other.outputs.run_once(wait=5) == 1
    (first,) = await said(here.log, until=1)
    assert first.id == "gen_1:att_1:0:completed"  # the second saying has the same id: one fact
    assert len(origin.asked) == 1


async def test_what_is_stored_and_damaged_is_fetched_again(bench, here, origin, media) -> None:
    """And nothing is removed before its replacement is whole, for a record may name it."""
    half = media["mp4"][: len(media["mp4"]) // 2]
    await bench.blobs.put("media/gen_1/0.mp4", half, content_type="video/mp4")
    bad = origin.at("/bad", origin.whole_of(b"{}" * 1000))
    await here.log.publish(succeeded(bad))
    await here.outputs.run_once(wait=5)
    assert await bench.blobs.get("media/gen_1/0.mp4", limit=2**30) == half
    await here.log.publish(succeeded(origin.serve(media["mp4"]), turn=2))
    await here.outputs.run_once(wait=5)
    failed, completed = await said(here.log, until=2)
    assert failed.message(DownloadFailed).failure.code == "not_media"
    message = completed.message(DownloadCompleted)
    assert message.facts.sha256 == hashlib.sha256(media["mp4"]).hexdigest()
    assert await bench.blobs.get(message.blob_key, limit=2**30) == media["mp4"]


async def test_a_damaged_one_of_another_kind_stays_beside_the_whole_one(bench, here, origin, media) -> None:
    await bench.blobs.put("media/gen_1/0.avi", media["avi"][:2000], content_type="video/x-msvideo")
    for turn in range(2):
        await here.log.publish(succeeded(origin.serve(media["mp4"]), turn=turn))
    for _ in range(2):
        await here.outputs.run_once(wait=5)
    (fact,) = await said(here.log, until=1)
    assert fact.message(DownloadCompleted).blob_key == "media/gen_1/0.mp4"
    assert await bench.keys() == ["media/gen_1/0.avi", "media/gen_1/0.mp4"]
    assert len(origin.asked) == 1


async def test_what_is_stored_and_unreadable_is_fetched_again(
    bench, here, origin, media, monkeypatch
) -> None:
    await bench.blobs.put("media/gen_1/0.mp4", media["mp4"], content_type="video/mp4")
    unreadable(monkeypatch)
    await here.log.publish(succeeded(origin.serve(media["mp4"])))
    await here.outputs.run_once(wait=5)
    (fact,) = await said(here.log, until=1)
    assert fact.message(DownloadCompleted).facts.sha256 == hashlib.sha256(media["mp4"]).hexdigest()
    assert len(origin.asked) == 1


async def test_what_is_unreadable_is_not_given_up_when_the_origin_has_no_more(
    bench, here, origin, media, monkeypatch
) -> None:
    await bench.blobs.put("media/gen_1/0.mp4", media["mp4"], content_type="video/mp4")
    unreadable(monkeypatch)
    await here.log.publish(succeeded(origin.url("/gone"), left=timedelta(seconds=4)))
    await here.outputs.run_once(wait=5)
    assert len(origin.asked) == 3
    monkeypatch.undo()
    assert await here.outputs.run_once(wait=15) == 1
    (fact,) = await said(here.log, until=1)
    assert fact.type == "download.completed"
    assert len(origin.asked) == 3


def unreadable(monkeypatch) -> None:
    """A store that knows its blobs, and gives none of them."""

    async def cut_short(self, key: str, path: Path) -> None:
        raise Unavailable(f"the blob {key} ended after 0 bytes")

    monkeypatch.setattr(Blobs, "read", cut_short)


async def test_what_is_no_media_is_given_up_with_the_reason(bench, here, origin) -> None:
    await here.log.publish(succeeded(origin.does(origin.whole_of(b"<html>" + b"x" * 2000))))
    await here.outputs.run_once(wait=5)
    (fact,) = await said(here.log, until=1)
    failure = fact.message(DownloadFailed).failure
    assert fact.id == "gen_1:att_1:0:failed:1"
    assert (failure.code, failure.retryable) == ("not_media", True)
    assert "HTML" in failure.message
    assert str(origin.port) not in failure.message
    assert await bench.keys() == []


async def test_one_bad_output_does_not_take_the_others_along(bench, here, origin, media) -> None:
    bad = origin.at("/bad", origin.whole_of(b"{}" * 1000))
    await here.log.publish(succeeded(bad, origin.serve(media["mp4"]), "http://10.0.0.1/x"))
    await here.outputs.run_once(wait=5)
    facts = await said(here.log, until=3)
    outcome = {}
    for event in facts:
        if event.type == "download.completed":
            outcome[event.message(DownloadCompleted).index] = "completed"
        else:
            message = event.message(DownloadFailed)
            outcome[message.index] = (message.failure.code, message.failure.retryable)
    assert outcome == {0: ("not_media", True), 1: "completed", 2: ("private_address", False)}


async def test_an_outage_is_sat_out(bench, here, origin, media) -> None:
    """Four tries in the first delivery, then a delayed redelivery; nothing is said in between."""
    down = [origin.whole_of(b"", status=503)] * 4
    url = origin.in_turn(*down, origin.whole_of(media["mp4"]))
    await here.log.publish(succeeded(url, left=timedelta(seconds=7)))  # so that the redelivery is near
    await here.outputs.run_once(wait=5)
    assert len(origin.asked) == 4
    assert await bench.keys() == []
    assert await here.outputs.run_once(wait=15) == 1
    (fact,) = await said(here.log, until=1)
    assert fact.type == "download.completed"
    assert len(origin.asked) == 5


async def test_an_alarm_before_the_loss_and_a_count_at_the_loss(bench, here, origin) -> None:
    risk, lost = OUTPUTS_AT_RISK._value.get(), OUTPUTS_LOST._value.get()
    url = origin.does(origin.whole_of(b"", status=503))
    await here.log.publish(succeeded(url, left=timedelta(minutes=9)))
    await here.outputs.run_once(wait=5)
    assert OUTPUTS_AT_RISK._value.get() == risk + 1
    await here.log.publish(succeeded(url, left=timedelta(seconds=-1), turn=2))
    await here.outputs.run_once(wait=5)
    assert OUTPUTS_LOST._value.get() == lost + 1
    (fact,) = await said(here.log, until=1)
    message = fact.message(DownloadFailed)
    assert (message.failure.code, message.failure.retryable) == ("expired", False)
    assert "503" in message.failure.message
    assert fact.id == "gen_1:att_1:0:failed:2"


@pytest.mark.parametrize(
    ("url", "left", "alarms"),
    [("/gone", 9, 1), ("/gone", 11, 0), ("http://10.0.0.1/x", 9, 0)],
    ids=["near its expiry", "in good time", "for ever: no fresh address would help"],
)
async def test_what_is_given_up_near_its_expiry_is_an_alarm(bench, here, origin, url, left, alarms) -> None:
    risk = OUTPUTS_AT_RISK._value.get()
    url = url if url.startswith("http") else origin.url(url)
    await here.log.publish(succeeded(url, left=timedelta(minutes=left)))
    await here.outputs.run_once(wait=5)
    (fact,) = await said(here.log, until=1)
    assert fact.type == "download.failed"
    assert OUTPUTS_AT_RISK._value.get() == risk + alarms


async def test_an_address_that_died_early_is_worth_a_fresh_one(bench, here, origin) -> None:
    await here.log.publish(succeeded(origin.url("/never")))
    await here.outputs.run_once(wait=5)
    (fact,) = await said(here.log, until=1)
    failure = fact.message(DownloadFailed).failure
    assert (failure.code, failure.retryable) == ("gone", True)


async def test_two_replicas_and_two_announcements_fetch_once(bench, here, origin, media, nats) -> None:
    url = origin.serve(media["mp4"])
    async with replica(bench, nats) as other:
        await here.log.publish(succeeded(url))
        await here.log.publish(succeeded(url, turn=2))
        await here.outputs.start()
        await other.outputs.start()
        await said(here.log, until=1)
    assert len(origin.asked) == 1
    assert await bench.keys() == ["media/gen_1/0.mp4"]


async def test_a_store_that_is_away_is_waited_for(bench, here, origin, media, monkeypatch) -> None:
    url = origin.serve(media["mp4"])

    async def away(key: str) -> None:
        raise Unavailable("the blob store does not answer")

    monkeypatch.setattr(bench.fetcher._store, "find", away)
    await here.log.publish(succeeded(url, left=timedelta(seconds=16)))
    await here.outputs.run_once(wait=5)
    monkeypatch.undo()
    assert await here.outputs.run_once(wait=15) == 1
    (fact,) = await said(here.log, until=1)
    assert fact.type == "download.completed"


async def test_a_host_that_nobody_expects_is_told_once_and_fetched_from(bench, here, origin, media) -> None:
    """An output that is paid for is not lost because its provider delivers from somewhere else."""
    urls = [origin.serve(media["mp4"], f"/{number}") for number in range(2)]
    with capture_logs() as logs:
        await here.log.publish(succeeded(*urls))
        await here.outputs.run_once(wait=5)
    assert {event.type for event in await said(here.log, until=2)} == {"download.completed"}
    (told,) = [line for line in logs if "none is expected" in line["event"]]
    assert (told["host"], told["log_level"]) == ("127.0.0.1", "warning")
    assert not any(url in str(told) for url in urls)


async def test_what_is_deleted_loses_file_and_picture_however_often_it_is_said(bench, here) -> None:
    kept = "cuts/job_1/v2.mp4"
    gone = {
        "med_1": ["media/g/0.mp4", "thumbs/med_1.webp"],
        "job_1": ["cuts/job_1/v1.mp4", "thumbs/job_1-v1.jpg"],
    }
    for key in [kept, *gone["med_1"], *gone["job_1"]]:
        await bench.blobs.put(key, b"x", content_type="video/mp4")
    for turn in range(2):
        for name, keys in gone.items():
            fact = MediaDeleted(blob_keys=keys).SerializeToString()
            await here.log.publish(Event(f"{name}:{turn}", "media.deleted", name, fact))
        assert await here.removals.run_once(wait=5) == 2
        assert await bench.keys() == [kept]
    assert await dead_letters(here.log) == 0


async def test_a_removal_waits_for_a_store_that_is_away(bench, here, monkeypatch) -> None:
    await bench.blobs.put("media/g/0.mp4", b"x", content_type="video/mp4")
    whole = Blobs.delete

    async def away(self, key: str) -> None:
        raise Unavailable("the blob store does not answer")

    monkeypatch.setattr(Blobs, "delete", away)
    fact = MediaDeleted(media_id="med_1", blob_keys=["media/g/0.mp4"]).SerializeToString()
    await here.log.publish(Event("m", "media.deleted", "med_1", fact))
    await here.removals.run_once(wait=5)
    assert await bench.keys() == ["media/g/0.mp4"]
    monkeypatch.setattr(Blobs, "delete", whole)
    assert await here.removals.run_once(wait=15) == 1
    assert await bench.keys() == []


async def dead_letters(log: EventLog) -> int:
    return (await log.js.stream_info("RUSHES_DLQ")).state.messages


async def test_deleted_assets_and_media_lose_their_bytes(bench, here) -> None:
    for key in ("assets/a/original.png", "thumbs/a.webp", "media/g/0.mp4", "media/g/1.mp4"):
        await bench.blobs.put(key, b"x", content_type="image/png")
    asset = AssetDeleted(asset_id="ast_1", blob_keys=["assets/a/original.png", "thumbs/a.webp", "not/there"])
    gone = MediaDeleted(media_id="med_1", blob_keys=["media/g/0.mp4"])
    await here.log.publish(Event("a", "asset.deleted", "ast_1", asset.SerializeToString()))
    await here.log.publish(Event("m", "media.deleted", "med_1", gone.SerializeToString()))
    assert await here.removals.run_once(wait=5) == 2
    assert await bench.keys() == ["media/g/1.mp4"]
