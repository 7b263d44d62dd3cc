"""Acknowledges one delivery, or returns it, and makes sure that the server has received that."""

from __future__ import annotations

import asyncio
import json

import structlog
from nats.aio.msg import Msg
from prometheus_client import Counter

from servicekit.errors import AppError, ErrorKind
from servicekit.events.event import MESSAGE_ID, Event
from servicekit.events.log import EventLog
from servicekit.events.nats_errors import NATS_ERRORS
from servicekit.events.topology import DEAD_LETTER_PREFIX, ConsumerSpec

DEAD_LETTERS = Counter(
    "rushes_dead_letters", "Events that a consumer gave up, by kind of error", ["consumer", "kind"]
)

_ANSWER_BUDGET = 1.0
"""Seconds the server may take to confirm."""

_ATTEMPTS = 5

_ACK, _PROGRESS, _TERM, _NAK = b"+ACK", b"+WPI", b"+TERM", b"-NAK"


class Acknowledger:
    """Answers one delivery. Each verb waits for the server's confirmation and repeats over reconnects.

    An acknowledgement without confirmation is not an error: the event is delivered again after
    `ack_wait`, and handling an event twice changes nothing.
    """

    def __init__(self, log: EventLog, message: Msg, spec: ConsumerSpec) -> None:
        self._events = log
        self._message = message
        self._spec = spec

    async def ack(self) -> bool:
        """The event is done for good; whether the server has confirmed."""
        return await self._send_until_confirmed(_ACK)

    async def nak(self, delay: float = 0.0) -> bool:
        """Deliver it again after `delay` seconds: to whichever replica has room."""
        options = json.dumps({"delay": int(delay * 1e9)}).encode()
        return await self._send_until_confirmed(_NAK + b" " + options if delay > 0 else _NAK)

    async def in_progress(self) -> bool:
        """The handler still works on it; whether the server has confirmed. One attempt: heartbeats repeat."""
        return await self._send(_PROGRESS, min(_ANSWER_BUDGET, self._spec.heartbeat))

    async def dead_letter(self, event: Event, error: Exception) -> None:
        """Store it with the reason in the dead letters, then end it. Unavailable when it cannot be stored."""
        kind = error.kind if isinstance(error, AppError) else ErrorKind.INTERNAL
        headers = {
            **(self._message.headers or {}),
            MESSAGE_ID: f"{DEAD_LETTER_PREFIX}:{self._spec.name}:{event.sequence}:{event.id}",
            "x-reason": " ".join(f"{type(error).__name__}: {error}".split())[:1000],
            "x-kind": kind.value,
            "x-subject": self._message.subject,
            "x-sequence": str(event.sequence),
            "x-deliveries": str(event.deliveries),
        }
        await self._events.store(f"{DEAD_LETTER_PREFIX}.{self._spec.name}", self._message.data, headers)
        DEAD_LETTERS.labels(self._spec.name, kind.value).inc()
        await self._send_until_confirmed(_TERM)

    async def _send_until_confirmed(self, payload: bytes) -> bool:
        """Send until the server has answered, over reconnects.

        A server that is connected and does not answer knows nothing of the delivery: nats-server writes
        acknowledgements to disk a moment later, and after a kill -9 that moment is lost. Then the event
        is delivered again.
        """
        for _ in range(_ATTEMPTS):
            if await self._send(payload, _ANSWER_BUDGET):
                return True
            if self._events.is_connected:
                break
            try:
                await asyncio.wait_for(self._events.connected(), self._spec.ack_wait)
            except TimeoutError:
                break
        structlog.get_logger("servicekit.events").info(
            "acknowledgement not confirmed: the event is delivered again",
            consumer=self._spec.name,
            subject=self._message.subject,
        )
        return False

    async def _send(self, payload: bytes, timeout: float) -> bool:  # noqa: ASYNC109  # nats-py's own timeout
        if not self._events.is_connected:
            return False
        try:
            request = self._events.client.request(self._message.reply, payload, timeout=timeout)
            await self._events.unless_lost(request)
        except (*NATS_ERRORS, AppError):
            return False
        return True
