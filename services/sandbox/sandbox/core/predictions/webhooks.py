"""Which webhooks a prediction sends, when, how they are signed, and how the terminal one is retried."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

from sandbox.core.clock import SandboxClock
from sandbox.core.faults import FaultBook, Rule
from sandbox.core.predictions.domain.prediction import Prediction, Status
from sandbox.core.predictions.ports import Message, Sender, Store
from sandbox.core.predictions.webhook_signature import new_secret, sign

THROTTLE_S = 0.5
RETRY_DELAYS_S = (1.0, 2.0, 4.0, 8.0, 16.0, 29.0)  # the last try is a minute after completion
_DEFAULT_EVENTS = ("output", "completed")
Show = Callable[[Prediction], dict[str, Any]]


class Webhooks:
    """Sends each prediction's messages one after another; terminal ones are stored until they were taken."""

    def __init__(
        self, store: Store, sender: Sender, clock: SandboxClock, faults: FaultBook, secret: str, show: Show
    ) -> None:
        self._store = store
        self._sender = sender
        self._clock = clock
        self._faults = faults
        self._secret = secret
        self._wrong_secret = new_secret()
        self._show = show
        self._last: dict[str, float] = {}
        self._chains: dict[str, asyncio.Task[None]] = {}

    def wants(self, prediction: Prediction, event: str) -> bool:
        """Whether the filter lets this event through."""
        return prediction.webhook is not None and event in (prediction.events or _DEFAULT_EVENTS)

    def notify(self, prediction: Prediction, event: str) -> None:
        """Send an intermediate message unless filtered, or throttled to one in 500 ms."""
        if not self.wants(prediction, event):
            return
        if event != "start":
            now = self._clock.monotonic()
            if now - self._last.get(prediction.id, -THROTTLE_S) < THROTTLE_S:
                return
            self._last[prediction.id] = now
        message = self._message(prediction)
        rule = self._fault(prediction, event)
        self._chain(message, lambda: self._once(message, rule))

    def terminal_message(self, prediction: Prediction) -> Message | None:
        """The message to store with the final state, None when nobody wants it."""
        return self._message(prediction) if self.wants(prediction, "completed") else None

    def finish(self, prediction: Prediction, message: Message | None) -> None:
        """Send the stored terminal message, with retries."""
        self._last.pop(prediction.id, None)
        if message is None:
            return
        rule = self._fault(prediction, "completed")
        if rule is not None and rule.fault == "webhook_lost":
            self._store.drop_message(message.id)
            return
        self._chain(message, lambda: self._with_retries(message, rule))
        if rule is not None and rule.fault == "webhook_reordered":
            stale = replace(prediction, status=Status.PROCESSING, completed_at=None, output=None, metrics={})
            late = self._message(stale)
            self._chain(late, lambda: self._once(late, None))

    def resume(self) -> None:
        """Go on with the terminal messages that a former process left."""
        for message in self._store.messages():
            self._chain(message, partial(self._with_retries, message, None))

    async def stop(self) -> None:
        """End all sending; what is stored goes on after the next start."""
        tasks = list(self._chains.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _message(self, prediction: Prediction) -> Message:
        body = json.dumps(self._show(prediction)).encode()
        return Message(f"msg_{secrets.token_hex(12)}", prediction.id, prediction.webhook or "", body)

    def _fault(self, prediction: Prediction, event: str) -> Rule | None:
        return self._faults.take("webhook", route="webhook", model=prediction.model, event=event)

    def _chain(self, message: Message, work: Callable[[], Awaitable[object]]) -> None:
        before = self._chains.get(message.prediction_id)

        async def run() -> None:
            try:
                if before is not None:
                    await asyncio.wait({before})
                await work()
            finally:
                if self._chains.get(message.prediction_id) is task:
                    del self._chains[message.prediction_id]

        task = asyncio.get_running_loop().create_task(run())
        self._chains[message.prediction_id] = task

    async def _once(self, message: Message, rule: Rule | None) -> int:
        fault = rule.fault if rule else ""
        if fault == "webhook_lost":
            return 200
        if rule is not None and fault == "webhook_late":
            await self._clock.sleep(float(rule.params.get("seconds", 30.0)))
        secret = self._wrong_secret if fault == "webhook_bad_signature" else self._secret
        if rule is not None and fault == "webhook_doubled":
            for _ in range(int(rule.params.get("times", 2)) - 1):
                await self._post(message, secret)
        return await self._post(message, secret)

    async def _post(self, message: Message, secret: str) -> int:
        # Receivers compare the timestamp with their own clock, so it is the real time even in virtual time.
        timestamp = int(self._clock.wall().timestamp())
        headers = {
            "content-type": "application/json",
            "user-agent": "Replicate-Webhook",
            "webhook-id": message.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(secret, message.id, timestamp, message.body),
        }
        return await self._sender.post(message.url, headers, message.body)

    async def _with_retries(self, message: Message, rule: Rule | None) -> None:
        status = await self._once(message, rule)
        while _is_retried(status) and message.attempts < len(RETRY_DELAYS_S):
            delay = RETRY_DELAYS_S[message.attempts]
            message = replace(message, attempts=message.attempts + 1)
            self._store.keep_message(message)
            await self._clock.sleep(delay)
            status = await self._once(message, None)
        self._store.drop_message(message.id)


def _is_retried(status: int) -> bool:
    """No connection, or an error. A redirect is neither: it is not followed, and the message is lost."""
    return status == 0 or status >= 400
