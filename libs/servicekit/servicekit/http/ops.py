"""Serves the probes and metrics of a service over HTTP."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from servicekit.errors import AppError
from servicekit.readiness import Ready
from servicekit.telemetry import metrics


def ops_app(ready: Ready) -> Starlette:
    """`/healthz` (the process answers), `/readyz` (200, or 503 and why not) and `/metrics`."""

    async def alive(_: Request) -> Response:
        return PlainTextResponse("ok")

    async def readiness(_: Request) -> Response:
        try:
            await ready()
        except AppError as error:
            return PlainTextResponse(error.message, status_code=503)
        return PlainTextResponse("ready")

    async def counted(_: Request) -> Response:
        return Response(metrics.text(), headers={"Content-Type": metrics.CONTENT_TYPE})

    return Starlette(
        routes=[Route("/healthz", alive), Route("/readyz", readiness), Route("/metrics", counted)]
    )
