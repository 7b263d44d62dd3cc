"""What operators count: jobs and generations at their end, money, the day's budget; what is committed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from catalog_core import RUN, VIDEO, CatalogCore
from catalog_jobs import approved, stitched
from generation_life import succeeded
from prometheus_client import REGISTRY
from running_catalog import RunningCatalog

from catalog.adapters.outcomes import SPENT
from catalog.core.budget.day_budget import DAY_BUDGET, DayBudget
from catalog.core.jobs.domain.decide import fail_job
from catalog.core.shared.domain import Error
from catalog.core.watchdog.reconciler import ReconcileReport
from catalog.edges import timers
from rushes.common.v1 import media_pb2
from servicekit.testing import eventually


def sample(name: str, **labels: str) -> float:
    """A sample as it would be scraped now; -1: there is none."""
    found = REGISTRY.get_sample_value(f"rushes_{name}", labels)
    return -1.0 if found is None else found


async def test_a_completed_job_is_counted_with_all_that_it_made(catalog: RunningCatalog) -> None:
    def counted() -> list[float]:
        return [
            sample("jobs_ended_total", outcome="completed"),
            sample("generations_ended_total", kind="video", outcome="completed"),
            sample("generations_ended_total", kind="audio", outcome="completed"),
            sample("generation_seconds_count", kind="video"),
            sample("outputs_stored_total", kind="video"),
            sample("outputs_stored_bytes_total", kind="video"),
            sample("job_seconds_count"),
            sample("job_seconds_sum"),
        ]

    before = [max(each, 0.0) for each in counted()]
    job = await approved(catalog)
    for scene in job.scenes:
        await catalog.made(scene.generation_id)
    await catalog.made(job.edit.music.generation_id, media_pb2.MEDIA_KIND_AUDIO)
    await catalog.status(job.id, "stitching")
    await stitched(catalog, job.id)
    done = await catalog.status(job.id, "completed")
    await eventually(lambda: sample("jobs_ended_total", outcome="completed") > before[0])
    grown = [after - old for after, old in zip(counted(), before, strict=True)]
    taken = done.finished_at.ToDatetime() - job.updated_at.ToDatetime()
    assert grown == [1, 2, 1, 2, 2, 14, 1, pytest.approx(taken.total_seconds(), abs=0.1)]


async def test_money_is_counted_by_model_from_zero_on(core: CatalogCore) -> None:
    SPENT.clear()
    run = replace(RUN, model="acme/of-this-test")
    made = await core.generation(run=run)
    assert sample("spent_dollars_total", model=run.model) == -1
    attempt = (await core.attempts.begin(made.id)).attempt
    assert attempt is not None
    assert sample("spent_dollars_total", model=run.model) == 0, "there before the first cost"
    await core.attempts.record_submitted(attempt.id, "p-1")
    await core.do(made.id, succeeded(attempt.id, prediction_id="p-1", cost=2_500_000))
    assert sample("spent_dollars_total", model=run.model) == 2.5


async def test_what_is_rolled_back_is_not_counted(core: CatalogCore) -> None:
    job = await core.job(await core.campaign())
    before = sample("jobs_ended_total", outcome="failed")

    async def rolled_back() -> None:
        async with core.database.write() as unit:
            state = await unit.jobs.get(job.id, lock=True)
            await unit.jobs.save(state, fail_job(state, core.clock.now(), error=Error("x", "x")))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await rolled_back()
    assert sample("jobs_ended_total", outcome="failed") == before
    await core.end(job)
    assert sample("jobs_ended_total", outcome="failed") == before + 1


async def test_the_days_budget_is_measured(core: CatalogCore) -> None:
    DAY_BUDGET.clear()
    budget = DayBudget(core.database, core.clock, cap_cents=250)
    await budget.measure()
    parts = ("spent", "reserved", "cap")
    assert [sample("day_budget_dollars", part=part) for part in parts] == [0, 0, 2.5]
    await core.made(VIDEO)
    await core.attempts.begin((await core.generation()).id)
    await budget.measure()
    assert [sample("day_budget_dollars", part=part) for part in parts] == [0.0002, 0.0003, 2.5]

    DAY_BUDGET.clear()
    await DayBudget(core.database, core.clock, cap_cents=0).measure()
    assert sample("day_budget_dollars", part="cap") == -1, "no cap, no series"


async def test_stalled_work_is_counted() -> None:
    class Stalled:
        async def run_once(self) -> ReconcileReport:
            return ReconcileReport(generations=2, jobs=1)

    records = ("generations", "jobs", "drafts", "downloads")
    before = [sample("stalled_work_total", record=each) for each in records]
    await timers.reconcile(Stalled())  # type: ignore[arg-type]
    after = [sample("stalled_work_total", record=each) for each in records]
    assert [new - old for new, old in zip(after, before, strict=True)] == [2, 1, 0, 0]
