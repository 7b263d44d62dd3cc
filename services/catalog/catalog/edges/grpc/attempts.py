"""Serves AttemptService to the generator. The contract documents its methods."""

from __future__ import annotations

from typing import Any

import structlog

from catalog.core.generations.attempts import AttemptService
from catalog.core.generations.domain.attempts import NextStep
from catalog.core.generations.domain.model import Attempt, AttemptState, Generation
from catalog.edges.grpc.proto_mapping import Context, dict_to_struct
from catalog.proto_enums import PROTO_KINDS, error_from_proto, timestamp
from rushes.catalog.v1 import attempts_pb2 as pb
from rushes.catalog.v1 import attempts_pb2_grpc

STEPS = {step: getattr(pb, f"NEXT_STEP_{step.name}") for step in NextStep}
STATES: dict[AttemptState, Any] = {
    **{
        state: getattr(pb, f"ATTEMPT_STATE_{state.name}")
        for state in AttemptState
        if state is not AttemptState.RELEASED
    },
    AttemptState.RELEASED: pb.ATTEMPT_STATE_FAILED,  # "failed at the provider, or never reached it"
}


class AttemptServicer(attempts_pb2_grpc.AttemptServiceServicer):
    def __init__(self, attempts: AttemptService) -> None:
        self._attempts = attempts
        self._log = structlog.get_logger(__name__)

    async def GetNextStep(self, request: pb.GetNextStepRequest, context: Context) -> pb.GetNextStepResponse:
        instruction = await self._attempts.next_step(request.generation_id)
        return pb.GetNextStepResponse(next_step=STEPS[instruction.step], reason=instruction.reason)

    async def BeginAttempt(
        self, request: pb.BeginAttemptRequest, context: Context
    ) -> pb.BeginAttemptResponse:
        answer = await self._attempts.begin(request.generation_id)
        generation = answer.generation
        if answer.reason not in ("", "final", "waiting", "paused", "canceled"):
            self._log.warning("no attempt was allowed", generation_id=generation.id, reason=answer.reason)
        return pb.BeginAttemptResponse(
            next_step=STEPS[answer.step],
            attempt=attempt_message(generation, answer.attempt) if answer.attempt else None,
            model=generation.run.model,
            version=generation.run.version,
            input=dict_to_struct(generation.run.input),
            kind=PROTO_KINDS[generation.run.kind],
            job_id=generation.job_id,
            campaign_id=generation.campaign_id,
            reason=answer.reason,
            deadline_s=generation.run.deadline_s,
            intent_age_s=answer.intent_age_s if answer.attempt else None,
            secret_fields=generation.run.secrets,
        )

    async def RecordSubmitted(self, request: pb.RecordSubmittedRequest, context: Context) -> pb.Attempt:
        generation, attempt, adopted = await self._attempts.record_submitted(
            request.attempt_id, request.prediction_id
        )
        if adopted:
            self._log.error(
                "the provider took an attempt that was released: its reserve is booked again, cap or no cap",
                generation_id=generation.id,
                attempt_id=attempt.id,
                prediction=attempt.prediction_id,
            )
        return attempt_message(generation, attempt)

    async def ReleaseAttempt(self, request: pb.ReleaseAttemptRequest, context: Context) -> pb.Attempt:
        found = await self._attempts.release(
            request.attempt_id,
            error_from_proto(request.error),
            fail=request.fail_generation,
            retry_after=request.retry_after_s,
        )
        return attempt_message(*found)

    async def GetAttempt(self, request: pb.GetAttemptRequest, context: Context) -> pb.Attempt:
        return attempt_message(*await self._attempts.get(request.id))

    async def FindAttempt(self, request: pb.FindAttemptRequest, context: Context) -> pb.Attempt:
        found = await self._attempts.find(
            prediction_id=request.prediction_id, generation_id=request.generation_id
        )
        return attempt_message(*found)


def attempt_message(generation: Generation, attempt: Attempt) -> pb.Attempt:
    return pb.Attempt(
        id=attempt.id,
        generation_id=generation.id,
        number=attempt.number,
        state=STATES[attempt.state],
        prediction_id=attempt.prediction_id,
        reserved_micros=attempt.reserved_micros if attempt.open else 0,
        cost_micros=attempt.cost_micros,
        intended_at=timestamp(attempt.intended_at),
        submitted_at=timestamp(attempt.submitted_at),
        cancel_requested=generation.cancel_requested,
        round=generation.round,
    )
