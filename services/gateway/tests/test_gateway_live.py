"""Server-sent events from a real event log: resumed without a gap, whatever the client does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from starlette.requests import Request

from gateway.adapters.event_feed import EventFeed
from gateway.core.live.domain import COMMENT, EventFilter, opening_block
from gateway.edges.http.routing import Operation
from gateway.edges.http.streaming_response import GeneratorResponse
from gateway.edges.live.sse_routes import LiveEvents, _blocks
from rushes.catalog.v1.jobs_pb2 import Job
from rushes.events.v1 import events_pb2
from rushes.gateway.v1.events_pb2 import FollowEventsRequest
from servicekit.errors import AppError, Forbidden, Unauthenticated, Unavailable
from servicekit.events import Event
from servicekit.ids import new_id
from servicekit.testing import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def publish(running: Any, type_: str, message: Any, **refs: str) -> int:
    event = Event(id=new_id("job"), type=type_, key="x", data=message.SerializeToString(), refs=refs)
    sequence: int = await running.log.publish(event)
    return sequence


async def created(running: Any, job: str) -> int:
    return await publish(running, "job.created", events_pb2.JobCreated(job_id=job), job=job)


class Stream:
    """The blocks of a stream, one at a time."""

    def __init__(self, response: Any) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    async def block(self) -> dict[str, str]:
        async with asyncio.timeout(10):
            found: dict[str, str] = {}
            async for line in self._lines:
                if not line:
                    return found
                name, _, value = line.partition(":")
                found[name] = value.strip()
        raise EOFError

    async def event(self) -> tuple[int, str, Any]:
        while "data" not in (found := await self.block()):
            pass
        return int(found["id"]), found["event"], json.loads(found["data"])


@asynccontextmanager
async def follow(running: Any, path: str = "/api/v3/events", **headers: str) -> AsyncIterator[Stream]:
    async with running.http.stream("GET", path, headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-store"
        assert "content-encoding" not in response.headers
        stream = Stream(response)
        assert "retry" in await stream.block()
        yield stream


async def test_events_come_as_they_happen_with_the_providers_addresses_gone(running: Any) -> None:
    job, secret = new_id("job"), "https://provider.example/files/secret.mp4"
    async with follow(running) as stream:
        first = await created(running, job)
        output = events_pb2.Output(index=0, source_url=secret, blob_key_stem="media/g/0")
        await publish(running, "prediction.succeeded", events_pb2.PredictionSucceeded(outputs=[output]))
        assert await stream.event() == (first, "job.created", {"job_id": job, "campaign_id": ""})
        sequence, name, data = await stream.event()
        assert (sequence, name) == (first + 1, "prediction.succeeded")
        assert data["outputs"] == [{"index": 0, "blob_key_stem": "media/g/0"}]


async def test_filters(running: Any) -> None:
    job, generation, campaign = new_id("job"), new_id("generation"), new_id("campaign")
    running.services.jobs[job] = Job(id=job)
    paths = {
        "/api/v3/events?types=job.paused": {3},
        "/api/v3/events?types=job": {0, 1, 3},
        "/api/v3/events?types=job.paused,generation.*": {2, 3},
        f"/api/v3/events?job_id={job}": {1, 2, 3},
        f"/api/v3/events?campaign_id={campaign}&types=job.created": {1},
        f"/api/v3/jobs/{job}/events": {1, 2, 3},
        f"/api/v3/generations/{generation}/events": {2},
    }
    start = running.gateway.feed.position
    sent = [
        await created(running, new_id("job")),
        await publish(running, "job.created", events_pb2.JobCreated(), job=job, campaign=campaign),
        await publish(
            running, "generation.completed", events_pb2.GenerationCompleted(), job=job, generation=generation
        ),
        await publish(running, "job.paused", events_pb2.JobPaused(), job=job),
    ]
    for path, wanted in paths.items():
        async with follow(running, path, **{"Last-Event-ID": str(start)}) as stream:
            got = [(await stream.event())[0] for _ in wanted]
        assert got == [sent[place] for place in sorted(wanted)], path


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v3/events?typs=job", 422),
        ("/api/v3/events?types=job.complete", 422),
        ("/api/v3/events?job_id=gen_1", 422),
        ("/api/v3/events?last_event_id=x", 422),
        ("/api/v3/events?last_event_id=-5", 422),
        ("/api/v3/jobs/job_01J9ZZZZZZZZZZZZZZZZZZZZZZ/events", 404),
        ("/api/v3/jobs/nonsense/events", 422),
    ],
)
async def test_what_cannot_be_followed(running: Any, path: str, status: int) -> None:
    answer = await running.http.get(path)
    assert answer.status_code == status, answer.text


async def test_resuming_leaves_no_gap_while_events_keep_coming(running: Any) -> None:
    sent: list[int] = []

    async def keep_publishing() -> None:
        for _ in range(300):
            sent.append(await created(running, new_id("job")))  # noqa: PERF401  # it is read meanwhile

    got: list[int] = []
    last = running.gateway.feed.position
    publishing = asyncio.create_task(keep_publishing())
    while len(got) < 300:
        async with follow(running, "/api/v3/events", **{"Last-Event-ID": str(last)}) as stream:
            # After forty the connection breaks, and the client comes back.
            got += [(await stream.event())[0] for _ in range(min(40, 300 - len(got)))]
            last = got[-1]
    await publishing
    assert got == sent


async def test_the_opening_names_the_place_to_come_back_to(running: Any) -> None:
    async with running.http.stream("GET", "/api/v3/events") as response:
        block = await Stream(response).block()
    missed = await created(running, new_id("job"))
    async with follow(running, "/api/v3/events", **{"Last-Event-ID": block["id"]}) as stream:
        assert (await stream.event())[0] == missed


async def test_a_slow_client_costs_bounded_memory_and_misses_nothing(running: Any) -> None:
    feed: EventFeed = running.gateway.feed
    follower = feed.follow(EventFilter(), after=feed.position)
    sent = [await created(running, new_id("job")) for _ in range(700)]
    await eventually(lambda: feed.position == sent[-1])
    assert follower.behind
    assert follower.waiting <= 256
    async with asyncio.timeout(20):
        got = [await follower.next() for _ in range(700)]
    assert [event.sequence for event in got if event] == sent
    follower.close()


async def test_a_client_ahead_of_this_replica_receives_nothing_twice(running: Any) -> None:
    feed = running.gateway.feed
    follower = feed.follow(EventFilter(), after=feed.position + 2)
    sent = [await created(running, new_id("job")) for _ in range(3)]
    event = await follower.next()
    assert event
    assert event.sequence == sent[-1]
    follower.close()


async def test_a_client_of_a_log_that_began_anew_starts_at_its_beginning(running: Any) -> None:
    await created(running, new_id("job"))
    async with follow(running, "/api/v3/events", **{"Last-Event-ID": "99999999"}) as stream:
        assert (await stream.event())[0] == 1


async def test_a_client_learns_when_it_has_caught_up_whatever_it_wants(running: Any) -> None:
    feed = running.gateway.feed
    start = feed.position
    sent = [await created(running, new_id("job")) for _ in range(3)]
    await eventually(lambda: feed.position == sent[-1])
    job = new_id("job")
    async with follow(running, f"/api/v3/events?job_id={job}", **{"Last-Event-ID": str(start)}) as stream:
        assert await stream.block() == {"id": str(sent[-1])}
        mine = await publish(running, "job.created", events_pb2.JobCreated(job_id=job), job=job)
        assert (await stream.block())["id"] == str(mine)
    async with follow(running, "/api/v3/events", **{"Last-Event-ID": str(start)}) as stream:
        assert [(await stream.block())["id"] for _ in range(5)] == [*map(str, [*sent, mine, mine])]


async def test_clients_that_leave_are_forgotten(running: Any) -> None:
    feed = running.gateway.feed
    await eventually(lambda: len(feed.followers) == 0)  # those of the tests before
    async with follow(running), follow(running):
        await eventually(lambda: len(feed.followers) == 2)
    await eventually(lambda: len(feed.followers) == 0)


async def always() -> bool:
    return True


async def test_a_comment_comes_when_nothing_else_does(running: Any) -> None:
    feed = running.gateway.feed
    await eventually(lambda: len(feed.followers) == 0)  # those of the tests before
    start = feed.position
    blocks = _blocks(feed, EventFilter(refs={"job": "none"}), start, comment_every=0.01, is_allowed=always)
    assert await anext(blocks) == opening_block(start)
    assert len(feed.followers) == 1
    assert (await anext(blocks)).startswith(b":")
    assert (await anext(blocks)).startswith(b":")
    await blocks.aclose()  # type: ignore[attr-defined]
    assert len(feed.followers) == 0


async def test_a_client_that_catches_up_while_the_gateway_stops_comes_back_without_a_gap(
    running: Any,
) -> None:
    sent = [await created(running, new_id("job")) for _ in range(150)]
    await eventually(lambda: running.gateway.feed.position == sent[-1])
    feed = EventFeed(running.log)
    feed.position, feed._open = sent[-1], True
    follower = feed.follow(EventFilter(), after=sent[0] - 1)
    got = [event for _ in range(10) if isinstance(event := await follower.next(), Event)]
    assert follower._missed
    await eventually(follower._missed.full)  # what it has not sent yet …
    # … and then this:
    feed._dispatch(Event(id="x", type="job.created", key="x", data=b"", sequence=sent[-1] + 1))
    feed.release()
    while (event := await follower.next()) is not None:
        assert isinstance(event, Event)
        got.append(event)
    follower.close()
    assert [event.sequence for event in got] == sent[: len(got)]


async def test_a_client_that_is_behind_is_sent_no_later_events_when_the_gateway_stops(running: Any) -> None:
    feed = EventFeed(running.log)
    feed.position, feed._open = 1000, True
    follower = feed.follow(EventFilter(), after=1000)
    for sequence in range(1001, 1400):
        feed._dispatch(Event(id="x", type="job.created", key="x", data=b"", sequence=sequence))
    assert follower.behind
    feed.release()
    assert await follower.next() is None
    follower.close()


class RefusingLog:
    """A log that answers with what nobody has thought of."""

    async def tail(self, subjects: Any, *, after: int | None = None) -> AsyncIterator[Event]:
        raise ValueError("bad request")


async def test_a_client_is_sent_away_when_its_past_cannot_be_read(running: Any) -> None:
    feed = EventFeed(RefusingLog())  # type: ignore[arg-type]
    feed.position, feed._open = 10, True
    follower = feed.follow(EventFilter(), after=5)
    async with asyncio.timeout(5):
        assert await follower.next() is None
    follower.close()


async def test_a_revoked_key_loses_its_stream(running: Any) -> None:
    feed = running.gateway.feed
    revoked = asyncio.Event()

    async def allowed() -> bool:
        return not revoked.is_set()

    wanted = EventFilter(types=frozenset({"job.created"}))
    blocks = _blocks(feed, wanted, feed.position, comment_every=0.05, is_allowed=allowed)
    await anext(blocks)
    assert (await anext(blocks)).startswith(b":")
    revoked.set()

    async def rest() -> None:
        async for _ in blocks:
            await created(running, new_id("job"))  # it is never silent, and ends all the same

    await created(running, new_id("job"))
    async with asyncio.timeout(5):
        await rest()


@pytest.mark.parametrize(
    ("error", "goes_on"), [(Unauthenticated, False), (Forbidden, False), (Unavailable, True)]
)
async def test_a_stream_ends_when_its_key_is_refused_and_not_when_nobody_knows(
    running: Any, error: type[AppError], goes_on: bool
) -> None:
    class Refusing:
        async def authorize(self, request: Request, operation: Operation) -> None:
            raise error("no")

    feed = running.gateway.feed
    live = LiveEvents(feed, None, Refusing(), comment_every=0.01)  # type: ignore[arg-type]  # calls nobody
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": [], "route": None}
    answer = await live.FollowEvents(FollowEventsRequest(), Request(scope))
    assert isinstance(answer, GeneratorResponse)
    async with aclosing(answer.body_iterator) as chunks, asyncio.timeout(5):  # type: ignore[type-var]
        assert await anext(chunks) == opening_block(feed.position)
        comments = 0
        async for chunk in chunks:
            comments += chunk == COMMENT  # events of the tests before may come in between
            if comments == 5:
                break
    assert (comments == 5) is goes_on


async def test_head_is_answered_without_a_stream(running: Any) -> None:
    feed = running.gateway.feed
    await eventually(lambda: len(feed.followers) == 0)  # those of the tests before
    async with asyncio.timeout(5):
        answer = await running.http.head("/api/v3/events")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert len(feed.followers) == 0


class CountedLog:
    """The log, and how many read it at the same time."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self.now = self.most = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def tail(self, subjects: Any, *, after: int | None = None) -> AsyncIterator[Event]:
        events = await self._log.tail(subjects, after=after)

        async def counted() -> AsyncIterator[Event]:
            self.now += 1
            self.most = max(self.most, self.now)
            try:
                async for event in events:
                    yield event
            finally:
                self.now -= 1
                await events.aclose()

        return counted()


async def test_many_who_catch_up_are_few_readers_and_slow_ones_occupy_none(running: Any) -> None:
    sent = [await created(running, new_id("job")) for _ in range(150)]
    log = CountedLog(running.log)
    feed = EventFeed(log, readers=2, turn=0.05)  # type: ignore[arg-type]
    feed.position, feed._open = sent[-1], True  # it need not read itself: everything has happened
    # More than are read at a time, and never read by their clients.
    idle = [feed.follow(EventFilter(), after=sent[0] - 1) for _ in range(4)]

    async def caught_up() -> list[int]:
        follower = feed.follow(EventFilter(), after=sent[0] - 1)
        async with asyncio.timeout(30):
            got = [event.sequence for _ in sent if (event := await follower.next())]
        follower.close()
        return got

    assert await asyncio.gather(*(caught_up() for _ in range(20))) == [sent] * 20
    assert log.most <= 2
    for follower in idle:
        async with asyncio.timeout(30):
            assert [event.sequence for _ in sent if (event := await follower.next())] == sent
        follower.close()
    await eventually(lambda: log.now == 0)
