"""What happens around every HTTP request: trace context, access line, metrics, the last word on errors."""

from __future__ import annotations

from typing import Any

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from servicekit.clock import Clock, SystemClock
from servicekit.http.problem import fault
from servicekit.telemetry import metrics, traces
from servicekit.telemetry.logs import clean_text

_log = structlog.get_logger(__name__)

# Probes come every few seconds and tell nothing.
UNLOGGED = frozenset({"/healthz", "/readyz", "/metrics"})

# Nginx's number for a client that went away before the answer; never sent.
_CLIENT_GONE = 499


class EdgeMiddleware:
    """An ASGI middleware, to be the outermost: a server span, one log line and two metrics per request.

    What the app raises before it has answered becomes a problem here, so that its log line has the trace.
    Our own forty lines rather than `opentelemetry-instrumentation-asgi`: that one is beta, brings three
    packages, adds a span for every message sent (thousands in an SSE stream) and does not log.
    """

    def __init__(self, app: ASGIApp, *, clock: Clock | None = None) -> None:
        self._app = app
        self._clock = clock or SystemClock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; other scopes (lifespan, websocket) pass through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, seen = self._clock.monotonic(), {"status": _CLIENT_GONE}

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen["status"] = message["status"]
            await send(message)

        method: str = scope["method"]
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        with traces.span(
            method, "server", parent=traces.extract(headers), attributes={"http.request.method": method}
        ) as span:
            try:
                await self._app(scope, receive, sent)
            except Exception as error:
                if seen["status"] != _CLIENT_GONE:
                    raise  # half an answer is out: the server breaks the connection, and the client knows
                await fault(error, instance=scope["path"])(scope, receive, sent)
            finally:
                route = _route(scope)
                span.update_name(f"{method} {route}")
                span.set_attribute("http.route", route)
                span.set_attribute("http.response.status_code", seen["status"])
                if seen["status"] >= 500:
                    span.set_status(traces.FAILED)
                self._tell(scope, route, seen["status"], self._clock.monotonic() - began)

    def _tell(self, scope: Scope, route: str, status: int, seconds: float) -> None:
        method: str = scope["method"]
        metrics.HTTP_REQUESTS.labels(method, route, str(status)).inc()
        metrics.HTTP_SECONDS.labels(method, route).observe(seconds)
        if scope["path"] in UNLOGGED:
            return
        told: dict[str, Any] = {"method": method, "path": clean_text(scope["path"]), "status": status}
        _log.info("http", **told, ms=round(seconds * 1000, 1))


def _route(scope: Scope) -> str:
    """The route's template: paths hold ids, and neither metrics nor span names may grow with them."""
    route = scope.get("route")
    return str(getattr(route, "path", "")) or "unmatched"
