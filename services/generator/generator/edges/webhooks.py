"""WebhookService: calls from the provider, verified before anything in them is believed."""

from __future__ import annotations

from typing import Any, Protocol

import grpc.aio

from generator.core.runs.domain.webhook_signature import verify
from generator.core.runs.handle_webhook import receive
from generator.core.runs.track_prediction import Ports
from generator.edges.provider_access_errors import our_access
from rushes.generator.v1 import webhooks_pb2, webhooks_pb2_grpc
from servicekit.errors import Unauthenticated


class Secrets(Protocol):
    """The key of the provider's signatures."""

    async def webhook_secret(self, *, fresh: bool = False) -> str:
        """`whsec_…`; `fresh` asks the provider again."""
        ...


REFRESH = 60.0
"""Seconds between two askings for the secret because of a wrong signature: forgers must not make us ask."""


class WebhookService(webhooks_pb2_grpc.WebhookServiceServicer):
    """Receives what the gateway hands on."""

    def __init__(self, ports: Ports, secrets: Secrets) -> None:
        self._ports = ports
        self._secrets = secrets
        self._asked = -REFRESH

    async def ReceiveWebhook(
        self,
        request: webhooks_pb2.ReceiveWebhookRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> webhooks_pb2.ReceiveWebhookResponse:
        """Verify and take in."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        await self._verify(headers, request.body)
        return webhooks_pb2.ReceiveWebhookResponse(
            new=await receive(self._ports, request.attempt_id, request.body)
        )

    async def _verify(self, headers: dict[str, str], body: bytes) -> None:
        secret = await self._secret()
        now = self._ports.clock.now()
        try:
            verify(secret, headers, body, now=now)
        except Unauthenticated:
            moment = self._ports.clock.monotonic()
            if moment - self._asked < REFRESH:
                raise
            self._asked = moment
            renewed = await self._secret(fresh=True)
            if renewed == secret:
                raise
            verify(renewed, headers, body, now=now)  # the key was rotated

    @our_access()
    async def _secret(self, *, fresh: bool = False) -> str:
        return await self._secrets.webhook_secret(fresh=fresh)
