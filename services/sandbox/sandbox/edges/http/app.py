"""Builds the HTTP application: all routes behind the check of the token."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sandbox.edges.http.fault_responses import BAD_TOKEN, Handler
from sandbox.edges.http.responses import Refused, problem

Cover = Callable[[str], bytes]
"""From a model's name to a JPEG."""
_GUARDED = ("/v1/", "/sandbox/")
_ACCOUNT = {
    "type": "organization",
    "username": "rushes",
    "name": "Rushes sandbox",
    "github_url": None,
    "avatar_url": None,
}


class TokenCheck:
    """ASGI middleware: refuses API and control requests without the right token (`Bearer` or `Token`)."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # The address of a signed download is its permission.
        guarded = (
            scope["type"] == "http" and scope["path"].startswith(_GUARDED) and not _is_signed(scope["path"])
        )
        if not self._token or not guarded:
            await self._app(scope, receive, send)
            return
        given = Request(scope).headers.get("authorization")
        if given is None:
            refused = problem(401, "You did not pass an authentication token", "Unauthenticated")
        else:
            scheme, _, token = given.partition(" ")
            is_right = hmac.compare_digest(token.strip().encode(), self._token.encode())
            if scheme.lower() in ("bearer", "token") and is_right:
                await self._app(scope, receive, send)
                return
            refused = problem(401, BAD_TOKEN, "Unauthenticated")
        await refused(scope, receive, send)


def _is_signed(path: str) -> bool:
    return path.startswith("/v1/files/") and path.endswith("/download")


def build(routes: Sequence[BaseRoute], *, token: str, webhook_secret: str, cover: Cover) -> ASGIApp:
    async def picture(request: Request) -> Response:
        return Response(cover(request.path_params["model"]), media_type="image/jpeg")

    async def refused(_: Request, error: Any) -> Response:
        return error.response  # type: ignore[no-any-return]  # of `Refused`

    async def failed(_: Request, error: Any) -> Response:
        return problem(error.status_code, error.detail)

    app = Starlette(
        routes=[
            Route("/healthz", _constant({"status": "ok"})),
            Route("/v1/webhooks/default/secret", _constant({"key": webhook_secret})),
            Route("/v1/account", _constant(_ACCOUNT)),
            Route("/v1/hardware", _constant([{"name": "CPU", "sku": "cpu"}])),
            Route("/covers/{model:path}.jpg", picture),
            *routes,
        ],
        exception_handlers={HTTPException: failed, Refused: refused},
    )
    return TokenCheck(app, token)


def _constant(value: Any) -> Handler:
    async def answer(_: Request) -> Response:
        return JSONResponse(value)

    return answer
