"""Serves the OpenAPI document, and the page that shows it."""

from __future__ import annotations

from google.protobuf.empty_pb2 import Empty
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from gateway.edges.rest.openapi.docs_page import POLICY, render
from gateway.edges.rest.openapi.document import build_document


class Docs:
    """The servicer of `DocumentService`."""

    def __init__(self) -> None:
        self._document = build_document()
        self._page = render(self._document)

    async def GetDocument(self, message: Empty, request: Request) -> Response:
        return JSONResponse(self._document, headers={"Cache-Control": "no-cache"})

    async def GetDocumentPage(self, message: Empty, request: Request) -> Response:
        return HTMLResponse(self._page, headers={"Content-Security-Policy": POLICY})

    async def GetHome(self, message: Empty, request: Request) -> Response:
        return RedirectResponse("/docs", 302)
