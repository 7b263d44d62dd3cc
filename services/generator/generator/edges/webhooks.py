"""WebhookService: receives calls from the provider, and verifies them before anything in them is believed."""

from __future__ import annotations

from typing import Any, Protocol

import grpc.aio

from generator.core.runs.domain.webhook_signature import verify_signature
from generator.core.runs.handle_webhook import handle_webhook
from generator.core.runs.ports import RunPorts
from generator.edges.provider_access_errors import refused_access_is_unavailable
from rushes.generator.v1 import webhooks_pb2 as pb
from rushes.generator.v1 import webhooks_pb2_grpc
from servicekit.errors import Unauthenticated


class WebhookSecrets(Protocol):
    """Where the key of the provider's signatures comes from."""

    async def webhook_secret(self, *, fresh: bool = False) -> str:
        """`whsec_…`; `fresh`: from the provider, not from a cache."""
        ...


REFRESH_EVERY = 60.0
"""Seconds between two reads of the secret because of a wrong signature: forgers must not cause many."""


class WebhookService(webhooks_pb2_grpc.WebhookServiceServicer):
    """Receives what the gateway passes on."""

    def __init__(self, ports: RunPorts, secrets: WebhookSecrets) -> None:
        self._ports = ports
        self._secrets = secrets
        self._refreshed_at = -REFRESH_EVERY

    async def ReceiveWebhook(
        self, request: pb.ReceiveWebhookRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ReceiveWebhookResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        await self._verify(headers, request.body)
        new = await handle_webhook(self._ports, request.attempt_id, request.body)
        return pb.ReceiveWebhookResponse(new=new)

    async def _verify(self, headers: dict[str, str], body: bytes) -> None:
        secret = await self._secret()
        now = self._ports.clock.now()
        try:
            verify_signature(secret, headers, body, now=now)
        except Unauthenticated:
            moment = self._ports.clock.monotonic()
            if moment - self._refreshed_at < REFRESH_EVERY:
                raise
            self._refreshed_at = moment
            renewed = await self._secret(fresh=True)
            if renewed == secret:
                raise
            verify_signature(renewed, headers, body, now=now)  # the key was rotated

    @refused_access_is_unavailable()
    async def _secret(self, *, fresh: bool = False) -> str:
        return await self._secrets.webhook_secret(fresh=fresh)
