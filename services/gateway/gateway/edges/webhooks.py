"""Hands on calls from the provider as they came in, since only the generator knows the provider's secret."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from gateway.core.rpc_call import Calls
from gateway.edges.http.request_body import read
from rushes.gateway.v1.webhooks_pb2 import ReceiveCallRequest, ReceiveOlderCallRequest
from rushes.generator.v1.webhooks_pb2 import ReceiveWebhookRequest, ReceiveWebhookResponse
from servicekit.telemetry import traces

MOST_BYTES = 4 * 1024 * 1024

_WITHHELD = ("authorization", "cookie", "x-api-key")


@dataclass(frozen=True)
class ProviderWebhooks:
    """The servicer of `WebhookService`."""

    calls: Calls

    async def ReceiveCall(self, message: ReceiveCallRequest, request: Request) -> ReceiveWebhookResponse:
        return await self._hand_on(message.attempt, message.traceparent, request)

    async def ReceiveOlderCall(
        self, message: ReceiveOlderCallRequest, request: Request
    ) -> ReceiveWebhookResponse:
        return await self._hand_on("", message.traceparent, request)

    async def _hand_on(self, attempt_id: str, traceparent: str, request: Request) -> ReceiveWebhookResponse:
        body = await read(request, MOST_BYTES)
        headers = {name: value for name, value in request.headers.items() if name not in _WITHHELD}
        received = ReceiveWebhookRequest(attempt_id=attempt_id, headers=headers, body=body)
        # The address we gave the provider carries the trace that requested the run.
        cause = traces.extract({"traceparent": traceparent})
        with traces.span("provider webhook", "consumer", parent=cause):
            return await self.calls(received, ReceiveWebhookResponse)
