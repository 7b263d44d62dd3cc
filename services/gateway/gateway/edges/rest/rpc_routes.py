"""Serves every route of the contracts: by calling the RPC, or, where it is the gateway's own, by a handler.

The gateway's own RPCs (`rushes.gateway.v1`) exist over HTTP alone. A class serves each of their services,
with a method for each RPC, as a gRPC servicer has. It takes the bound request message and the HTTP request.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.core.rpc_call import Calls
from gateway.edges.http.request_body import content_type, read_json
from gateway.edges.http.routing import Handler, Operation
from gateway.edges.rest.http_bindings import Binding, bindings
from gateway.edges.rest.transcoding.binding import bind, query_fields
from gateway.edges.rest.transcoding.descriptors import is_own
from gateway.edges.rest.transcoding.to_json import to_json
from servicekit.grpc.rules import check, ids_of
from servicekit.telemetry import subject


@dataclass(frozen=True)
class Reply:
    """A response message, and the headers to send with it."""

    message: Message
    headers: dict[str, str] = field(default_factory=dict)


Answer = Message | Reply | Response
"""What a handler of ours returns: a `Response` is sent as it is, a message as the option of its RPC says."""

OwnHandler = Callable[[Any, Request], Awaitable[Answer]]


def rpc_operations(calls: Calls, servicers: Mapping[str, object]) -> list[Operation]:
    """One operation for each route of each RPC.

    Args:
        servicers: what serves the gateway's own services, by the full name of the service.

    Raises:
        ValueError: a route of the gateway's own has no handler.
    """
    return [
        Operation(
            binding.verb,
            binding.template,
            _handler(binding, calls, _own_handler(binding, servicers)),
            binding.scope,
            binding.rest.token,
        )
        for binding in bindings()
    ]


def _own_handler(binding: Binding, servicers: Mapping[str, object]) -> OwnHandler | None:
    service = binding.method.containing_service
    if not is_own(service):
        return None
    handler: OwnHandler | None = getattr(servicers.get(service.full_name), binding.method.name, None)
    if handler is None:
        raise ValueError(f"nothing serves {binding.method.full_name}")
    return handler


def _handler(binding: Binding, calls: Calls, own: OwnHandler | None) -> Handler:
    async def handle(request: Request) -> Response:
        message = binding.new_request()
        bind(
            message,
            binding.rule,
            path=request.path_params,
            query=_query(request, binding),
            headers=request.headers,
            body=await read_json(request) if binding.reads_json(content_type(request)) else None,
        )
        subject.bind(ids_of(message))
        if own is None:
            return _response(binding, await calls(message, binding.response))
        check(message)
        return _response(binding, await own(message, request))

    return handle


def _query(request: Request, binding: Binding) -> list[tuple[str, str]]:
    """The parameters to bind: without unknown ones where no key is needed, elsewhere they are refused."""
    items = request.query_params.multi_items()
    if binding.scope is None:
        known = query_fields(binding.method.input_type, binding.rule)
        return [(name, text) for name, text in items if name in known]
    return [(name, text) for name, text in items if not (binding.rest.token and name == "token")]


def _response(binding: Binding, answer: Answer) -> Response:
    if isinstance(answer, Response):
        return answer
    reply = answer if isinstance(answer, Reply) else Reply(answer)
    if binding.status == 204:
        return Response(status_code=204, headers=reply.headers)
    body, when = to_json(reply.message), binding.rest.when
    status = when.status if when.field and body[when.field] == when.value else binding.status
    return JSONResponse(body, status, headers=reply.headers)
