"""The app: every operation, the document of them all, and the page that shows it."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp

from gateway.edges.http.lingering_close import LingeringMiddleware
from gateway.edges.http.routing import Access, Admission, Operation, routes
from gateway.edges.rest.openapi.docs_page import POLICY, render
from gateway.edges.rest.openapi.document import build
from servicekit.http.edge import EdgeMiddleware
from servicekit.http.problem import install


def documented(operations: Sequence[Operation]) -> list[Operation]:
    """The operations, and with them the document and the page that tell of them all."""

    async def openapi(_: Request) -> Response:
        return JSONResponse(document, headers={"Cache-Control": "no-cache"})

    async def home(_: Request) -> Response:
        return RedirectResponse("/docs", 302)

    async def docs(_: Request) -> Response:
        return HTMLResponse(page, headers={"Content-Security-Policy": POLICY})

    said = {"tags": ["Service"], "responses": {"200": {"description": "Here."}}}
    everything = [
        *operations,
        Operation("GET", "/api/openapi.json", openapi, Access.OPEN, {**said, "summary": "This document"}),
        Operation("GET", "/", home, Access.OPEN, {**said, "summary": "To the page that tells of it all"}),
        Operation("GET", "/docs", docs, Access.OPEN, {**said, "summary": "This document as a page"}),
    ]
    document = build(everything)
    page = render(document)
    return everything


def make(operations: Sequence[Operation], admission: Admission) -> ASGIApp:
    """The ASGI app of these operations: errors are problems, requests are traced, counted and logged."""
    app = Starlette(routes=routes(documented(operations), admission))
    app.router.redirect_slashes = False
    install(app)
    return EdgeMiddleware(LingeringMiddleware(app))
