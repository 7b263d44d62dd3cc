"""The reconciler: what expires comes first, and nothing waits for a planner or for a record that fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from catalog_core import CatalogCore
from sqlalchemy import select, update

from catalog.adapters.db import tables
from catalog.core.generations.domain.model import Stage
from catalog.core.jobs.planning import CONCURRENT_RETRIES, Planning
from catalog.core.jobs.ports import Plan, PlanRequest
from catalog.core.watchdog import reconciler as reconcile
from catalog.core.watchdog.reconciler import Reconciler
from servicekit.clock import SystemClock
from servicekit.telemetry import traces
from servicekit.testing import eventually


class StuckGenerator:
    """Takes plans and answers none."""

    def __init__(self) -> None:
        self.requests = 0

    async def plan(self, _request: PlanRequest) -> Plan:
        self.requests += 1
        await asyncio.Event().wait()
        raise AssertionError("it never answers")


class Watch:
    """A reconciler over a store, with a generator that is stuck."""

    def __init__(self, core: CatalogCore) -> None:
        self.core = core
        self.generator: Any = StuckGenerator()
        self.planning = Planning(core.database, self.generator, self.generator, SystemClock(), patience=3600)
        self.reconciler = Reconciler(core.database, self.planning, core.clock)

    async def corrupt(self, table: Any, id_: str) -> None:
        column = table.c.stage if "stage" in table.c else table.c.status
        async with self.core.database.transaction() as connection:
            await connection.execute(update(table).where(table.c.id == id_).values({column: "nowhere"}))


@pytest_asyncio.fixture
async def watch(core: CatalogCore) -> AsyncIterator[Watch]:
    watch = Watch(core)
    yield watch
    await watch.planning.stop()


async def test_a_stuck_planner_holds_nothing_up(watch: Watch) -> None:
    core = watch.core
    campaign = await core.campaign()
    jobs = [await core.job(campaign) for _ in range(CONCURRENT_RETRIES + 3)]
    lost = await core.made(lose=True, may_come=True)
    core.clock.advance(61)
    report = await asyncio.wait_for(watch.reconciler.run_once(), 5)
    assert (report.drafts, report.downloads) == (len(jobs), 1)
    assert (await core.get(lost.id)).stage is Stage.FETCHING
    await eventually(lambda: watch.generator.requests == CONCURRENT_RETRIES)
    core.clock.advance(121)
    report = await watch.reconciler.run_once()
    assert report.drafts == len(jobs)
    assert watch.generator.requests == CONCURRENT_RETRIES, (
        "what is planned or waits for its turn is not begun twice"
    )


@pytest.mark.usefixtures("rows_by_hand")
@pytest.mark.parametrize("what", ["job", "requeue"])
async def test_a_record_that_fails_keeps_no_other_waiting(
    watch: Watch, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = watch.core
    monkeypatch.setattr(reconcile, "BATCH_SIZE", 1)
    campaign = await core.campaign()
    both = []
    for _ in range(2):
        both.append(await core.job(campaign) if what == "job" else await core.made(lose=True, may_come=True))
        core.clock.advance(1)
    corrupt = both[0].id
    await watch.corrupt(tables.jobs if what == "job" else tables.generations, corrupt)
    core.clock.advance(61)
    first = await watch.reconciler.run_once()
    assert ([each.id for each in first.failed], first.any) == ([corrupt], False)
    second = await watch.reconciler.run_once()
    assert (second.failed, second.drafts + second.downloads) == ((), 1)
    core.clock.advance(61)
    assert corrupt in [each.id for each in (await watch.reconciler.run_once()).failed], "nor is it forgotten"


@pytest.mark.usefixtures("rows_by_hand")
async def test_a_failing_requeue_is_put_off_for_a_few_seconds_only(watch: Watch) -> None:
    core = watch.core
    lost = (await core.made(lose=True, may_come=True)).id
    core.clock.advance(3560)
    await watch.corrupt(tables.generations, lost)
    assert [each.id for each in (await watch.reconciler.run_once()).failed] == [lost]
    mended = update(tables.generations).where(tables.generations.c.id == lost)
    async with core.database.transaction() as connection:
        await connection.execute(mended.values(stage=Stage.FETCHING.value))
    assert (await watch.reconciler.run_once()).downloads == 0
    core.clock.advance(11)
    assert (await watch.reconciler.run_once()).downloads == 1, "while the provider still has it"


async def test_what_is_requested_again_goes_on_in_the_trace_of_the_first_request(watch: Watch) -> None:
    core = watch.core
    job = await core.job(await core.campaign())
    with traces.span("approve"):
        first = traces.trace_id()
        of_job = [await core.generation(job_id=job.id) for _ in range(2)]
    other = await core.generation()
    core.clock.advance(61)
    assert (await watch.reconciler.run_once()).generations == 3
    last = dict(await requested(core, "generation.requested"))
    again = {key.removeprefix("replicate."): traceparent.split("-")[1] for key, traceparent in last.items()}
    assert [again[each.id] for each in of_job] == [first, first]
    assert again[other.id] not in ("", first), "of which no trace is known, it begins one"


async def requested(core: CatalogCore, type_: str) -> list[tuple[str, str]]:
    """Key and trace of each event of a type, oldest first."""
    outbox = tables.outbox.c
    query = select(outbox.key, outbox.traceparent).where(outbox.type == type_).order_by(outbox.id)
    async with core.database.transaction() as connection:
        return [(row.key, row.traceparent) for row in await connection.execute(query)]
