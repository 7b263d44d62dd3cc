"""Server-sent events: facts as they happen, for everyone or for one job or generation."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response

from gateway.core.live.domain import (
    COMMENT,
    COMMENT_EVERY,
    Wanted,
    block,
    opening,
    place,
    sequence_from,
    types_from,
)
from gateway.core.problems.domain.field_problems import refuse
from gateway.core.problems.domain.suggestions import shown, unknown
from gateway.core.rpc_call import Calls, Rpc
from gateway.edges.http.routing import Admission, Operation, parameter, refuse_unknown_query
from gateway.edges.http.streaming_response import Streamed
from gateway.edges.live.events_json import fact_json, known_types
from rushes.catalog.v1.generations_pb2 import Generation, GetGenerationRequest
from rushes.catalog.v1.jobs_pb2 import GetJobRequest, Job
from servicekit.errors import AppError, FieldProblem, Forbidden, Unauthenticated
from servicekit.events import Event
from servicekit.ids import check_id

GET_JOB = Rpc("/rushes.catalog.v1.JobService/GetJob", GetJobRequest, Job)
GET_GENERATION = Rpc("/rushes.catalog.v1.GenerationService/GetGeneration", GetGenerationRequest, Generation)

_HEADERS = {
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would hold events back until its buffer is full
}
_REFS = {"job_id": "job", "campaign_id": "campaign", "generation_id": "generation"}


class Follower(Protocol):
    """One client's place in the log; see `adapters.live_feed`."""

    async def next(self) -> Event | int | None:
        """The next fact, or None at the end. May be cancelled and called again without losing one.

        A number: what was missed has been given up to there; said once, when there was anything to catch up.
        """
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


class Feed(Protocol):
    """Where facts come from."""

    @property
    def position(self) -> int:
        """Sequence of the newest fact."""
        ...

    async def settle(self, after: int) -> int:
        """Where a client that has seen `after` goes on."""
        ...

    def follow(self, wanted: Wanted, *, after: int) -> Follower:
        """Every wanted fact after that sequence, then new ones."""
        ...


Allowed = Callable[[], Awaitable[bool]]
"""Whether who opened a stream may still have it."""


def operations(
    feed: Feed, calls: Calls, admission: Admission, *, comment_every: float = COMMENT_EVERY
) -> list[Operation]:
    """The streams; `admission` is asked again every `comment_every` seconds of each."""

    async def stream(request: Request, refs: dict[str, str]) -> Response:
        started = sequence_from(
            request.headers.get("last-event-id") or request.query_params.get("last_event_id")
        )
        after = feed.position if started is None else await feed.settle(started)
        wanted = Wanted(_types(request), refs)

        async def allowed() -> bool:
            return await _allowed(admission, request)

        head = request.method == "HEAD"
        chunks = _nothing() if head else _blocks(feed, wanted, after, comment_every, allowed)
        return Streamed(chunks, headers=_HEADERS, media_type="text/event-stream")

    async def everything(request: Request) -> Response:
        refuse_unknown_query(request, ("types", "last_event_id", *_REFS))
        given = {name: value for name in _REFS if (value := request.query_params.get(name))}
        return await stream(
            request,
            {ref: check_id(given[name], ref, field=name) for name, ref in _REFS.items() if name in given},
        )

    async def of_job(request: Request) -> Response:
        refuse_unknown_query(request, ("types", "last_event_id"))
        job = await calls(GET_JOB, GetJobRequest(id=request.path_params["id"]))
        return await stream(request, {"job": job.id})

    async def of_generation(request: Request) -> Response:
        refuse_unknown_query(request, ("types", "last_event_id"))
        generation = await calls(GET_GENERATION, GetGenerationRequest(id=request.path_params["id"]))
        return await stream(request, {"generation": generation.id})

    text = {"type": "string"}
    filters = [parameter(name, "query", f"Only of this {_REFS[name]}.", text) for name in _REFS]
    return [
        Operation("GET", "/api/v3/events", everything, document=_document("Follow all facts", filters)),
        Operation("GET", "/api/v3/jobs/{id}/events", of_job, document=_document("Follow one job", [_ID])),
        Operation(
            "GET",
            "/api/v3/generations/{id}/events",
            of_generation,
            document=_document("Follow one generation", [_ID]),
        ),
    ]


async def _allowed(admission: Admission, request: Request) -> bool:
    """Whether the stream's key still opens it; yes while nobody can say."""
    try:
        await admission.admit(request, request.scope["route"])
    except (Unauthenticated, Forbidden):
        return False
    except AppError:
        return True
    return True


async def _nothing() -> AsyncIterator[bytes]:
    """The body of an answer to HEAD."""
    return
    yield b""  # makes it a generator


async def _blocks(
    feed: Feed, wanted: Wanted, after: int, comment_every: float, allowed: Allowed
) -> AsyncIterator[bytes]:
    """The stream's bytes: an opening, each event, and a comment when there was none for a while.

    It ends when the feed does, and within `comment_every` seconds after its reader may not have it any more.
    """
    loop = asyncio.get_running_loop()
    follower = feed.follow(wanted, after=after)  # here, so that it is closed if and only if it was opened
    ask_at = loop.time() + comment_every
    try:
        yield opening(after)
        while True:
            if loop.time() >= ask_at:
                if not await allowed():
                    return
                ask_at = loop.time() + comment_every
            try:
                async with asyncio.timeout(comment_every):
                    event = await follower.next()
            except TimeoutError:
                yield COMMENT
                continue
            if event is None:
                return
            if isinstance(event, int):
                yield place(event)
                continue
            data = fact_json(event.type, event.data)
            if data is not None:
                yield block(event.sequence, event.type, json.dumps(data, ensure_ascii=False))
    finally:
        follower.close()


def _types(request: Request) -> frozenset[str]:
    """The types asked for; one that no fact has would be waited for in vain."""
    types, known = types_from(request.query_params.getlist("types")), known_types()
    refuse(
        [FieldProblem("types", f"{shown(t)} {unknown('type', t, known)}") for t in types if t not in known]
    )
    return types


_ID = parameter("id", "path", "Its id.", {"type": "string"})


def _document(summary: str, parameters: list[dict[str, object]]) -> dict[str, object]:
    text = {"type": "string"}
    shared = [
        parameter("types", "query", "Only these types, with commas: `job.completed,generation`.", text),
        parameter("last_event_id", "query", "As the header `Last-Event-ID`, for a first connection.", text),
        parameter("Last-Event-ID", "header", "Go on after this event, without a gap.", text),
    ]
    return {
        "tags": ["Events"],
        "summary": summary,
        "description": "Server-sent events: `id` is the place in the log, `event` the fact's type, "
        "`data` its JSON. "
        "An `id` alone says that whatever was wanted up to there has been sent. "
        "A comment comes every 15 seconds when nothing else does.",
        "parameters": [*parameters, *shared],
        "responses": {
            "200": {"description": "The stream.", "content": {"text/event-stream": {"schema": text}}}
        },
    }
