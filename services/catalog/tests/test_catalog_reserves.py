"""Caps hold against the most that runs can cost; what they should cost is only shown."""

from __future__ import annotations

import pytest
from running_catalog import RunningCatalog
from structlog.testing import capture_logs

from catalog.core.shared.domain import MediaKind, RunSpec
from rushes.catalog.v1 import attempts_pb2, campaigns_pb2, generations_pb2, jobs_pb2
from servicekit.errors import Precondition
from servicekit.testing import eventually

CENTS = 10_000


async def created(catalog: RunningCatalog, campaign_id: str) -> generations_pb2.Generation:
    request = generations_pb2.CreateGenerationRequest(model="rushes/instant", campaign_id=campaign_id)
    shown: generations_pb2.Generation = await catalog.generations.CreateGeneration(request)
    return shown


async def test_the_cap_holds_against_the_most_that_runs_can_cost(catalog: RunningCatalog) -> None:
    catalog.generator.price, catalog.generator.reserve = 2 * CENTS, 5 * CENTS
    campaign = await catalog.campaign(photos=0, budget_cents=12)
    shown = await catalog.generations.EstimateGeneration(
        generations_pb2.EstimateGenerationRequest(model="rushes/instant")
    )
    assert (shown.estimated_cost_cents, shown.reserve_cents) == (2.0, 5.0)
    paid = generations_pb2.CreateGenerationRequest(model="rushes/instant", campaign_id=campaign.id)
    three = generations_pb2.BatchCreateGenerationsRequest(requests=[paid] * 3)
    with pytest.raises(Precondition, match=r"up to 15\.00 cents"):
        await catalog.generations.BatchCreateGenerations(three)

    first, second, third = [await created(catalog, campaign.id) for _ in range(3)]
    assert (first.estimated_cost_cents, first.reserve_cents) == (2.0, 5.0)
    attempt = await catalog.submitted(first.id)
    assert attempt.reserved_micros == 5 * CENTS
    await catalog.submitted(second.id)
    refused = await catalog.begin(third.id)
    assert (refused.next_step, refused.reason) == (attempts_pb2.NEXT_STEP_NOTHING, "budget")
    campaign = await catalog.campaigns.GetCampaign(campaigns_pb2.GetCampaignRequest(id=campaign.id))
    assert campaign.reserved_cents == 10


async def test_a_single_run_that_does_not_fit_under_the_cap_is_refused(catalog: RunningCatalog) -> None:
    catalog.generator.reserve = 5 * CENTS
    campaign = await catalog.campaign(photos=0, budget_cents=9)
    first = await created(catalog, campaign.id)
    attempt = await catalog.submitted(first.id)
    with pytest.raises(Precondition, match=rf"up to 5\.00 cents.* {campaign.id}") as refused:
        await created(catalog, campaign.id)
    assert refused.value.code == "budget"
    await catalog.fail(attempt)
    await catalog.stage(first.id, "failed")  # it has cost 1.5 cents: 7.5 are left
    again = generations_pb2.RetryGenerationRequest(id=first.id)
    await catalog.submitted((await catalog.generations.RetryGeneration(again)).id)
    with pytest.raises(Precondition, match="cap"):
        await catalog.generations.RetryGeneration(again)
    listed = await catalog.generations.ListGenerations(generations_pb2.ListGenerationsRequest())
    assert len(listed.generations) == 2, "what is refused is not recorded"


async def test_a_job_is_approved_when_all_it_can_cost_fits(catalog: RunningCatalog) -> None:
    catalog.generator.reserve = 5 * CENTS
    campaign = await catalog.campaign(budget_cents=14)
    job = await catalog.jobs.CreateJob(jobs_pb2.CreateJobRequest(campaign_id=campaign.id, scene_count=2))
    runs = len(job.scenes) + job.edit.HasField("music")
    assert (job.estimated_cost_cents, job.reserve_cents) == (2.0 * runs, 5.0 * runs)
    raise_to = campaigns_pb2.UpdateCampaignRequest(id=campaign.id, budget_cents=5 * runs - 1)
    await catalog.campaigns.UpdateCampaign(raise_to)
    with pytest.raises(Precondition, match="can cost up to"):
        await catalog.jobs.ApproveJob(jobs_pb2.ApproveJobRequest(id=job.id))
    raise_to.budget_cents += 1
    await catalog.campaigns.UpdateCampaign(raise_to)
    assert (await catalog.jobs.ApproveJob(jobs_pb2.ApproveJobRequest(id=job.id))).scenes[0].generation_id


async def test_the_generator_learns_how_long_the_money_lasts(catalog: RunningCatalog) -> None:
    catalog.generator.deadline = 300.0
    made = await catalog.generation()
    assert (await catalog.begin(made.id)).deadline_s == 300.0


async def test_what_costs_more_than_its_reserve_is_booked_and_logged(catalog: RunningCatalog) -> None:
    campaign = await catalog.campaign(photos=0, budget_cents=3)
    made = await created(catalog, campaign.id)
    attempt = await catalog.submitted(made.id)
    with capture_logs() as lines:
        await catalog.succeed(attempt, cost=4 * CENTS)

        async def booked() -> None:
            now = await catalog.campaigns.GetCampaign(campaigns_pb2.GetCampaignRequest(id=campaign.id))
            assert (now.spent_cents, now.reserved_cents) == (4, 0)

        await eventually(booked)
    (line,) = [each for each in lines if "more than its reserve" in each["event"]]
    assert (line["log_level"], line["cost_micros"], line["reserved_micros"]) == (
        "error",
        4 * CENTS,
        2 * CENTS,
    )


def test_a_run_recorded_before_there_were_reserves_reserves_its_estimate() -> None:
    assert RunSpec("replicate", "a/b", "", MediaKind.VIDEO, estimate_micros=7).reserve_or_estimate_micros == 7
