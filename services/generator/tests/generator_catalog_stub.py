"""Catalog's gRPC surface over the stand-in book of attempts, for tests of the whole service."""

# ruff: noqa: N802  # the contract's names

from __future__ import annotations

from typing import Any

from generator_stand_ins import FakeAttempts

from generator.core.runs.domain.provider_errors import Failure
from generator.core.runs.ports import Attempt, State, Step, Work
from rushes.catalog.v1 import attempts_pb2, attempts_pb2_grpc, generations_pb2, generations_pb2_grpc
from rushes.common.v1 import media_pb2
from servicekit.errors import NotFound

STEPS = {
    Step.SUBMIT: attempts_pb2.NEXT_STEP_SUBMIT,
    Step.RECONCILE: attempts_pb2.NEXT_STEP_RECONCILE,
    Step.FOLLOW: attempts_pb2.NEXT_STEP_FOLLOW,
    Step.NOTHING: attempts_pb2.NEXT_STEP_NOTHING,
}
STATES = {state: attempts_pb2.AttemptState.Value(f"ATTEMPT_STATE_{state.name}") for state in State}


class CatalogStub(attempts_pb2_grpc.AttemptServiceServicer, generations_pb2_grpc.GenerationServiceServicer):
    """Answers as catalog would."""

    def __init__(self, book: FakeAttempts) -> None:
        self.book = book

    async def GetNextStep(self, request: Any, context: Any) -> Any:
        ahead = await self.book.ahead(request.generation_id)
        return attempts_pb2.GetNextStepResponse(next_step=STEPS[ahead.step], reason=ahead.reason)

    async def BeginAttempt(self, request: Any, context: Any) -> Any:
        work = await self.book.begin(request.generation_id)
        answer = attempts_pb2.BeginAttemptResponse(
            next_step=STEPS[work.step],
            model=work.model,
            version=work.version,
            kind=media_pb2.MEDIA_KIND_VIDEO,
            job_id=work.job_id,
            campaign_id=work.campaign_id,
            reason=work.reason,
        )
        answer.input.update(dict(work.input))
        if work.attempt:
            answer.attempt.CopyFrom(message(work.attempt))
        return answer

    async def RecordSubmitted(self, request: Any, context: Any) -> Any:
        await self.book.record(request.attempt_id, request.prediction_id)
        return message(await self.book.get(request.attempt_id))

    async def ReleaseAttempt(self, request: Any, context: Any) -> Any:
        failure = Failure(request.failure.code, request.failure.message, request.failure.retryable)
        await self.book.release(
            request.attempt_id,
            failure,
            fail_generation=request.fail_generation,
            retry_after=request.retry_after_s,
        )
        return message(await self.book.get(request.attempt_id))

    async def GetAttempt(self, request: Any, context: Any) -> Any:
        return message(await self.book.get(request.id))

    async def FindAttempt(self, request: Any, context: Any) -> Any:
        found = await (
            self.book.of_prediction(request.prediction_id)
            if request.prediction_id
            else self.book.newest(request.generation_id)
        )
        if found is None:
            raise NotFound("no such attempt")
        return message(found)

    async def GetGeneration(self, request: Any, context: Any) -> Any:
        attempt = await self.book.newest(request.id)
        assert attempt is not None
        work: Work = await self.book.work_of(attempt)
        generation = generations_pb2.Generation(
            id=request.id, model=work.model, kind=media_pb2.MEDIA_KIND_VIDEO, job_id=work.job_id
        )
        generation.input.update(dict(work.input))
        return generation


def message(attempt: Attempt) -> attempts_pb2.Attempt:
    answer = attempts_pb2.Attempt(
        id=attempt.id,
        generation_id=attempt.generation_id,
        number=attempt.number,
        state=STATES[attempt.state],
        prediction_id=attempt.prediction_id,
        cancel_requested=attempt.cancel_requested,
    )
    answer.intended_at.FromDatetime(attempt.intended_at)
    return answer
