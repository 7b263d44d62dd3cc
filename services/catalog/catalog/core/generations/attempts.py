"""The use cases of the generator: what to do next for a generation, and what it has done at the provider."""

from __future__ import annotations

from dataclasses import dataclass, replace

from catalog.core.budget.domain import Account, campaign_account, day_account
from catalog.core.generations.apply import lock_generation, save_generation
from catalog.core.generations.domain import attempts as decide
from catalog.core.generations.domain import events as ge
from catalog.core.generations.domain.attempts import Instruction, NextStep
from catalog.core.generations.domain.model import Attempt, Generation
from catalog.core.jobs.domain.model import Job
from catalog.core.shared.domain import MICROS_PER_CENT, Error
from catalog.core.unit_of_work import Database, UnitOfWork
from servicekit.clock import Clock
from servicekit.errors import Conflict, Invalid, NotFound
from servicekit.ids import new_id


@dataclass(frozen=True)
class AttemptLimits:
    """What may be tried and spent: attempts per generation, micro-dollars per day (0: any number)."""

    max_attempts: int = 3
    daily_micros: int = 0


@dataclass(frozen=True)
class BeginAnswer:
    """What the generator does next, and for which generation.

    `intent_age_s`: seconds since the attempt was intended, by our clock.
    """

    step: NextStep
    generation: Generation
    attempt: Attempt | None = None
    reason: str = ""
    intent_age_s: float = 0.0


class AttemptService:
    def __init__(self, database: Database, clock: Clock, limits: AttemptLimits) -> None:
        self._database = database
        self._clock = clock
        self._limits = limits

    async def next_step(self, generation_id: str) -> Instruction:
        """What `begin` would answer now; nothing is recorded, and SUBMIT is no permission."""
        async with self._database.read() as unit:
            generation = await unit.generations.get(generation_id, deleted=True)
            job = await unit.jobs.get(generation.job_id) if generation.job_id else None
        return decide.next_step(generation, self._clock.now(), job.block_reason if job is not None else "")

    async def begin(self, generation_id: str) -> BeginAnswer:
        """What to do next for a generation. SUBMIT is answered once for each attempt."""
        now = self._clock.now()
        async with self._database.write() as unit:
            job, generation = await lock_generation(unit, generation_id, deleted=True)
            instruction = decide.next_step(generation, now, job.block_reason if job is not None else "")
            submits = instruction.step is NextStep.SUBMIT
            events, instruction = decide.begin_attempt(
                generation,
                now,
                instruction,
                attempt_id=new_id("attempt"),
                # Locked only for those who submit: everybody pays from the account of the day.
                accounts=(await self.accounts(unit, generation.campaign_id)).values() if submits else (),
                max_attempts=self._limits.max_attempts,
            )
            after = await save_generation(unit, job, generation, events)
        if not instruction.attempt_id:
            return BeginAnswer(instruction.step, after, reason=instruction.reason)
        attempt = after.attempt(instruction.attempt_id)
        age = max((self._clock.now() - attempt.intended_at).total_seconds(), 0.0)
        return BeginAnswer(instruction.step, after, attempt, instruction.reason, age)

    async def accounts(self, unit: UnitOfWork, campaign_id: str) -> dict[str, Account]:
        """The accounts that pay today by their names, with their caps, locked."""
        day = day_account(self._clock.now())
        caps: dict[str, int | None] = {day: self._limits.daily_micros or None}
        if campaign_id:
            campaign = await unit.campaigns.get(campaign_id)
            cap = campaign.budget_cents
            caps[campaign_account(campaign_id)] = None if cap is None else cap * MICROS_PER_CENT
        found = await unit.accounts.lock(list(caps))
        return {name: replace(account, cap=caps[name]) for name, account in found.items()}

    async def record_submitted(self, attempt_id: str, prediction_id: str) -> tuple[Generation, Attempt, bool]:
        """The provider accepted it; True: although it was released. Conflict: it is another attempt's."""
        async with self._database.write() as unit:
            owner = await unit.generations.of_prediction(prediction_id)
            if owner is not None and owner[1].id != attempt_id:
                raise Conflict(
                    f"prediction {prediction_id} is attempt {owner[1].id}'s, and not {attempt_id}'s too",
                    code="other_attempt",
                )
            job, generation = await self._lock_of_attempt(unit, attempt_id)
            events = decide.record_submitted(
                generation, self._clock.now(), attempt_id=attempt_id, prediction_id=prediction_id
            )
            after = await save_generation(unit, job, generation, events)
        adopted = any(isinstance(event, ge.AttemptAdopted) for event in events)
        return after, after.attempt(attempt_id), adopted

    async def release(
        self, attempt_id: str, error: Error, *, fail: bool, retry_after: float
    ) -> tuple[Generation, Attempt]:
        """It cost nothing: its reserve is free again. Conflict: the provider has it."""
        async with self._database.write() as unit:
            job, generation = await self._lock_of_attempt(unit, attempt_id)
            events = decide.release_attempt(
                generation,
                self._clock.now(),
                attempt_id=attempt_id,
                error=error,
                fail=fail,
                retry_after=retry_after,
            )
            after = await save_generation(unit, job, generation, events)
        return after, after.attempt(attempt_id)

    async def _lock_of_attempt(self, unit: UnitOfWork, attempt_id: str) -> tuple[Job | None, Generation]:
        return await lock_generation(unit, await unit.generations.of_attempt(attempt_id), deleted=True)

    async def get(self, attempt_id: str) -> tuple[Generation, Attempt]:
        async with self._database.read() as unit:
            generation_id = await unit.generations.of_attempt(attempt_id)
            generation = await unit.generations.get(generation_id, deleted=True)
        return generation, generation.attempt(attempt_id)

    async def find(self, *, prediction_id: str, generation_id: str) -> tuple[Generation, Attempt]:
        """The attempt that owns a prediction, or of a generation the newest, an open one first; NotFound."""
        if bool(prediction_id) == bool(generation_id):
            raise Invalid("name a prediction_id or a generation_id, and not both")
        async with self._database.read() as unit:
            if prediction_id:
                owner = await unit.generations.of_prediction(prediction_id)
                if owner is None:
                    raise NotFound(f"no attempt has prediction {prediction_id}")
                return await unit.generations.get(owner[0], deleted=True), owner[1]
            generation = await unit.generations.get(generation_id, deleted=True)
        if not generation.attempts:
            raise NotFound(f"generation {generation_id} has no attempt yet")
        # A released one that the provider had taken after all is the one to stop, or to follow.
        return generation, (generation.open_attempts or generation.attempts)[-1]
