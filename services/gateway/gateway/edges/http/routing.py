"""Routes requests to operations: one route for each path, and the key is checked before the handler runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from gateway.core.auth.domain import Scope
from gateway.core.problems.domain import refuse_if_any
from gateway.core.rest.domain.path_templates import Template
from gateway.edges.http.lingering_close import LingeringMiddleware
from servicekit.errors import FieldProblem
from servicekit.http.edge import EdgeMiddleware
from servicekit.http.problem import install_problem_handlers

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Operation:
    """One method of one path.

    Args:
        method: "GET", "POST", …
        template: the path.
        handle: answers a request; `request.path_params` are named as in the template.
        scope: what a key must allow; None where no key is needed.
        token: what a token in the query must be signed for, such as `asset:{id}`; empty where none will do.
    """

    method: str
    template: Template
    handle: Handler
    scope: Scope | None
    token: str = ""

    @property
    def path(self) -> str:
        """The template as people know it: what metrics and spans call the route."""
        return self.template.text


class Authorizer(Protocol):
    async def authorize(self, request: Request, operation: Operation) -> None:
        """Raise Unauthenticated or Forbidden unless the request may use the operation."""
        ...


def make_app(operations: Sequence[Operation], authorizer: Authorizer) -> ASGIApp:
    """The app of all operations: errors are problems, requests are traced, counted and logged."""
    app = Starlette(routes=_routes(operations, authorizer))
    app.router.redirect_slashes = False
    install_problem_handlers(app)
    return EdgeMiddleware(LingeringMiddleware(app))


def _routes(operations: Sequence[Operation], authorizer: Authorizer) -> list[Route]:
    """One route for each path, literal paths before those with a variable in the same place.

    Raises:
        ValueError: two operations have the same method and path.
    """
    by_shape: dict[str, list[Operation]] = {}
    for operation in operations:
        by_shape.setdefault(operation.template.shape, []).append(operation)
    ordered = sorted(by_shape.values(), key=lambda group: group[0].template.specificity)
    return [_route(group, authorizer) for group in ordered]


def _route(group: Sequence[Operation], authorizer: Authorizer) -> Route:
    by_method = {operation.method: operation for operation in group}
    if len(by_method) < len(group):
        raise ValueError(f"{group[0].path}: an operation is declared twice")

    async def serve(request: Request) -> Response:
        # Starlette lets HEAD in wherever there is a GET.
        operation = by_method.get(request.method) or by_method["GET"]
        variables = operation.template.variables
        values = (request.path_params[f"p{place}"] for place in range(len(variables)))
        request.scope["route"] = operation
        request.scope["path_params"] = dict(zip(variables, values, strict=True))
        await authorizer.authorize(request, operation)
        if operation.scope is not None:
            _refuse_idempotency_key(request)
        return await operation.handle(request)

    return Route(group[0].template.route, serve, methods=list(by_method), name=group[0].template.shape)


def _refuse_idempotency_key(request: Request) -> None:
    """Raise Invalid: who sends it relies on repeating the request, and would create, and pay, twice."""
    if request.method == "POST" and "idempotency-key" in request.headers:
        problem = FieldProblem(
            "Idempotency-Key",
            "is not supported: a repeated request would create again. Nothing was done; leave the header "
            "out, and after a lost answer look for what was created (GET of the same path) before repeating",
        )
        refuse_if_any([problem])
