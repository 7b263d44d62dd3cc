"""Makes the ASGI app of all operations: errors are problems, requests are traced, counted and logged."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.types import ASGIApp

from gateway.edges.http.lingering_close import LingeringMiddleware
from gateway.edges.http.routing import Authorizer, Operation, routes
from servicekit.http.edge import EdgeMiddleware
from servicekit.http.problem import install_problem_handlers


def make_app(operations: Sequence[Operation], authorizer: Authorizer) -> ASGIApp:
    app = Starlette(routes=routes(operations, authorizer))
    app.router.redirect_slashes = False
    install_problem_handlers(app)
    return EdgeMiddleware(LingeringMiddleware(app))
