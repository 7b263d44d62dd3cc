"""`prediction.succeeded` through the real event log and store: each output is stored or given up, once."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from google.protobuf.timestamp_pb2 import Timestamp
from structlog.testing import capture_logs

from downloader.adapters.blob_store import BlobStorage
from downloader.adapters.scheduling.event_publisher import DownloadEventPublisher
from downloader.adapters.scheduling.kv_claims import BUCKET, KvClaims
from downloader.adapters.scheduling.output_alerts import OUTPUTS_AT_RISK, OUTPUTS_LOST, LoggedOutputAlerts
from downloader.core.scheduling.domain.outputs import ExpectedHosts
from downloader.core.scheduling.download_outputs import DownloadOutputs
from downloader.core.scheduling.slot_scheduler import SlotScheduler
from downloader.edges.events import REMOVALS, output_handlers, outputs_consumer, removal_handlers
from events.topology import streams
from rushes.common.v1.media_pb2 import MEDIA_KIND_AUDIO, MEDIA_KIND_IMAGE, MEDIA_KIND_VIDEO
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

    def __init__(self, harness, log: EventLog) -> None:
        self.log = log
        downloads = DownloadOutputs(
            fetcher=harness.fetcher,
            events=DownloadEventPublisher(log),
            claims=KvClaims(log, ttl_s=5),
            alerts=LoggedOutputAlerts(),
            scheduler=SlotScheduler(4),
            expected_hosts=ExpectedHosts(["replicate.delivery"]),
            clock=harness.clock,
        )
        self.outputs = Consumer(log, outputs_consumer(100), output_handlers(downloads, harness.clock))
        self.removals = Consumer(log, REMOVALS, removal_handlers(BlobStorage(harness.blobs)))


@asynccontextmanager
async def replica(harness, nats) -> AsyncIterator[Replica]:
    log = EventLog(nats, service="downloader", clock=SystemClock(), streams=streams())
    await log.start()
    one = Replica(harness, log)
    try:
        yield one
    finally:
        await one.outputs.stop()
        await one.removals.stop()
        await log.stop()


@pytest_asyncio.fixture
async def here(harness, nats) -> AsyncIterator[Replica]:
    async with replica(harness, nats) as one:
        yield one


def succeeded(
    *urls: str, left: timedelta = timedelta(hours=1), number: int = 1, kind=MEDIA_KIND_VIDEO
) -> Event:
    expires_at = Timestamp()
    expires_at.FromDatetime(datetime.now(UTC) + left)
    message = PredictionSucceeded(
        prediction=PredictionRef(
            generation_id="gen_1", attempt_id="att_1", prediction_id="p1", job_id="job_1", round=number
        ),
        outputs=[
            Output(index=index, source_url=url, blob_key_stem=f"media/gen_1/{index}")
            for index, url in enumerate(urls)
        ],
        kind=kind,
        expires_at=expires_at,
    )
    return Event(
        id=f"gen_1:att_1:succeeded:{number}",
        type="prediction.succeeded",
        key="gen_1",
        data=message.SerializeToString(),
    )


async def published_events(log: EventLog, *, until: int) -> list[Event]:
    """`download.completed` and `download.failed` of the log, once there are `until`."""
    found: list[Event] = []
    tail = await log.tail(("download.completed.>", "download.failed.>"), after=0)
    async for event in tail:
        found.append(event)
        if len(found) >= until:
            break
    await tail.aclose()
    return found


async def test_every_output_is_stored_and_published(harness, here, origin, media) -> None:
    first, second = origin.serve(media["mp4"]), origin.serve(media["webm"], "/b")
    await here.log.publish(succeeded(first, second))
    assert await here.outputs.run_once(wait=5) == 1
    published = await published_events(here.log, until=2)
    completed = {event.message(DownloadCompleted).index: event for event in published}
    message = completed[0].message(DownloadCompleted)
    assert message.blob_key == "media/gen_1/0.mp4"
    assert message.facts.sha256 == hashlib.sha256(media["mp4"]).hexdigest()
    assert message.facts.size_bytes == len(media["mp4"])
    assert message.facts.kind == MEDIA_KIND_VIDEO
    assert message.prediction.attempt_id == "att_1"
    assert completed[0].id == "gen_1:att_1:0:completed"
    assert completed[0].refs == {"job": "job_1", "generation": "gen_1"}
    assert await harness.keys() == ["media/gen_1/0.mp4", "media/gen_1/1.webm"]


async def test_an_output_is_stored_as_what_it_is_whatever_was_expected(harness, here, origin, media) -> None:
    """A model of films that makes a GIF, sound, or the last frame beside the film: all of it is paid for."""
    extensions = ["mp4", "gif", "png", "m4a", "wav"]
    urls = [origin.serve(media[extension], f"/{extension}") for extension in extensions]
    await here.outputs.start()
    await here.log.publish(succeeded(*urls, kind=MEDIA_KIND_VIDEO))
    published = await published_events(here.log, until=len(urls))
    stored = {event.message(DownloadCompleted).index: event.message(DownloadCompleted) for event in published}
    assert [stored[index].blob_key.rpartition(".")[2] for index in range(len(urls))] == extensions
    kinds = [MEDIA_KIND_VIDEO, MEDIA_KIND_IMAGE, MEDIA_KIND_IMAGE, MEDIA_KIND_AUDIO, MEDIA_KIND_AUDIO]
    assert [stored[index].facts.kind for index in range(len(urls))] == kinds
    assert stored[3].facts.content_type == "audio/mp4"


@pytest.mark.parametrize("kind", [MEDIA_KIND_IMAGE, MEDIA_KIND_AUDIO, MEDIA_KIND_VIDEO])
async def test_what_is_stored_is_no_damage_for_being_of_another_kind(
    harness, here, origin, media, kind
) -> None:
    await harness.blobs.put("media/gen_1/0.mp4", media["mp4"], content_type="video/mp4")
    await here.log.publish(succeeded(origin.url("/gone"), kind=kind))
    await here.outputs.run_once(wait=5)
    (event,) = await published_events(here.log, until=1)
    assert event.message(DownloadCompleted).facts.kind == MEDIA_KIND_VIDEO
    assert origin.requests == []


async def test_a_second_request_publishes_again_and_fetches_nothing(
    harness, here, origin, media, nats
) -> None:
    url = origin.serve(media["mp4"])
    await here.log.publish(succeeded(url))
    await here.outputs.run_once(wait=5)
    async with replica(harness, nats) as other:
        await other.log.publish(succeeded(url, number=2))
        assert await other.outputs.run_once(wait=5) == 1
    (first,) = await published_events(here.log, until=1)
    assert first.id == "gen_1:att_1:0:completed"  # published twice under the same id: one event
    assert len(origin.requests) == 1


async def test_what_is_stored_and_damaged_is_fetched_again(harness, here, origin, media) -> None:
    """And nothing is removed before its replacement is whole, for a record may name it."""
    half = media["mp4"][: len(media["mp4"]) // 2]
    await harness.blobs.put("media/gen_1/0.mp4", half, content_type="video/mp4")
    bad = origin.at("/bad", origin.whole_of(b"{}" * 1000))
    await here.log.publish(succeeded(bad))
    await here.outputs.run_once(wait=5)
    assert await harness.blobs.get("media/gen_1/0.mp4", limit=2**30) == half
    await here.log.publish(succeeded(origin.serve(media["mp4"]), number=2))
    await here.outputs.run_once(wait=5)
    failed, completed = await published_events(here.log, until=2)
    assert failed.message(DownloadFailed).error.code == "not_media"
    message = completed.message(DownloadCompleted)
    assert message.facts.sha256 == hashlib.sha256(media["mp4"]).hexdigest()
    assert await harness.blobs.get(message.blob_key, limit=2**30) == media["mp4"]


async def test_a_damaged_one_of_another_kind_stays_beside_the_whole_one(harness, here, origin, media) -> None:
    await harness.blobs.put("media/gen_1/0.avi", media["avi"][:2000], content_type="video/x-msvideo")
    for number in range(2):
        await here.log.publish(succeeded(origin.serve(media["mp4"]), number=number))
    for _ in range(2):
        await here.outputs.run_once(wait=5)
    (event,) = await published_events(here.log, until=1)
    assert event.message(DownloadCompleted).blob_key == "media/gen_1/0.mp4"
    assert await harness.keys() == ["media/gen_1/0.avi", "media/gen_1/0.mp4"]
    assert len(origin.requests) == 1


async def test_what_is_stored_is_not_damaged_because_its_decoder_is_killed(
    harness, here, origin, media, monkeypatch
) -> None:
    await harness.blobs.put("media/gen_1/0.mp4", media["mp4"], content_type="video/mp4")
    really = harness.prober._exchange

    async def and_kill(process, request):
        os.kill(process.pid, signal.SIGKILL)
        return await really(process, request)

    monkeypatch.setattr(harness.prober, "_exchange", and_kill)
    with capture_logs() as logs:
        await here.log.publish(succeeded(origin.url("/gone"), left=timedelta(seconds=16)))
        await here.outputs.run_once(wait=5)
    assert not any("damaged" in line["event"] for line in logs)
    monkeypatch.undo()
    assert await here.outputs.run_once(wait=15) == 1
    (event,) = await published_events(here.log, until=1)
    assert event.type == "download.completed"
    assert origin.requests == []


async def test_what_is_stored_and_unreadable_is_fetched_again(
    harness, here, origin, media, monkeypatch
) -> None:
    await harness.blobs.put("media/gen_1/0.mp4", media["mp4"], content_type="video/mp4")
    unreadable(monkeypatch)
    await here.log.publish(succeeded(origin.serve(media["mp4"])))
    await here.outputs.run_once(wait=5)
    (event,) = await published_events(here.log, until=1)
    assert event.message(DownloadCompleted).facts.sha256 == hashlib.sha256(media["mp4"]).hexdigest()
    assert len(origin.requests) == 1


async def test_what_is_unreadable_is_not_given_up_when_the_origin_has_no_more(
    harness, here, origin, media, monkeypatch
) -> None:
    await harness.blobs.put("media/gen_1/0.mp4", media["mp4"], content_type="video/mp4")
    unreadable(monkeypatch)
    await here.log.publish(succeeded(origin.url("/gone"), left=timedelta(seconds=4)))
    await here.outputs.run_once(wait=5)
    assert len(origin.requests) == 3
    monkeypatch.undo()
    assert await here.outputs.run_once(wait=15) == 1
    (event,) = await published_events(here.log, until=1)
    assert event.type == "download.completed"
    assert len(origin.requests) == 3


def unreadable(monkeypatch) -> None:
    """A store that knows its blobs, and gives none of them."""

    async def cut_short(self, key: str, path: Path) -> None:
        raise Unavailable(f"the blob {key} ended after 0 bytes")

    monkeypatch.setattr(BlobStorage, "read", cut_short)


async def test_what_is_no_media_is_given_up_with_the_reason(harness, here, origin) -> None:
    await here.log.publish(succeeded(origin.answer_with(origin.whole_of(b"<html>" + b"x" * 2000))))
    await here.outputs.run_once(wait=5)
    (event,) = await published_events(here.log, until=1)
    error = event.message(DownloadFailed).error
    assert event.id == "gen_1:att_1:0:failed:1"
    assert (error.code, error.retryable) == ("not_media", True)
    assert "HTML" in error.message
    assert str(origin.port) not in error.message
    assert await harness.keys() == []


async def test_an_output_under_1_kb_is_given_up(harness, here, origin, media) -> None:
    small = media.image("PNG", (8, 8))
    assert 0 < len(small) < 1024
    await here.log.publish(succeeded(origin.serve(small), kind=MEDIA_KIND_IMAGE))
    await here.outputs.run_once(wait=5)
    (event,) = await published_events(here.log, until=1)
    error = event.message(DownloadFailed).error
    assert (error.code, error.retryable) == ("too_small", True)


async def test_one_bad_output_does_not_take_the_others_along(harness, here, origin, media) -> None:
    bad = origin.at("/bad", origin.whole_of(b"{}" * 1000))
    await here.log.publish(succeeded(bad, origin.serve(media["mp4"]), "http://10.0.0.1/x"))
    await here.outputs.run_once(wait=5)
    published = await published_events(here.log, until=3)
    outcome = {}
    for event in published:
        if event.type == "download.completed":
            outcome[event.message(DownloadCompleted).index] = "completed"
        else:
            message = event.message(DownloadFailed)
            outcome[message.index] = (message.error.code, message.error.retryable)
    assert outcome == {0: ("not_media", True), 1: "completed", 2: ("private_address", False)}


async def test_an_outage_is_waited_out(harness, here, origin, media) -> None:
    """Four tries in the first delivery, then a delayed redelivery; nothing is published in between."""
    down = [origin.whole_of(b"", status=503)] * 4
    url = origin.answer_in_turn(*down, origin.whole_of(media["mp4"]))
    await here.log.publish(succeeded(url, left=timedelta(seconds=7)))  # so that the redelivery is near
    await here.outputs.run_once(wait=5)
    assert len(origin.requests) == 4
    assert await harness.keys() == []
    assert await here.outputs.run_once(wait=15) == 1
    (event,) = await published_events(here.log, until=1)
    assert event.type == "download.completed"
    assert len(origin.requests) == 5


async def test_an_alert_before_the_loss_and_a_count_at_the_loss(harness, here, origin) -> None:
    risk, lost = OUTPUTS_AT_RISK._value.get(), OUTPUTS_LOST._value.get()
    url = origin.answer_with(origin.whole_of(b"", status=503))
    await here.log.publish(succeeded(url, left=timedelta(minutes=9)))
    await here.outputs.run_once(wait=5)
    assert OUTPUTS_AT_RISK._value.get() == risk + 1
    await here.log.publish(succeeded(url, left=timedelta(seconds=-1), number=2))
    await here.outputs.run_once(wait=5)
    assert OUTPUTS_LOST._value.get() == lost + 1
    (event,) = await published_events(here.log, until=1)
    message = event.message(DownloadFailed)
    assert (message.error.code, message.error.retryable) == ("expired", False)
    assert "503" in message.error.message
    assert event.id == "gen_1:att_1:0:failed:2"


@pytest.mark.parametrize(
    ("url", "left", "alerts"),
    [("/gone", 9, 1), ("/gone", 11, 0), ("http://10.0.0.1/x", 9, 0)],
    ids=["near its expiry", "in good time", "for ever: no fresh address would help"],
)
async def test_what_is_given_up_near_its_expiry_raises_an_alert(
    harness, here, origin, url, left, alerts
) -> None:
    risk = OUTPUTS_AT_RISK._value.get()
    url = url if url.startswith("http") else origin.url(url)
    await here.log.publish(succeeded(url, left=timedelta(minutes=left)))
    await here.outputs.run_once(wait=5)
    (event,) = await published_events(here.log, until=1)
    assert event.type == "download.failed"
    assert OUTPUTS_AT_RISK._value.get() == risk + alerts


async def test_an_address_that_died_early_is_worth_a_fresh_one(harness, here, origin) -> None:
    await here.log.publish(succeeded(origin.url("/never")))
    await here.outputs.run_once(wait=5)
    (event,) = await published_events(here.log, until=1)
    error = event.message(DownloadFailed).error
    assert (error.code, error.retryable) == ("gone", True)


async def test_two_replicas_and_two_announcements_fetch_once(harness, here, origin, media, nats) -> None:
    url = origin.serve(media["mp4"])
    async with replica(harness, nats) as other:
        await here.log.publish(succeeded(url))
        await here.log.publish(succeeded(url, number=2))
        await here.outputs.start()
        await other.outputs.start()
        await published_events(here.log, until=1)
    assert len(origin.requests) == 1
    assert await harness.keys() == ["media/gen_1/0.mp4"]


async def test_a_claim_that_cannot_be_released_does_not_fail_a_finished_download(
    harness, here, origin, media
) -> None:
    """Its renewal is stored as the server is killed, and the answer is lost: we know an older revision."""
    bucket = await here.log.bucket(BUCKET, ttl=5)

    async def script(request, reply) -> None:
        value, revision = await bucket.get("media/gen_1/0")
        await bucket.update("media/gen_1/0", value, revision=revision)
        await reply.whole(media["mp4"])

    await here.log.publish(succeeded(origin.answer_with(script)))
    with capture_logs() as logs:
        assert await here.outputs.run_once(wait=5) == 1
    assert not [line for line in logs if line["log_level"] == "error"]
    (event,) = await published_events(here.log, until=1)
    assert event.type == "download.completed"
    consumer = await here.log.js.consumer_info("RUSHES", "downloader-outputs")
    assert (consumer.num_ack_pending, consumer.num_redelivered) == (0, 0)


async def test_a_store_that_is_away_is_waited_for(harness, here, origin, media, monkeypatch) -> None:
    url = origin.serve(media["mp4"])

    async def away(key: str) -> None:
        raise Unavailable("the blob store does not answer")

    monkeypatch.setattr(harness.fetcher.storage, "find", away)
    await here.log.publish(succeeded(url, left=timedelta(seconds=16)))
    await here.outputs.run_once(wait=5)
    monkeypatch.undo()
    assert await here.outputs.run_once(wait=15) == 1
    (event,) = await published_events(here.log, until=1)
    assert event.type == "download.completed"


async def test_an_unexpected_host_is_reported_once_and_fetched_from(harness, here, origin, media) -> None:
    """An output that is paid for is not lost because its provider delivers from somewhere else."""
    urls = [origin.serve(media["mp4"], f"/{number}") for number in range(2)]
    with capture_logs() as logs:
        await here.log.publish(succeeded(*urls))
        await here.outputs.run_once(wait=5)
    assert {event.type for event in await published_events(here.log, until=2)} == {"download.completed"}
    (warning,) = [line for line in logs if "none is expected" in line["event"]]
    assert (warning["host"], warning["log_level"]) == ("127.0.0.1", "warning")
    assert not any(url in str(warning) for url in urls)


async def test_what_is_deleted_loses_file_and_thumbnail_however_often_the_event_comes(harness, here) -> None:
    remaining = "cuts/job_1/v2.mp4"
    gone = {
        "med_1": ["media/g/0.mp4", "thumbs/med_1.webp"],
        "job_1": ["cuts/job_1/v1.mp4", "thumbs/job_1-v1.jpg"],
    }
    for key in [remaining, *gone["med_1"], *gone["job_1"]]:
        await harness.blobs.put(key, b"x", content_type="video/mp4")
    for number in range(2):
        for name, keys in gone.items():
            deleted = MediaDeleted(blob_keys=keys).SerializeToString()
            await here.log.publish(Event(f"{name}:{number}", "media.deleted", name, deleted))
        assert await here.removals.run_once(wait=5) == 2
        assert await harness.keys() == [remaining]
    assert await dead_letters(here.log) == 0


async def test_a_removal_waits_for_a_store_that_is_away(harness, here, monkeypatch) -> None:
    await harness.blobs.put("media/g/0.mp4", b"x", content_type="video/mp4")
    whole = BlobStorage.delete

    async def away(self, key: str) -> None:
        raise Unavailable("the blob store does not answer")

    monkeypatch.setattr(BlobStorage, "delete", away)
    deleted = MediaDeleted(media_id="med_1", blob_keys=["media/g/0.mp4"]).SerializeToString()
    await here.log.publish(Event("m", "media.deleted", "med_1", deleted))
    await here.removals.run_once(wait=5)
    assert await harness.keys() == ["media/g/0.mp4"]
    monkeypatch.setattr(BlobStorage, "delete", whole)
    assert await here.removals.run_once(wait=15) == 1
    assert await harness.keys() == []


async def dead_letters(log: EventLog) -> int:
    return (await log.js.stream_info("RUSHES_DLQ")).state.messages


async def test_deleted_assets_and_media_lose_their_bytes(harness, here) -> None:
    for key in ("assets/a/original.png", "thumbs/a.webp", "media/g/0.mp4", "media/g/1.mp4"):
        await harness.blobs.put(key, b"x", content_type="image/png")
    asset = AssetDeleted(asset_id="ast_1", blob_keys=["assets/a/original.png", "thumbs/a.webp", "not/there"])
    gone = MediaDeleted(media_id="med_1", blob_keys=["media/g/0.mp4"])
    await here.log.publish(Event("a", "asset.deleted", "ast_1", asset.SerializeToString()))
    await here.log.publish(Event("m", "media.deleted", "med_1", gone.SerializeToString()))
    assert await here.removals.run_once(wait=5) == 2
    assert await harness.keys() == ["media/g/1.mp4"]
