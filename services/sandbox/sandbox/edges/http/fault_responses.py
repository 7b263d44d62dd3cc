"""Applies the faults of the phase `request` to responses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response

from sandbox.core.clock import SandboxClock
from sandbox.core.faults import FaultRule, FaultRules
from sandbox.edges.http.connection_cuts import NeverAnswer, ResetConnection
from sandbox.edges.http.responses import problem

Answer = Callable[[], Awaitable[Response]]
Handler = Callable[[Request], Awaitable[Response]]
HTML = "<!DOCTYPE html><html><body><h1>Internal Server Error</h1></body></html>"
_LOW_CREDIT = (
    "Request was throttled. Your rate limit for creating predictions is reduced to 6 requests per minute "
    "with a burst of 1 requests while you have less than $5.0 in credit. Your rate limit resets in ~{s}s."
)
_NO_CREDIT = (
    "You have insufficient credit to run this model. Go to https://replicate.com/account/billing#billing "
    "to purchase credit. Once you purchase credit, please wait a few minutes before trying again."
)
BAD_TOKEN = "You did not pass a valid authentication token"  # noqa: S105 - a sentence, not a secret
_ACCEPTS_FIRST = ("hang", "reset")


@dataclass(frozen=True)
class FaultResponses:
    rules: FaultRules
    clock: SandboxClock

    def around(self, route: str, handler: Handler) -> Handler:
        """The handler of requests that name no model, with the faults of this route."""

        async def handle(request: Request) -> Response:
            return await self.apply(route, None, lambda: handler(request))

        return handle

    async def apply(self, route: str, model: str | None, answer: Answer) -> Response:
        """The answer, or the response of a fault that a rule has for this route and model."""
        rule = self.rules.take("request", route=route, model=model, only=_STRIKING)
        if rule is None:
            return await answer()
        if rule.fault == "slow":
            await self.clock.sleep(float(rule.params.get("seconds", 5.0)))
            return await answer()
        if rule.params.get("accept", rule.fault in _ACCEPTS_FIRST):
            made = await answer()
            if made.status_code >= 400:
                return made
        return _response_of(rule)

    def sync_processing(self, model: str) -> bool:
        """Whether a create whose wait is over is to answer `processing`."""
        rule = self.rules.take("request", route="create", model=model, only=("sync_processing",))
        return rule is not None


def throttled(detail: str, wait: int, *, header: bool, body: bool) -> Response:
    """429 with the seconds to wait in the header, the body, both or neither."""
    content = {"detail": detail, "status": 429, **({"retry_after": wait} if body else {})}
    headers = {"Retry-After": str(wait)} if header else None
    return JSONResponse(content, 429, headers, "application/problem+json")


def _response_of(rule: FaultRule) -> Response:
    wait = int(rule.params.get("retry_after", 3))
    makers: dict[str, Callable[[], Response]] = {
        "429_header": lambda: throttled("Request was throttled.", wait, header=True, body=False),
        "429_body": lambda: throttled(_LOW_CREDIT.format(s=wait), wait, header=False, body=True),
        "429_text": lambda: throttled(
            f"Request was throttled. Your rate limit resets in ~{wait}s.", wait, header=False, body=False
        ),
        "402": lambda: problem(402, _NO_CREDIT, "Insufficient credit"),
        "401": lambda: problem(401, BAD_TOKEN, "Unauthenticated"),
        "500_html": lambda: HTMLResponse(HTML, 500),
        "503": lambda: PlainTextResponse("upstream connect error or disconnect/reset before headers\n", 503),
        "hang": NeverAnswer,
        "reset": ResetConnection,
    }
    return makers[rule.fault]()


_STRIKING = ("429_header", "429_body", "429_text", "402", "401", "500_html", "503", "slow", "hang", "reset")
