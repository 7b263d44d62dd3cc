"""Reads and writes catalog's records of attempts over gRPC."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, timedelta
from typing import Any

from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct

from generator.core.inputs.domain.run_spec import RunSpec
from generator.core.models.domain.media_kinds import MediaKind
from generator.core.runs.domain.attempt import Attempt, AttemptState, NextStep, NextStepAnswer
from generator.core.runs.domain.provider_errors import Error
from generator.proto_enums import MEDIA_KIND_OF
from rushes.catalog.v1 import attempts_pb2 as pb
from rushes.catalog.v1 import attempts_pb2_grpc, generations_pb2, generations_pb2_grpc
from rushes.common.v1 import media_pb2
from servicekit.clock import Clock
from servicekit.errors import NotFound

_NEXT_STEPS = {
    pb.NEXT_STEP_SUBMIT: NextStep.SUBMIT,
    pb.NEXT_STEP_RECONCILE: NextStep.RECONCILE,
    pb.NEXT_STEP_FOLLOW: NextStep.FOLLOW,
}
_STATES = {
    pb.ATTEMPT_STATE_INTENDED: AttemptState.INTENDED,
    pb.ATTEMPT_STATE_SUBMITTED: AttemptState.SUBMITTED,
    pb.ATTEMPT_STATE_SUCCEEDED: AttemptState.SUCCEEDED,
    pb.ATTEMPT_STATE_FAILED: AttemptState.FAILED,
    pb.ATTEMPT_STATE_CANCELED: AttemptState.CANCELED,
}


@dataclass(frozen=True)
class CatalogAttempts:
    """`AttemptRecords` at catalog; its channel raises `AppError`s.

    An attempt that comes with a next step has its `intended_at` in our own clock: catalog answers its age, so
    that nobody whose clock is ahead reconciles what is still being sent.
    """

    attempts: attempts_pb2_grpc.AttemptServiceAsyncStub
    generations: generations_pb2_grpc.GenerationServiceAsyncStub
    clock: Clock

    async def next_step(self, generation_id: str) -> NextStepAnswer:
        answer = await self.attempts.GetNextStep(pb.GetNextStepRequest(generation_id=generation_id))
        return NextStepAnswer(_NEXT_STEPS.get(answer.next_step, NextStep.NOTHING), answer.reason)

    async def begin(self, generation_id: str) -> NextStepAnswer:
        answer = await self.attempts.BeginAttempt(pb.BeginAttemptRequest(generation_id=generation_id))
        attempt = _attempt(answer.attempt) if answer.HasField("attempt") else None
        if attempt is not None and answer.HasField("intent_age_s"):
            age = timedelta(seconds=answer.intent_age_s)
            attempt = replace(attempt, intended_at=self.clock.now() - age)
        run = RunSpec(
            model=answer.model,
            version=answer.version,
            input=_object(answer.input),
            kind=MEDIA_KIND_OF.get(answer.kind, MediaKind.UNKNOWN),
            deadline_s=answer.deadline_s,
            secret_fields=tuple(answer.secret_fields),
            job_id=answer.job_id,
            campaign_id=answer.campaign_id,
        )
        next_step = _NEXT_STEPS.get(answer.next_step, NextStep.NOTHING)
        return NextStepAnswer(next_step, answer.reason, attempt, run)

    async def record_submitted(self, attempt_id: str, prediction_id: str) -> None:
        await self.attempts.RecordSubmitted(
            pb.RecordSubmittedRequest(attempt_id=attempt_id, prediction_id=prediction_id)
        )

    async def release(
        self, attempt_id: str, error: Error, *, fail_generation: bool = False, retry_after: float = 0.0
    ) -> None:
        await self.attempts.ReleaseAttempt(
            pb.ReleaseAttemptRequest(
                attempt_id=attempt_id,
                error=media_pb2.Error(code=error.code, message=error.message, retryable=error.retryable),
                fail_generation=fail_generation,
                retry_after_s=retry_after,
            )
        )

    async def get(self, attempt_id: str) -> Attempt:
        return _attempt(await self.attempts.GetAttempt(pb.GetAttemptRequest(id=attempt_id)))

    async def find_by_prediction(self, prediction_id: str) -> Attempt | None:
        return await self._find(pb.FindAttemptRequest(prediction_id=prediction_id))

    async def find_newest(self, generation_id: str) -> Attempt | None:
        return await self._find(pb.FindAttemptRequest(generation_id=generation_id))

    async def run_of(self, attempt: Attempt) -> RunSpec:
        generation = await self.generations.GetGeneration(
            generations_pb2.GetGenerationRequest(id=attempt.generation_id)
        )
        return RunSpec(
            model=generation.model,
            version=generation.version,
            input=_object(generation.input),
            kind=MEDIA_KIND_OF.get(generation.kind, MediaKind.UNKNOWN),
            job_id=generation.job_id,
            campaign_id=generation.campaign_id,
        )

    async def _find(self, request: pb.FindAttemptRequest) -> Attempt | None:
        try:
            return _attempt(await self.attempts.FindAttempt(request))
        except NotFound:
            return None


def _attempt(message: pb.Attempt) -> Attempt:
    return Attempt(
        id=message.id,
        generation_id=message.generation_id,
        number=message.number,
        state=_STATES.get(message.state, AttemptState.UNKNOWN),
        intended_at=message.intended_at.ToDatetime(tzinfo=UTC),
        prediction_id=message.prediction_id,
        cancel_requested=message.cancel_requested,
        round=max(message.round, 1),
    )


def _object(struct: Struct) -> dict[str, Any]:
    return json_format.MessageToDict(struct)
