"""Catalog's book of intents over gRPC."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, timedelta
from typing import Any

import grpc.aio
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct

from generator.core.models.domain.media_kinds import Kind
from generator.core.runs.domain.provider_errors import Failure
from generator.core.runs.ports import Attempt, State, Step, Work
from generator.proto_enums import KIND_OF
from rushes.catalog.v1 import attempts_pb2, attempts_pb2_grpc, generations_pb2, generations_pb2_grpc
from rushes.common.v1 import media_pb2
from servicekit.clock import Clock
from servicekit.errors import NotFound

_STEPS = {
    attempts_pb2.NEXT_STEP_SUBMIT: Step.SUBMIT,
    attempts_pb2.NEXT_STEP_RECONCILE: Step.RECONCILE,
    attempts_pb2.NEXT_STEP_FOLLOW: Step.FOLLOW,
}
_STATES = {
    attempts_pb2.ATTEMPT_STATE_INTENDED: State.INTENDED,
    attempts_pb2.ATTEMPT_STATE_SUBMITTED: State.SUBMITTED,
    attempts_pb2.ATTEMPT_STATE_SUCCEEDED: State.SUCCEEDED,
    attempts_pb2.ATTEMPT_STATE_FAILED: State.FAILED,
    attempts_pb2.ATTEMPT_STATE_CANCELED: State.CANCELED,
}


class CatalogAttempts:
    """`Attempts` at catalog; its channel raises `AppError`s.

    An attempt to act on has its `intended_at` in our own clock: catalog tells its age, so that clocks apart
    make nobody look too early for what is still being sent.
    """

    def __init__(self, channel: grpc.aio.Channel, clock: Clock) -> None:
        self._clock = clock
        self._attempts: Any = attempts_pb2_grpc.AttemptServiceStub(channel)
        self._generations: Any = generations_pb2_grpc.GenerationServiceStub(channel)

    async def ahead(self, generation_id: str) -> Work:
        """What would be done next."""
        answer = await self._attempts.GetNextStep(
            attempts_pb2.GetNextStepRequest(generation_id=generation_id)
        )
        return Work(_STEPS.get(answer.next_step, Step.NOTHING), reason=answer.reason)

    async def begin(self, generation_id: str) -> Work:
        """What to do next."""
        answer = await self._attempts.BeginAttempt(
            attempts_pb2.BeginAttemptRequest(generation_id=generation_id)
        )
        step = _STEPS.get(answer.next_step, Step.NOTHING)
        attempt = _attempt(answer.attempt) if answer.HasField("attempt") else None
        if attempt is not None and answer.HasField("intent_age_s"):
            age = timedelta(seconds=answer.intent_age_s)
            attempt = replace(attempt, intended_at=self._clock.now() - age)
        return Work(
            step=step,
            attempt=attempt,
            model=answer.model,
            version=answer.version,
            input=_object(answer.input),
            kind=KIND_OF.get(answer.kind, Kind.UNKNOWN),
            job_id=answer.job_id,
            campaign_id=answer.campaign_id,
            reason=answer.reason,
            deadline=answer.deadline_s,
            secrets=tuple(answer.secret_fields),
        )

    async def record(self, attempt_id: str, prediction_id: str) -> None:
        """The provider has it."""
        await self._attempts.RecordSubmitted(
            attempts_pb2.RecordSubmittedRequest(attempt_id=attempt_id, prediction_id=prediction_id)
        )

    async def release(
        self, attempt_id: str, failure: Failure, *, fail_generation: bool = False, retry_after: float = 0.0
    ) -> None:
        """It cost nothing."""
        await self._attempts.ReleaseAttempt(
            attempts_pb2.ReleaseAttemptRequest(
                attempt_id=attempt_id,
                failure=media_pb2.Failure(
                    code=failure.code, message=failure.message, retryable=failure.retryable
                ),
                fail_generation=fail_generation,
                retry_after_s=retry_after,
            )
        )

    async def get(self, attempt_id: str) -> Attempt:
        """One attempt."""
        return _attempt(await self._attempts.GetAttempt(attempts_pb2.GetAttemptRequest(id=attempt_id)))

    async def of_prediction(self, prediction_id: str) -> Attempt | None:
        """The attempt that owns a prediction."""
        return await self._find(attempts_pb2.FindAttemptRequest(prediction_id=prediction_id))

    async def newest(self, generation_id: str) -> Attempt | None:
        """A generation's newest attempt."""
        return await self._find(attempts_pb2.FindAttemptRequest(generation_id=generation_id))

    async def work_of(self, attempt: Attempt) -> Work:
        """The attempt's generation as a FOLLOW."""
        generation = await self._generations.GetGeneration(
            generations_pb2.GetGenerationRequest(id=attempt.generation_id)
        )
        return Work(
            step=Step.FOLLOW,
            attempt=attempt,
            model=generation.model,
            version=generation.version,
            input=_object(generation.input),
            kind=KIND_OF.get(generation.kind, Kind.UNKNOWN),
            job_id=generation.job_id,
            campaign_id=generation.campaign_id,
        )

    async def _find(self, request: attempts_pb2.FindAttemptRequest) -> Attempt | None:
        try:
            return _attempt(await self._attempts.FindAttempt(request))
        except NotFound:
            return None


def _attempt(message: attempts_pb2.Attempt) -> Attempt:
    return Attempt(
        id=message.id,
        generation_id=message.generation_id,
        number=message.number,
        state=_STATES.get(message.state, State.UNKNOWN),
        intended_at=message.intended_at.ToDatetime(tzinfo=UTC),
        prediction_id=message.prediction_id,
        cancel_requested=message.cancel_requested,
        round=max(message.round, 1),
    )


def _object(struct: Struct) -> dict[str, Any]:
    return json_format.MessageToDict(struct)
