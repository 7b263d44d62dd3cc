"""Streams events as they happen, as server-sent events: to everyone, or of one job or generation."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response

from gateway.core.live import domain as sse
from gateway.core.live.domain import COMMENT_EVERY, EventFilter, parse_types
from gateway.core.problems.domain import refuse_if_any, shorten, unknown_name
from gateway.core.rpc_call import Calls
from gateway.edges.http.routing import Authorizer
from gateway.edges.http.streaming_response import GeneratorResponse
from gateway.edges.live.events_json import event_json, known_types
from rushes.catalog.v1.generations_pb2 import Generation, GetGenerationRequest
from rushes.catalog.v1.jobs_pb2 import GetJobRequest, Job
from rushes.gateway.v1.events_pb2 import FollowEventsRequest, FollowGenerationRequest, FollowJobRequest
from servicekit.errors import AppError, FieldProblem, Forbidden, Unauthenticated
from servicekit.events import Event

_HEADERS = {
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would hold events back until its buffer is full
}
_REFS = ("job", "campaign", "generation")

FollowRequest = FollowEventsRequest | FollowJobRequest | FollowGenerationRequest


class Follower(Protocol):
    """One client's place in the log; see `adapters.event_feed`."""

    async def next(self) -> Event | int | None:
        """The next event, or None at the end. May be cancelled and called again without losing one.

        A number: what was missed has been given up to there; given once, when there was anything to catch up.
        """
        ...

    def close(self) -> None: ...


class Feed(Protocol):
    """Where events come from."""

    @property
    def position(self) -> int:
        """Sequence of the newest event."""
        ...

    async def resume_position(self, after: int) -> int:
        """Where a client that has seen `after` goes on."""
        ...

    def follow(self, wanted: EventFilter, *, after: int) -> Follower:
        """Every wanted event after that sequence, then new ones."""
        ...


IsAllowed = Callable[[], Awaitable[bool]]
"""Whether who opened a stream may still have it."""


@dataclass(frozen=True)
class LiveEvents:
    """The servicer of `EventService`.

    Args:
        authorizer: asked again every `comment_every` seconds of each stream.
    """

    feed: Feed
    calls: Calls
    authorizer: Authorizer
    comment_every: float = COMMENT_EVERY

    async def FollowEvents(self, message: FollowEventsRequest, request: Request) -> Response:
        refs = {ref: id_ for ref in _REFS if (id_ := getattr(message, f"{ref}_id"))}
        return await self._stream(message, request, refs)

    async def FollowJob(self, message: FollowJobRequest, request: Request) -> Response:
        job = await self.calls(GetJobRequest(id=message.id), Job)
        return await self._stream(message, request, {"job": job.id})

    async def FollowGeneration(self, message: FollowGenerationRequest, request: Request) -> Response:
        generation = await self.calls(GetGenerationRequest(id=message.id), Generation)
        return await self._stream(message, request, {"generation": generation.id})

    async def _stream(self, message: FollowRequest, request: Request, refs: dict[str, str]) -> Response:
        resumes = message.HasField("last_event_id")
        after = await self.feed.resume_position(message.last_event_id) if resumes else self.feed.position
        wanted = EventFilter(_types(message), refs)

        chunks = _nothing()
        if request.method != "HEAD":
            is_allowed = partial(_is_allowed, self.authorizer, request)
            chunks = _blocks(self.feed, wanted, after, self.comment_every, is_allowed)
        return GeneratorResponse(chunks, headers=_HEADERS, media_type="text/event-stream")


async def _is_allowed(authorizer: Authorizer, request: Request) -> bool:
    """Whether the stream's key still opens it; yes while nobody can say."""
    try:
        await authorizer.authorize(request, request.scope["route"])
    except (Unauthenticated, Forbidden):
        return False
    except AppError:
        return True
    return True


async def _nothing() -> AsyncIterator[bytes]:
    """The body of a response to HEAD."""
    return
    yield b""  # makes it a generator


async def _blocks(
    feed: Feed, wanted: EventFilter, after: int, comment_every: float, is_allowed: IsAllowed
) -> AsyncIterator[bytes]:
    """The stream's bytes: an opening, each event, and a comment when there was none for a while.

    It ends when the feed does, and within `comment_every` seconds after its reader may not have it any more.
    """
    loop = asyncio.get_running_loop()
    follower = feed.follow(wanted, after=after)  # here, so that it is closed if and only if it was opened
    authorize_at = loop.time() + comment_every
    try:
        yield sse.opening_block(after)
        while True:
            if loop.time() >= authorize_at:
                if not await is_allowed():
                    return
                authorize_at = loop.time() + comment_every
            try:
                async with asyncio.timeout(comment_every):
                    event = await follower.next()
            except TimeoutError:
                yield sse.COMMENT
                continue
            if event is None:
                return
            if isinstance(event, int):
                yield sse.position_block(event)
                continue
            data = event_json(event)
            if data is not None:
                yield sse.event_block(event.sequence, event.type, json.dumps(data, ensure_ascii=False))
    finally:
        follower.close()


def _types(message: FollowRequest) -> frozenset[str]:
    """The requested types; one that no event has would be waited for in vain."""
    types, known = parse_types(message.types), known_types()
    unknown = [f"{shorten(type_)} {unknown_name('type', type_, known)}" for type_ in types - known]
    refuse_if_any([FieldProblem("types", problem) for problem in unknown])
    return types
