"""The use cases on generations: create, batch, estimate, read, cancel, retry, requeue."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from catalog.core.budget.domain import campaign_account, day_account
from catalog.core.campaigns.asset_references import reference_problems
from catalog.core.generations.apply import lock_generation, save_generation
from catalog.core.generations.attempts import AttemptService
from catalog.core.generations.domain.model import Generation, LostOutput, Stage
from catalog.core.generations.domain.recovery import requeue_download
from catalog.core.generations.domain.requesting import cancel_generation, create_generation
from catalog.core.generations.ports import GenerationFilter, Generator
from catalog.core.shared.domain import MICROS_PER_CENT, RunSpec
from catalog.core.shared.paging import Page, PageRequest
from catalog.core.unit_of_work import Database, UnitOfWork
from servicekit.clock import Clock
from servicekit.errors import AppError, FieldProblem, Invalid, NotFound, Precondition
from servicekit.ids import new_id
from servicekit.telemetry import subject

CONCURRENT_CHECKS = 8
"""Inputs of a batch that the generator checks at the same time."""


@dataclass(frozen=True)
class GenerationRequest:
    model: str
    version: str
    input: Mapping[str, Any]
    campaign_id: str = ""


class GenerationService:
    def __init__(
        self, database: Database, generator: Generator, attempts: AttemptService, clock: Clock
    ) -> None:
        self._database = database
        self._generator = generator
        self._attempts = attempts
        self._clock = clock

    async def create(self, request: GenerationRequest) -> Generation:
        """Record one run, unless its input does not fit its model, or its cost a cap."""
        if request.campaign_id:
            async with self._database.read() as unit:
                await _check_campaign(unit, request.campaign_id, "campaign_id")
        run = await self._generator.prepare(request.model, request.version, request.input)
        async with self._database.write() as unit:
            await _check_assets(unit, [run])
            await self._check_caps(unit, [(run, request.campaign_id)])
            created = await self._record(unit, run, request.campaign_id)
        subject.bind({"generation_id": created.id})
        return created

    async def create_all(self, requests: Sequence[GenerationRequest]) -> Sequence[Generation]:
        """Record all of them, or none: each input must fit, and the sum must fit under each cap."""
        async with self._database.read() as unit:
            first = {each.campaign_id: number for number, each in reversed(list(enumerate(requests)))}
            for campaign_id, number in first.items():
                if campaign_id:
                    await _check_campaign(unit, campaign_id, f"requests[{number}].campaign_id")
        runs = await self._prepare_all(requests)
        paid_by = [(run, each.campaign_id) for run, each in zip(runs, requests, strict=True)]
        async with self._database.write() as unit:
            await _check_assets(unit, runs, "requests[{}].")
            await self._check_caps(unit, paid_by)
            return [await self._record(unit, run, campaign_id) for run, campaign_id in paid_by]

    async def estimate(self, request: GenerationRequest) -> RunSpec:
        return await self._generator.prepare(request.model, request.version, request.input)

    async def get(self, generation_id: str) -> Generation:
        async with self._database.read() as unit:
            return await unit.generations.get(generation_id)

    async def page(self, paging: PageRequest, only: GenerationFilter) -> Page[Generation]:
        async with self._database.read() as unit:
            return await unit.generations.page(paging, only)

    async def cancel(self, generation_id: str) -> Generation:
        async with self._database.write() as unit:
            job, generation = await lock_generation(unit, generation_id)
            return await save_generation(
                unit, job, generation, cancel_generation(generation, self._clock.now())
            )

    async def retry(self, generation_id: str) -> Generation:
        """The same run as a new generation. Precondition: the old one did not fail, or a cap is too low."""
        async with self._database.write() as unit:
            old = await unit.generations.get(generation_id)
            if old.stage not in (Stage.FAILED, Stage.CANCELED):
                raise Precondition(
                    f"generation {generation_id} is {old.stage}: only a failed or canceled one is run again",
                    code="wrong_status",
                )
            await _check_assets(unit, [old.run])
            await self._check_caps(unit, [(old.run, old.campaign_id)])
            return await self._record(unit, old.run, old.campaign_id)

    async def lost(self, paging: PageRequest) -> Page[LostOutput]:
        async with self._database.read() as unit:
            return await unit.generations.lost(paging)

    async def requeue(self, generation_id: str) -> Generation:
        """Request its lost outputs again. Precondition: nothing can be fetched."""
        async with self._database.write() as unit:
            job, generation = await lock_generation(unit, generation_id)
            events = requeue_download(generation, self._clock.now())
            return await save_generation(unit, job, generation, events)

    async def _record(self, unit: UnitOfWork, run: RunSpec, campaign_id: str) -> Generation:
        if campaign_id:  # deleted since it was checked, it would never pay, and the run would wait for ever
            await unit.campaigns.get(campaign_id)
        events = create_generation(self._clock.now(), new_id("generation"), run, campaign_id=campaign_id)
        return await unit.generations.save(None, events)

    async def _check_caps(self, unit: UnitOfWork, requests: Sequence[tuple[RunSpec, str]]) -> None:
        """Precondition unless these runs fit under the caps of the campaigns that pay them, and of the day.

        Nothing is reserved: each intent does that, and is what holds when many requests come at once.
        """
        campaigns = sorted({campaign_id for _, campaign_id in requests})
        if len(campaigns) > 1:  # all of them first, in one order everywhere: no deadlock
            names = [campaign_account(campaign_id) for campaign_id in campaigns if campaign_id]
            await unit.accounts.lock([*names, day_account(self._clock.now())])
        total = sum(run.reserve_or_estimate_micros for run, _ in requests)
        for campaign_id in campaigns:
            own = sum(run.reserve_or_estimate_micros for run, paid_by in requests if paid_by == campaign_id)
            for name, account in (await self._attempts.accounts(unit, campaign_id)).items():
                if name == campaign_account(campaign_id):
                    most, cap = own, f"{campaign_id}: raise its budget_cents"
                else:
                    most, cap = total, "the day: raise DAILY_BUDGET_CENTS"
                if not account.fits(most):
                    raise Precondition(
                        f"this can cost up to {most / MICROS_PER_CENT:.2f} cents, which do not fit under "
                        f"the cap of {cap}, or ask for less",
                        code="budget",
                    )

    async def _prepare_all(self, requests: Sequence[GenerationRequest]) -> list[RunSpec]:
        """Check every input; equal ones (variants of one prompt) once."""
        slots = asyncio.Semaphore(CONCURRENT_CHECKS)

        async def prepare(request: GenerationRequest) -> RunSpec | AppError:
            async with slots:
                try:
                    return await self._generator.prepare(request.model, request.version, request.input)
                except AppError as error:
                    return error

        keys = [_content(request) for request in requests]
        distinct = dict(zip(keys, requests, strict=True))
        outcomes = await asyncio.gather(*(prepare(request) for request in distinct.values()))
        prepared = dict(zip(distinct, outcomes, strict=True))
        of_each = [prepared[key] for key in keys]
        problems: list[FieldProblem] = []
        for number, outcome in enumerate(of_each):
            if isinstance(outcome, Invalid | NotFound):
                fields = outcome.fields or (FieldProblem("input", outcome.message),)
                problems += [FieldProblem(f"requests[{number}].{f.field}", f.message) for f in fields]
            elif isinstance(outcome, AppError):
                raise outcome
        _refuse(problems)
        return [run for run in of_each if isinstance(run, RunSpec)]


async def _check_campaign(unit: UnitOfWork, campaign_id: str, field: str) -> None:
    try:
        await unit.campaigns.get(campaign_id)
    except NotFound as error:
        message = f"{error.message}: name one of GET /api/v3/campaigns, or leave it out"
        raise NotFound(message, fields=[FieldProblem(field, message)]) from error


async def _check_assets(unit: UnitOfWork, runs: Sequence[RunSpec], prefix: str = "") -> None:
    _refuse(await reference_problems(unit, runs, prefix))


def _refuse(problems: Sequence[FieldProblem]) -> None:
    if problems:
        named = "; ".join(f"{each.field}: {each.message}" for each in problems[:10])
        raise Invalid(f"nothing was admitted: {named}", fields=problems)


def _content(request: GenerationRequest) -> str:
    """Equal for requests that are prepared alike."""
    return json.dumps([request.model, request.version, request.input], sort_keys=True, default=repr)
