"""What operators ask: is it alive, is it ready, what has it counted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.edges.http.routing import Access, Operation
from servicekit import metrics
from servicekit.errors import AppError

_PATIENCE = 3.0
"""Seconds for all checks together."""

Check = Callable[[], Awaitable[None]]
"""Raises an AppError when what it checks cannot be used."""


class Readiness:
    """Whether requests should come here. A `Part`: the last to start, the first to stop.

    Args:
        needed: what nothing works without, by name.
        wanted: what only some operations need: told, but not decisive.
        closing: called first at stop, to end what would never end by itself (live streams).
    """

    def __init__(
        self, needed: Mapping[str, Check], wanted: Mapping[str, Check], *, closing: Callable[[], None]
    ) -> None:
        self._needed = dict(needed)
        self._wanted = dict(wanted)
        self._closing = closing
        self.open = False

    async def start(self) -> None:
        """Let requests come."""
        self.open = True

    async def stop(self) -> None:
        """Send requests elsewhere, and end the live streams."""
        if self.open:
            self.open = False
            self._closing()

    async def look(self) -> tuple[bool, dict[str, str]]:
        """Whether it is ready, and each dependency's state in words."""
        checks = {**self._needed, **self._wanted}
        states = dict(zip(checks, await asyncio.gather(*map(_state, checks.values())), strict=True))
        if not self.open:
            states["gateway"] = "stopping"
        return self.open and all(states[name] == "ok" for name in self._needed), states


def operations(readiness: Readiness) -> list[Operation]:
    """The operations for operators."""

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        ready, states = await readiness.look()
        body = {"status": "ready" if ready else "not ready", "checks": states}
        return JSONResponse(body, 200 if ready else 503, headers={"Cache-Control": "no-store"})

    async def measured(_: Request) -> Response:
        return Response(metrics.text(), media_type=metrics.CONTENT_TYPE)

    return [
        Operation("GET", "/healthz", healthz, Access.OPEN, _described("Whether the process is alive")),
        Operation("GET", "/readyz", readyz, Access.OPEN, _described("Whether requests can be served", 503)),
        Operation(
            "GET", "/metrics", measured, Access.OPEN, _described("Counters and timings, for Prometheus")
        ),
    ]


def _described(summary: str, *more: int) -> dict[str, object]:
    answers: dict[str, object] = {"200": {"description": "Yes."}}
    answers.update({str(status): {"description": "No; the body says why."} for status in more})
    return {"tags": ["Service"], "summary": summary, "responses": answers}


async def _state(check: Check) -> str:
    try:
        async with asyncio.timeout(_PATIENCE):
            await check()
    except AppError as error:
        return f"{error.kind.value}"
    except TimeoutError:
        return "no answer"
    return "ok"
