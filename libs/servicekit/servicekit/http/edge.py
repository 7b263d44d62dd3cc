"""Wraps every HTTP request: traces, logs, counts, and turns exceptions that nobody caught into problems."""

from __future__ import annotations

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from servicekit.clock import Clock, SystemClock
from servicekit.http.problem import problem_for_exception
from servicekit.telemetry import metrics, traces
from servicekit.telemetry.logs import clean_text

_log = structlog.get_logger(__name__)

# Probes come every few seconds: their lines and spans would hide the others.
UNRECORDED = frozenset({"/healthz", "/readyz", "/metrics"})

_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))

# Nginx's status for a client that left before the response; never sent.
_CLIENT_GONE = 499


class EdgeMiddleware:
    """An ASGI middleware, to be the outermost: a server span, one log line and two metrics per request.

    What the app raises before it has responded becomes a problem here, so that its log line has the trace.
    Our own forty lines rather than `opentelemetry-instrumentation-asgi`: that one is beta, brings three
    packages, adds a span for every message sent (thousands in an SSE stream) and does not log.
    """

    def __init__(self, app: ASGIApp, *, clock: Clock | None = None) -> None:
        self._app = app
        self._clock = clock or SystemClock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # lifespan and websocket pass through
            await self._app(scope, receive, send)
            return
        began, seen = self._clock.monotonic(), {"status": _CLIENT_GONE}

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen["status"] = message["status"]
            await send(message)

        method = _method(scope)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        recorded = traces.span(
            method, "server", parent=traces.extract(headers), attributes={"http.request.method": method}
        )
        with traces.nothing() if scope["path"] in UNRECORDED else recorded as span:
            try:
                await self._app(scope, receive, sent)
            except Exception as error:
                if seen["status"] != _CLIENT_GONE:
                    raise  # half a response is out: uvicorn breaks the connection, and the client notices
                await problem_for_exception(error, instance=scope["path"])(scope, receive, sent)
            finally:
                route = _route(scope)
                span.update_name(f"{method} {route}")
                span.set_attribute("http.route", route)
                span.set_attribute("http.response.status_code", seen["status"])
                if seen["status"] >= 500:
                    span.set_status(traces.FAILED)
                self._record(scope, route, seen["status"], self._clock.monotonic() - began)

    def _record(self, scope: Scope, route: str, status: int, seconds: float) -> None:
        method = _method(scope)
        metrics.HTTP_REQUESTS.labels(method, route, str(status)).inc()
        metrics.HTTP_SECONDS.labels(method, route).observe(seconds)
        if scope["path"] in UNRECORDED:
            return
        path = clean_text(scope["path"])
        _log.info("http", method=method, path=path, status=status, ms=round(seconds * 1000, 1))


def _method(scope: Scope) -> str:
    """The method, or "other": a client may send any word, and neither metrics nor span names may grow."""
    method: str = scope["method"]
    return method if method in _METHODS else "other"


def _route(scope: Scope) -> str:
    """The route's template: paths hold ids, and neither metrics nor span names may grow with them."""
    route = scope.get("route")
    return str(getattr(route, "path", "")) or "unmatched"
