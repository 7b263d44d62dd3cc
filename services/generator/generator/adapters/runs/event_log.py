"""The event log as the core's ports: facts said, replicas poked, the lane's shared cell."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from generator.core.runs.domain import events
from generator.core.runs.domain.events import Canceled, Fact, Failed, Progressed, Started, Succeeded, Whose
from generator.core.runs.domain.prediction import Prediction
from generator.proto_enums import KINDS
from rushes.common.v1 import media_pb2
from rushes.events.v1 import events_pb2
from servicekit.clock import Clock
from servicekit.errors import Conflict
from servicekit.events import Event, EventLog


class LogFacts:
    """`Facts` on the event log."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    async def say(self, fact: Fact) -> None:
        """Publish the fact under its deterministic id."""
        whose = fact.whose
        refs = {"generation": whose.generation_id, "job": whose.job_id, "campaign": whose.campaign_id}
        await self._log.publish(
            Event(
                id=events.fact_id(fact),
                type=events.TYPES[type(fact)],
                key=whose.generation_id,
                data=message_of(fact).SerializeToString(),
                refs={name: value for name, value in refs.items() if value},
            )
        )


def message_of(fact: Fact) -> Message:
    """The fact as its contract."""
    ref = _ref(fact.whose)
    match fact:
        case Started():
            return events_pb2.PredictionStarted(prediction=ref)
        case Progressed():
            progress = media_pb2.Progress(percent=fact.percent, message=fact.message)
            return events_pb2.PredictionProgressed(prediction=ref, progress=progress)
        case Succeeded():
            return _succeeded(fact, ref)
        case Failed():
            failure = media_pb2.Failure(
                code=fact.failure.code, message=fact.failure.message, retryable=fact.failure.retryable
            )
            return events_pb2.PredictionFailed(
                prediction=ref,
                failure=failure,
                retry_after_s=fact.failure.wait,
                cost_micros=fact.cost_micros,
                most_retries=fact.failure.most_retries,
            )
        case Canceled():
            return events_pb2.PredictionCanceled(
                prediction=ref, cost_micros=fact.cost_micros, by_deadline=fact.by_deadline
            )


def _ref(whose: Whose) -> events_pb2.PredictionRef:
    return events_pb2.PredictionRef(
        generation_id=whose.generation_id,
        attempt_id=whose.attempt_id,
        prediction_id=whose.prediction_id,
        job_id=whose.job_id,
        campaign_id=whose.campaign_id,
        round=whose.round,
    )


def _succeeded(fact: Succeeded, ref: events_pb2.PredictionRef) -> events_pb2.PredictionSucceeded:
    expires, completed, metrics = Timestamp(), Timestamp(), Struct()
    expires.FromDatetime(fact.expires_at)
    completed.FromDatetime(fact.completed_at)
    metrics.update({name: value for name, value in fact.metrics.items() if _plain(value)})
    return events_pb2.PredictionSucceeded(
        prediction=ref,
        outputs=[
            events_pb2.Output(
                index=index, source_url=address, blob_key_stem=f"media/{fact.whose.generation_id}/{index}"
            )
            for index, address in enumerate(fact.addresses)
        ],
        kind=KINDS[fact.kind],
        expires_at=expires,
        completed_at=completed,
        cost_micros=fact.cost_micros,
        metrics=metrics,
    )


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


class LogWakes:
    """`Wakes` by signals that are not stored: `wake.prediction.<attempt>`, all heard by every replica."""

    def __init__(self, log: EventLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._ears: dict[str, _Ear] = {}
        self._hearing = asyncio.Lock()
        self._heard = False

    @asynccontextmanager
    async def listening(self, attempt_id: str, prediction_id: str) -> AsyncIterator[_Ear]:
        """Hear the pokes for an attempt, and be given news of its prediction."""
        await self._hear()
        ear = _Ear(self._clock, prediction_id)
        # A second delivery of the same attempt takes over: the first one, if it lives, goes on by looking.
        self._ears[attempt_id] = ear
        try:
            yield ear
        finally:
            if self._ears.get(attempt_id) is ear:
                del self._ears[attempt_id]

    def hand_over(self, attempt_id: str, prediction: Prediction) -> bool:
        """Give it to who follows it here."""
        ear = self._ears.get(attempt_id)
        if ear is None or ear.prediction_id != prediction.id:
            return False
        ear.news = prediction
        ear.poked.set()
        return True

    async def poke(self, attempt_id: str) -> None:
        """Wake whoever follows the attempt."""
        await self._log.signal(_subject(attempt_id))

    async def _hear(self) -> None:
        """One subscription for all: one for each attempt would cost two messages each."""
        async with self._hearing:
            if not self._heard:
                await self._log.listen(_subject("*"), self._poked)
                self._heard = True

    def _poked(self, subject: str, _data: bytes) -> None:
        if (ear := self._ears.get(subject.rpartition(".")[2])) is not None:
            ear.poked.set()


def _subject(attempt_id: str) -> str:
    return f"wake.prediction.{attempt_id}"


class _Ear:
    """Where a follower waits."""

    def __init__(self, clock: Clock, prediction_id: str) -> None:
        self._clock = clock
        self.prediction_id = prediction_id
        self.news: Prediction | None = None
        self.poked = asyncio.Event()

    async def wait(self, seconds: float) -> Prediction | None:
        """Until the poke, at most so long."""
        if not self.poked.is_set():
            await self._sleep(seconds)
        self.poked.clear()
        news, self.news = self.news, None
        return news

    async def _sleep(self, seconds: float) -> None:
        sleeping = asyncio.ensure_future(self._clock.sleep(seconds))
        poked = asyncio.ensure_future(self.poked.wait())
        try:
            await asyncio.wait({sleeping, poked}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sleeping, poked):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(sleeping, poked, return_exceptions=True)


class LogCell:
    """The lane's `Cell` in a key-value bucket of the event log."""

    def __init__(self, log: EventLog, *, lane: str, bucket: str = "lanes") -> None:
        self._log = log
        self._bucket = bucket
        self._lane = lane

    async def read(self) -> tuple[Any, int]:
        """The value and its revision."""
        found = await (await self._log.bucket(self._bucket)).get(self._lane)
        return found if found is not None else (None, 0)

    async def write(self, value: Any, revision: int) -> bool:
        """Set it if it still is at that revision."""
        bucket = await self._log.bucket(self._bucket)
        try:
            if revision:
                await bucket.update(self._lane, value, revision=revision)
            else:
                await bucket.create(self._lane, value)
        except Conflict:
            return False
        return True
