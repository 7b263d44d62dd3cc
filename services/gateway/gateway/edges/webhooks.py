"""Calls from the provider: handed on as they came in, since only the generator knows the secret."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.core.rpc_call import Calls, Rpc
from gateway.edges.http.request_body import read
from gateway.edges.http.routing import Access, Operation, parameter
from rushes.generator.v1.webhooks_pb2 import ReceiveWebhookRequest, ReceiveWebhookResponse
from servicekit import telemetry

RECEIVE = Rpc(
    "/rushes.generator.v1.WebhookService/ReceiveWebhook", ReceiveWebhookRequest, ReceiveWebhookResponse
)

MOST_BYTES = 4 * 1024 * 1024
_DEADLINE = 5.0
"""Seconds; the provider sends again what gets no answer."""

_KEPT_BACK = ("authorization", "cookie", "x-api-key")


def operations(calls: Calls) -> list[Operation]:
    """The addresses that the provider is given: with the attempt, and the older one without."""

    async def receive(request: Request) -> Response:
        body = await read(request, MOST_BYTES)
        headers = {name: value for name, value in request.headers.items() if name not in _KEPT_BACK}
        message = ReceiveWebhookRequest(
            attempt_id=request.path_params.get("attempt", ""), headers=headers, body=body
        )
        # The address we gave the provider carries the trace that asked for the run.
        caused_by = telemetry.extract({"traceparent": request.query_params.get("traceparent", "")})
        with telemetry.span("provider webhook", "consumer", parent=caused_by):
            answer = await calls(RECEIVE, message, deadline=_DEADLINE)
        return JSONResponse({"new": answer.new})

    attempt = parameter("attempt", "path", "The attempt that the call is about.", {"type": "string"})
    return [
        Operation(
            "POST",
            "/api/webhooks/replicate/{attempt}",
            receive,
            Access.OPEN,
            _document([attempt], legacy=False),
        ),
        Operation("POST", "/api/webhooks/replicate", receive, Access.OPEN, _document([], legacy=True)),
    ]


def _document(parameters: list[dict[str, object]], *, legacy: bool) -> dict[str, object]:
    return {
        "tags": ["Webhooks"],
        "summary": "Receive a call from the provider" + (" (older address)" if legacy else ""),
        "description": "Signed by the provider over the raw body; a copy or a late one changes nothing.",
        "deprecated": legacy,
        "parameters": parameters,
        "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}},
        "responses": {
            "200": {
                "description": "Taken.",
                "content": {
                    "application/json": {
                        "schema": {
                            "type": "object",
                            "required": ["new"],
                            "properties": {"new": {"type": "boolean", "description": "Whether it was news."}},
                        }
                    }
                },
            }
        },
    }
