"""Telling the server what became of a delivery, and knowing that it heard."""

from __future__ import annotations

import asyncio
import json

import structlog
from nats.aio.msg import Msg
from prometheus_client import Counter

from servicekit.errors import AppError, ErrorKind
from servicekit.events.event import MESSAGE_ID, Event
from servicekit.events.log import EventLog
from servicekit.events.topology import DEAD_LETTER_PREFIX, ConsumerSpec
from servicekit.events.troubles import TROUBLE

DEAD_LETTERS = Counter("rushes_dead_letters", "Events given up, by kind of failure", ["consumer", "kind"])

_ANSWER = 1.0
"""Seconds the server may take to confirm."""

_TRIES = 5

_ACK, _PROGRESS, _TERM, _NAK = b"+ACK", b"+WPI", b"+TERM", b"-NAK"


class Settler:
    """Settles one delivery. Each verb asks for the server's confirmation and repeats over reconnects.

    A settlement that stays unheard is not an error: the event is delivered again after `ack_wait`, and
    handling an event twice changes nothing.
    """

    def __init__(self, log: EventLog, message: Msg, spec: ConsumerSpec) -> None:
        self._events = log
        self._message = message
        self._spec = spec

    async def ack(self) -> bool:
        """Done for good; whether the server has confirmed."""
        return await self._tell(_ACK)

    async def later(self, seconds: float) -> bool:
        """Deliver it again after that many seconds."""
        delay = json.dumps({"delay": int(max(seconds, 0.0) * 1e9)}).encode()
        return await self._tell(_NAK + b" " + delay if seconds > 0 else _NAK)

    async def give_back(self) -> bool:
        """Deliver it again at once, to whoever asks."""
        return await self._tell(_NAK)

    async def beat(self) -> bool:
        """It is being worked on; whether the server has confirmed. One try: the next beat is the next."""
        return await self._send(_PROGRESS, min(_ANSWER, self._spec.heartbeat))

    async def dead_letter(self, event: Event, error: Exception) -> None:
        """Keep it with the reason where people look, then end it. Unavailable when it cannot be kept."""
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
        await self._tell(_TERM)

    async def _tell(self, payload: bytes) -> bool:
        """Send until the server has answered, over reconnects. A server that is there and stays silent
        knows nothing of the delivery: nats-server writes what was acknowledged a moment later, and has
        forgotten that moment after a kill -9. Then the event simply comes again.
        """
        for _ in range(_TRIES):
            if await self._send(payload, _ANSWER):
                return True
            if self._events.is_connected:
                break
            try:
                await asyncio.wait_for(self._events.connected(), self._spec.ack_wait)
            except TimeoutError:
                break
        structlog.get_logger("servicekit.events").info(
            "settlement unheard: the event comes again",
            consumer=self._spec.name,
            subject=self._message.subject,
        )
        return False

    async def _send(self, payload: bytes, timeout: float) -> bool:  # noqa: ASYNC109  # nats-py's own timeout
        if not self._events.is_connected:
            return False
        try:
            asking = self._events.client.request(self._message.reply, payload, timeout=timeout)
            await self._events.unless_lost(asking)
        except (*TROUBLE, AppError):
            return False
        return True
