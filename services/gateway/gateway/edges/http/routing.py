"""One operation of the API: its address, its handler, who may use it, and its entry in the document."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.core.problems.domain.field_problems import refuse
from gateway.core.problems.domain.suggestions import shown, unknown
from gateway.core.rest.domain.path_templates import Template, parse
from servicekit.errors import FieldProblem

Handler = Callable[[Request], Awaitable[Response]]


class Access(Enum):
    """How callers show who they are."""

    OPEN = "open"
    KEY = "key"
    TOKEN_OR_KEY = "token or key"  # noqa: S105  # a word, not a token
    """The handler judges a token in the query; without one, a key is needed."""


@dataclass(frozen=True)
class Operation:
    """One method of one path.

    Args:
        method: "GET", "POST", …
        path: with variables, such as `/api/v3/jobs/{id}/events`.
        handle: answers a request; `request.path_params` are named as in `path`.
        access: who may use it; a key's scope follows from method and path.
        document: its OpenAPI operation object.
    """

    method: str
    path: str
    handle: Handler
    access: Access = Access.KEY
    document: dict[str, Any] = field(default_factory=dict)

    @property
    def template(self) -> Template:
        """The path, read."""
        return parse(self.path)


class Admission:
    """Judges whether a request may use an operation; see `gate.Gate`."""

    async def admit(self, request: Request, operation: Operation) -> None:
        """Raise Unauthenticated or Forbidden, or let it pass."""
        raise NotImplementedError


def routes(operations: Sequence[Operation], admission: Admission) -> list[Route]:
    """One route for each path, literal paths before those with a variable in the same place.

    Raises:
        ValueError: two operations have the same method and path.
    """
    by_shape: dict[str, list[Operation]] = {}
    for operation in operations:
        by_shape.setdefault(operation.template.shape, []).append(operation)
    ordered = sorted(by_shape.values(), key=lambda group: group[0].template.specificity)
    return [_route(group, admission) for group in ordered]


def _route(group: Sequence[Operation], admission: Admission) -> Route:
    by_method = {operation.method: operation for operation in group}
    if len(by_method) < len(group):
        raise ValueError(f"{group[0].path}: an operation is declared twice")

    async def answer(request: Request) -> Response:
        method = request.method
        operation = by_method.get(method) or by_method["GET"]  # Starlette lets HEAD in where there is a GET
        places = (request.path_params[f"p{place}"] for place in range(len(operation.template.variables)))
        # Logs and metrics tell the route by the template that people know.
        request.scope["route"] = operation
        request.scope["path_params"] = dict(zip(operation.template.variables, places, strict=True))
        await admission.admit(request, operation)
        if operation.access is Access.KEY:
            _refuse_idempotency_key(request)
        return await operation.handle(request)

    return Route(group[0].template.route, answer, methods=list(by_method), name=group[0].template.shape)


def _refuse_idempotency_key(request: Request) -> None:
    """Raise Invalid: who sends it relies on repeating the request, and would create, and pay, twice."""
    if request.method == "POST" and "idempotency-key" in request.headers:
        problem = FieldProblem(
            "Idempotency-Key",
            "is not supported: a repeated request would create again. Nothing was done; leave the header "
            "out, and after a lost answer look for what was created (GET of the same path) before repeating",
        )
        refuse([problem])


def parameter(name: str, where: str, description: str, schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An OpenAPI parameter object; `where` is "path", "query" or "header"."""
    required = {"required": True} if where == "path" else {}
    return {"name": name, "in": where, "description": description, "schema": schema, **required, **more}


def refuse_unknown_query(request: Request, known: Iterable[str]) -> None:
    """Raise Invalid naming the query parameters that the operation does not know, and the nearest it does."""
    known = tuple(known)
    refuse(
        [
            FieldProblem(shown(name), unknown("query parameter", name, known))
            for name in request.query_params
            if name not in known
        ]
    )
