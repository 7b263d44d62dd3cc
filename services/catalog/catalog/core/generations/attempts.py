"""The book of intents: what the generator may do, and what it says it has done."""

from __future__ import annotations

from dataclasses import dataclass, replace

from catalog.core.budget.domain import Account, campaign_account, day_account
from catalog.core.generations.apply import carry_out, locked
from catalog.core.generations.domain import commands as gc
from catalog.core.generations.domain import events as ge
from catalog.core.generations.domain.decide import Next, NextStep, next_step
from catalog.core.generations.domain.model import Attempt, Generation
from catalog.core.shared.domain import MICROS_PER_CENT, Error
from catalog.core.shared.ports import Database, UnitOfWork
from servicekit.clock import Clock
from servicekit.errors import Conflict, Invalid, NotFound
from servicekit.ids import new_id


@dataclass(frozen=True)
class AttemptLimits:
    """What catalog allows: attempts per generation, micro-dollars per day (0: any number)."""

    max_attempts: int = 3
    daily_micros: int = 0


@dataclass(frozen=True)
class Work:
    """What to do next, and the generation it is for. `age`: seconds since the attempt was intended."""

    step: NextStep
    generation: Generation
    attempt: Attempt | None = None
    reason: str = ""
    age: float = 0.0


class AttemptService:
    """The use cases of the generator."""

    def __init__(self, database: Database, clock: Clock, limits: AttemptLimits) -> None:
        self._database = database
        self._clock = clock
        self._limits = limits

    async def ahead(self, generation_id: str) -> Next:
        """What `begin` would answer now; nothing is recorded, and SUBMIT is no permission."""
        async with self._database.read() as unit:
            generation = await unit.generations.get(generation_id, deleted=True)
            held = (await unit.jobs.get(generation.job_id)).block_reason if generation.job_id else ""
        return next_step(generation, self._clock.now(), held)

    async def begin(self, generation_id: str) -> Work:
        """What to do next for a generation. SUBMIT is answered once for each attempt."""
        now = self._clock.now()
        async with self._database.write() as unit:
            job, generation = await locked(unit, generation_id, deleted=True)
            held = job.block_reason if job is not None else ""
            following = next_step(generation, now, held)
            accounts: tuple[Account, ...] = ()
            if following.step is NextStep.SUBMIT:
                accounts = await self.accounts(unit, generation.campaign_id)
            command = gc.BeginAttempt(
                now, new_id("attempt"), accounts, held, max_attempts=self._limits.max_attempts
            )
            after, _ = await carry_out(unit, job, generation, command)
            work = _answer(following, after)
        if work.attempt is None:
            return work
        return replace(work, age=max((self._clock.now() - work.attempt.intended_at).total_seconds(), 0.0))

    async def accounts(self, unit: UnitOfWork, campaign_id: str) -> tuple[Account, ...]:
        """The accounts that pay today, with their caps, locked."""
        return tuple((await self.payers(unit, campaign_id)).values())

    async def payers(self, unit: UnitOfWork, campaign_id: str) -> dict[str, Account]:
        """The same by their names."""
        day = day_account(self._clock.now())
        caps: dict[str, int | None] = {day: self._limits.daily_micros or None}
        if campaign_id:
            campaign = await unit.campaigns.get(campaign_id)
            cap = campaign.budget_cents
            caps[campaign_account(campaign_id)] = None if cap is None else cap * MICROS_PER_CENT
        found = await unit.accounts.lock(list(caps))
        return {name: replace(account, cap=caps[name]) for name, account in found.items()}

    async def submitted(self, attempt_id: str, prediction_id: str) -> tuple[Generation, Attempt, bool]:
        """The provider accepted it; True: though it was given up. Conflict: one belongs to another."""
        async with self._database.write() as unit:
            owner = await unit.generations.of_prediction(prediction_id)
            if owner is not None and owner[1].id != attempt_id:
                raise Conflict(
                    f"prediction {prediction_id} is attempt {owner[1].id}'s, and not {attempt_id}'s too",
                    code="other_attempt",
                )
            job, generation = await locked(unit, await unit.generations.of_attempt(attempt_id), deleted=True)
            command = gc.RecordSubmitted(self._clock.now(), attempt_id, prediction_id)
            after, events = await carry_out(unit, job, generation, command)
        adopted = any(isinstance(event, ge.AttemptAdopted) for event in events)
        return after, after.attempt(attempt_id), adopted

    async def release(
        self, attempt_id: str, error: Error, *, fail: bool, retry_after: float
    ) -> tuple[Generation, Attempt]:
        """It cost nothing: its money is free again. Conflict: the provider has it."""
        async with self._database.write() as unit:
            job, generation = await locked(unit, await unit.generations.of_attempt(attempt_id), deleted=True)
            command = gc.ReleaseAttempt(
                self._clock.now(), attempt_id, error, fail=fail, retry_after=retry_after
            )
            after, _ = await carry_out(unit, job, generation, command)
        return after, after.attempt(attempt_id)

    async def get(self, attempt_id: str) -> tuple[Generation, Attempt]:
        """One attempt."""
        async with self._database.read() as unit:
            generation = await unit.generations.get(
                await unit.generations.of_attempt(attempt_id), deleted=True
            )
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
        # One that was given up, and taken by the provider after all, is what there is to stop or to follow.
        return generation, (generation.open_attempts or generation.attempts)[-1]


def _answer(following: Next, after: Generation) -> Work:
    if following.step is NextStep.SUBMIT:
        if not after.open_attempts:
            return Work(NextStep.NOTHING, after, reason=after.error.code if after.error else "final")
        return Work(NextStep.SUBMIT, after, after.open_attempts[-1])
    attempt = after.attempt(following.attempt.id) if following.attempt else None
    return Work(following.step, after, attempt, following.reason)
