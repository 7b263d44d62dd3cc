"""Wakes pollers in other replicas by signals of the event log, and hands predictions to those in this one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from generator.core.runs.domain.prediction import Prediction
from servicekit.clock import Clock
from servicekit.concurrency import first_of
from servicekit.events import EventLog


class LogWakeUps:
    """`WakeUps` by signals that are not stored: `wake.prediction.<attempt>`; every replica receives all."""

    def __init__(self, log: EventLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._subscriptions: dict[str, _Subscription] = {}
        self._starting = asyncio.Lock()
        self._listening = False

    @asynccontextmanager
    async def subscribe(self, attempt_id: str, prediction_id: str) -> AsyncIterator[_Subscription]:
        await self._listen()
        subscription = _Subscription(self._clock, prediction_id)
        # A second delivery of the same attempt takes over: the first one, if it lives, goes on by polling.
        self._subscriptions[attempt_id] = subscription
        try:
            yield subscription
        finally:
            if self._subscriptions.get(attempt_id) is subscription:
                del self._subscriptions[attempt_id]

    def hand_over(self, attempt_id: str, prediction: Prediction) -> bool:
        subscription = self._subscriptions.get(attempt_id)
        if subscription is None or subscription.prediction_id != prediction.id:
            return False
        subscription.latest = prediction
        subscription.woken.set()
        return True

    async def send(self, attempt_id: str) -> None:
        await self._log.signal(_subject(attempt_id))

    async def _listen(self) -> None:
        """One subscription to the log for all: one for each attempt would cost two messages each."""
        async with self._starting:
            if not self._listening:
                await self._log.listen(_subject("*"), self._received)
                self._listening = True

    def _received(self, subject: str, _data: bytes) -> None:
        if (subscription := self._subscriptions.get(subject.rpartition(".")[2])) is not None:
            subscription.woken.set()


def _subject(attempt_id: str) -> str:
    return f"wake.prediction.{attempt_id}"


class _Subscription:
    """A `WakeUpSubscription` to one attempt."""

    def __init__(self, clock: Clock, prediction_id: str) -> None:
        self._clock = clock
        self.prediction_id = prediction_id
        self.latest: Prediction | None = None
        self.woken = asyncio.Event()

    async def wait(self, seconds: float) -> Prediction | None:
        if not self.woken.is_set():
            await first_of(self._clock.sleep(seconds), self.woken.wait())
        self.woken.clear()
        latest, self.latest = self.latest, None
        return latest
