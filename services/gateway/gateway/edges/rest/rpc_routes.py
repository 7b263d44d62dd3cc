"""Operations made from the contracts: no handler of their own, whatever RPC they stand for."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.core.rpc_call import Calls
from gateway.edges.http.request_body import read_json
from gateway.edges.http.routing import Handler, Operation
from gateway.edges.rest.http_bindings import Binding, bindings
from gateway.edges.rest.openapi.operations import describe
from gateway.edges.rest.transcoding.binding import bind
from gateway.edges.rest.transcoding.to_json import to_json
from rushes.catalog.v1.jobs_pb2 import JOB_STATUS_DRAFT, Job

DEADLINES = {
    "/rushes.catalog.v1.JobService/CreateJob": 20.0,  # planning reads photos; catalog itself gives it ten
    "/rushes.catalog.v1.GenerationService/BatchCreateGenerations": 30.0,
}
"""Seconds for RPCs that may take longer than the default."""


def operations(calls: Calls) -> list[Operation]:
    """One operation for each address of each RPC."""
    return [
        Operation(binding.verb, binding.template.text, _handler(binding, calls), document=describe(binding))
        for binding in bindings()
    ]


def _handler(binding: Binding, calls: Calls) -> Handler:
    async def handle(request: Request) -> Response:
        body = await read_json(request) if binding.rule.body else None
        message = binding.rpc.request()
        bind(message, binding.rule, request.path_params, request.query_params.multi_items(), body)
        answer = await calls(binding.rpc, message, deadline=DEADLINES.get(binding.rpc.name))
        status = binding.status
        if status == 204:
            return Response(status_code=status)
        if status == 201 and isinstance(answer, Job) and answer.status == JOB_STATUS_DRAFT:
            status = 202  # it is still being planned
        return JSONResponse(to_json(answer), status)

    return handle
