"""Answers operators: is it alive, is it ready, what has it counted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from google.protobuf.empty_pb2 import Empty
from starlette.requests import Request
from starlette.responses import Response

from gateway.edges.rest.rpc_routes import Reply
from rushes.gateway.v1 import operations_pb2 as pb
from servicekit.errors import AppError, Unavailable
from servicekit.telemetry import metrics

_ALL_CHECKS_WITHIN = 3.0
"""Seconds for all checks together."""

Check = Callable[[], Awaitable[None]]
"""Raises an AppError when what it checks cannot be used."""


@dataclass
class Readiness:
    """Whether requests should come here. A `Part`: the last to start, the first to stop.

    Args:
        needed: what nothing works without, by name, and no part of this process knows.
        parts: the checks of those parts of this process that nothing works without, by name. Whoever asks
            all parts whether they are ready has asked these: `check_ready` leaves them out.
        wanted: what only some operations need: shown, but not decisive.
        closing: called first at stop, to end what would never end by itself (live streams).
    """

    needed: Mapping[str, Check]
    parts: Mapping[str, Check]
    wanted: Mapping[str, Check]
    closing: Callable[[], None] = field(kw_only=True)
    open: bool = field(init=False, default=False)

    async def start(self) -> None:
        """Let requests come."""
        self.open = True

    async def stop(self) -> None:
        """Send requests elsewhere, and end the live streams."""
        if self.open:
            self.open = False
            self.closing()

    async def check(self) -> tuple[bool, dict[str, str]]:
        """Whether it is ready, and each dependency's state in words."""
        decisive = {**self.needed, **self.parts}
        states = await _states({**decisive, **self.wanted})
        if not self.open:
            states["gateway"] = "stopping"
        return self.open and all(states[name] == "ok" for name in decisive), states

    async def check_ready(self) -> None:
        """Unavailable, with all that is missing, when it is stopping or cannot use what is needed."""
        if not self.open:
            raise Unavailable("this gateway is stopping: requests go to another one")
        states = await _states(self.needed)
        if missing := [f"{name}: {state}" for name, state in states.items() if state != "ok"]:
            raise Unavailable(", ".join(missing))


async def _states(checks: Mapping[str, Check]) -> dict[str, str]:
    """What each check finds, in words: asked at once."""
    return dict(zip(checks, await asyncio.gather(*map(_state, checks.values())), strict=True))


async def _state(check: Check) -> str:
    try:
        async with asyncio.timeout(_ALL_CHECKS_WITHIN):
            await check()
    except AppError as error:
        return error.kind.value
    except TimeoutError:
        return "no answer"
    return "ok"


@dataclass(frozen=True)
class Probes:
    """The servicer of `ProbeService`."""

    readiness: Readiness

    async def GetHealth(self, message: Empty, request: Request) -> pb.Health:
        return pb.Health(status="ok")

    async def GetReadiness(self, message: Empty, request: Request) -> Reply:
        ready, states = await self.readiness.check()
        body = pb.Readiness(status="ready" if ready else "not ready", checks=states)
        return Reply(body, {"Cache-Control": "no-store"})

    async def GetMetrics(self, message: Empty, request: Request) -> Response:
        return Response(metrics.text(), media_type=metrics.CONTENT_TYPE)
