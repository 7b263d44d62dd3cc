"""Catalog's gRPC surface over the fake records of attempts, for tests of the whole service."""

# ruff: noqa: N802  # the contract's names

from __future__ import annotations

from typing import Any

from generator_fakes import FakeAttempts

from generator.core.runs.domain.attempt import Attempt, AttemptState, NextStep
from generator.core.runs.domain.provider_errors import Error
from rushes.catalog.v1 import attempts_pb2, attempts_pb2_grpc, generations_pb2, generations_pb2_grpc
from rushes.common.v1 import media_pb2
from servicekit.errors import NotFound

NEXT_STEPS = {step: attempts_pb2.NextStep.Value(f"NEXT_STEP_{step.name}") for step in NextStep}
STATES = {state: attempts_pb2.AttemptState.Value(f"ATTEMPT_STATE_{state.name}") for state in AttemptState}


class CatalogStub(attempts_pb2_grpc.AttemptServiceServicer, generations_pb2_grpc.GenerationServiceServicer):
    """Answers as catalog would."""

    def __init__(self, records: FakeAttempts) -> None:
        self.records = records

    async def GetNextStep(self, request: Any, context: Any) -> Any:
        answer = await self.records.next_step(request.generation_id)
        return attempts_pb2.GetNextStepResponse(next_step=NEXT_STEPS[answer.next_step], reason=answer.reason)

    async def BeginAttempt(self, request: Any, context: Any) -> Any:
        answer = await self.records.begin(request.generation_id)
        response = attempts_pb2.BeginAttemptResponse(
            next_step=NEXT_STEPS[answer.next_step], kind=media_pb2.MEDIA_KIND_VIDEO, reason=answer.reason
        )
        if answer.run:
            response.model, response.version = answer.run.model, answer.run.version
            response.job_id, response.campaign_id = answer.run.job_id, answer.run.campaign_id
            response.input.update(dict(answer.run.input))
        if answer.attempt:
            response.attempt.CopyFrom(attempt_message(answer.attempt))
        return response

    async def RecordSubmitted(self, request: Any, context: Any) -> Any:
        await self.records.record_submitted(request.attempt_id, request.prediction_id)
        return attempt_message(await self.records.get(request.attempt_id))

    async def ReleaseAttempt(self, request: Any, context: Any) -> Any:
        error = Error(request.error.code, request.error.message, request.error.retryable)
        await self.records.release(
            request.attempt_id,
            error,
            fail_generation=request.fail_generation,
            retry_after=request.retry_after_s,
        )
        return attempt_message(await self.records.get(request.attempt_id))

    async def GetAttempt(self, request: Any, context: Any) -> Any:
        return attempt_message(await self.records.get(request.id))

    async def FindAttempt(self, request: Any, context: Any) -> Any:
        found = await (
            self.records.find_by_prediction(request.prediction_id)
            if request.prediction_id
            else self.records.find_newest(request.generation_id)
        )
        if found is None:
            raise NotFound("no such attempt")
        return attempt_message(found)

    async def GetGeneration(self, request: Any, context: Any) -> Any:
        attempt = await self.records.find_newest(request.id)
        assert attempt is not None
        run = await self.records.run_of(attempt)
        generation = generations_pb2.Generation(
            id=request.id, model=run.model, kind=media_pb2.MEDIA_KIND_VIDEO, job_id=run.job_id
        )
        generation.input.update(dict(run.input))
        return generation


def attempt_message(attempt: Attempt) -> attempts_pb2.Attempt:
    message = attempts_pb2.Attempt(
        id=attempt.id,
        generation_id=attempt.generation_id,
        number=attempt.number,
        state=STATES[attempt.state],
        prediction_id=attempt.prediction_id,
        cancel_requested=attempt.cancel_requested,
    )
    message.intended_at.FromDatetime(attempt.intended_at)
    return message
