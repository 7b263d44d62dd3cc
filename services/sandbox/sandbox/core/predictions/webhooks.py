"""Sends the webhooks of predictions: filtered, throttled, signed, and the last one with retries."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial

from sandbox.core.clock import SandboxClock
from sandbox.core.faults import FaultRule, FaultRules
from sandbox.core.models.domain.model import ModelCatalog
from sandbox.core.predictions.domain.prediction import Prediction, Status, api_object
from sandbox.core.predictions.ports import Store, WebhookMessage, WebhookSender
from servicekit.concurrency import end

THROTTLE_S = 0.5
"""Seconds between two messages of one prediction before its last one."""
RETRY_DELAYS_S = (1.0, 2.0, 4.0, 8.0, 16.0, 29.0)
"""The last retry is a minute after the prediction has ended."""
_DEFAULT_EVENTS = ("output", "completed")


@dataclass(frozen=True)
class Webhooks:
    """Sends the messages of one prediction one after another.

    The terminal message (of the final state) is stored until it is accepted or given up.
    """

    store: Store
    sender: WebhookSender
    clock: SandboxClock
    faults: FaultRules
    catalog: ModelCatalog
    secret: str = field(repr=False)
    _sent_at: dict[str, float] = field(init=False, default_factory=dict)
    _sending: dict[str, asyncio.Task[None]] = field(init=False, default_factory=dict)

    def wants(self, prediction: Prediction, event: str) -> bool:
        return prediction.webhook is not None and event in (prediction.events or _DEFAULT_EVENTS)

    def notify(self, prediction: Prediction, event: str) -> None:
        """Send a message before the end, unless the filter or the throttle holds it back."""
        if not self.wants(prediction, event):
            return
        if event != "start":
            now = self.clock.monotonic()
            if now - self._sent_at.get(prediction.id, -THROTTLE_S) < THROTTLE_S:
                return
            self._sent_at[prediction.id] = now
        message = self._message(prediction)
        rule = self._fault(prediction, event)
        self._send_after_earlier(message, lambda: self._send(message, rule))

    def terminal_message(self, prediction: Prediction) -> WebhookMessage | None:
        """The message to store with the final state; None when the filter lets none through."""
        return self._message(prediction) if self.wants(prediction, "completed") else None

    def finish(self, prediction: Prediction, message: WebhookMessage | None) -> None:
        """Send the stored terminal message with retries."""
        self._sent_at.pop(prediction.id, None)
        if message is None:
            return
        rule = self._fault(prediction, "completed")
        if rule is not None and rule.fault == "webhook_lost":
            self.store.delete_message(message.id)
            return
        self._send_after_earlier(message, lambda: self._send_with_retries(message, rule))
        if rule is not None and rule.fault == "webhook_reordered":
            stale = replace(prediction, status=Status.PROCESSING, completed_at=None, output=None, metrics={})
            late = self._message(stale)
            self._send_after_earlier(late, lambda: self._send(late, None))

    def resume(self) -> None:
        """Send the terminal messages that an earlier process has not got rid of."""
        for message in self.store.messages():
            self._send_after_earlier(message, partial(self._send_with_retries, message, None))

    async def stop(self) -> None:
        """Stop sending; stored messages are sent after the next start."""
        await end(*self._sending.values())

    def _message(self, prediction: Prediction) -> WebhookMessage:
        official = self.catalog.is_official(prediction.model)
        shown = api_object(prediction, self.clock.now(), base=prediction.base, official=official)
        body = json.dumps(shown).encode()
        return WebhookMessage(f"msg_{secrets.token_hex(12)}", prediction.id, prediction.webhook or "", body)

    def _fault(self, prediction: Prediction, event: str) -> FaultRule | None:
        return self.faults.take("webhook", route="webhook", model=prediction.model, event=event)

    def _send_after_earlier(self, message: WebhookMessage, work: Callable[[], Awaitable[object]]) -> None:
        before = self._sending.get(message.prediction_id)

        async def run() -> None:
            try:
                if before is not None:
                    await asyncio.wait({before})
                await work()
            finally:
                if self._sending.get(message.prediction_id) is task:
                    del self._sending[message.prediction_id]

        task = asyncio.get_running_loop().create_task(run())
        self._sending[message.prediction_id] = task

    async def _send(self, message: WebhookMessage, rule: FaultRule | None) -> int:
        fault = rule.fault if rule else ""
        if fault == "webhook_lost":
            return 200
        if rule is not None and fault == "webhook_late":
            await self.clock.sleep(float(rule.params.get("seconds", 30.0)))
        secret = new_secret() if fault == "webhook_bad_signature" else self.secret
        if rule is not None and fault == "webhook_doubled":
            for _ in range(int(rule.params.get("times", 2)) - 1):
                await self._post(message, secret)
        return await self._post(message, secret)

    async def _post(self, message: WebhookMessage, secret: str) -> int:
        # Receivers compare the timestamp with their own clock, so it is the real time even in virtual time.
        timestamp = int(self.clock.wall().timestamp())
        headers = {
            "content-type": "application/json",
            "user-agent": "Replicate-Webhook",
            "webhook-id": message.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(secret, message.id, timestamp, message.body),
        }
        return await self.sender.post(message.url, headers, message.body)

    async def _send_with_retries(self, message: WebhookMessage, rule: FaultRule | None) -> None:
        status = await self._send(message, rule)
        while _is_retried(status) and message.attempts < len(RETRY_DELAYS_S):
            delay = RETRY_DELAYS_S[message.attempts]
            message = replace(message, attempts=message.attempts + 1)
            self.store.save_message_attempts(message)
            await self.clock.sleep(delay)
            status = await self._send(message, None)
        self.store.delete_message(message.id)


def _is_retried(status: int) -> bool:
    """No answer, or an error. A redirect is neither: it is not followed, and the message is lost."""
    return status == 0 or status >= 400


def new_secret() -> str:
    """`whsec_` and 24 random bytes in standard base64, which has no `_`: clients split there."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature` of a message that is sent at `timestamp` (Unix seconds).

    As Replicate signs: Standard Webhooks with a symmetric secret.
    """
    key = base64.b64decode(secret.removeprefix("whsec_"))
    message = b".".join((message_id.encode(), str(timestamp).encode(), body))
    return "v1," + base64.b64encode(hmac.new(key, message, hashlib.sha256).digest()).decode()
