"""Whatever is killed whenever: never more paid runs than intents, and no generation is left behind."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from generator_world import Kill, World
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from generator.core.runs.cancel_generation import cancel_generation
from generator.core.runs.domain.attempt import AttemptState
from generator.core.runs.domain.events import (
    PredictionCanceled,
    PredictionFailed,
    PredictionProgressed,
    PredictionStarted,
    PredictionSucceeded,
)
from generator.core.runs.domain.prediction import Prediction
from generator.core.runs.run_generation import GenerationRequest, run_generation
from servicekit.errors import Limited, Unavailable


def _steps_of_a_whole_run() -> int:
    async def count() -> int:
        world, kill = World(), Kill()
        await world.clock.run(run_generation(world.ports(kill), GenerationRequest(world.attempts.add())))
        assert world.published(PredictionSucceeded)
        return kill.steps

    return asyncio.run(count())


STEPS = _steps_of_a_whole_run()


async def test_a_generation_goes_from_request_to_success() -> None:
    world = World()
    generation = world.attempts.add()
    assert await world.deliver(generation)
    (succeeded,) = world.published(PredictionSucceeded)
    assert succeeded.addresses == ("https://x.test/a.mp4",)
    assert len(world.published(PredictionStarted)) == 1
    assert world.published(PredictionProgressed)
    (submission,) = world.provider.submissions
    assert (
        submission.webhook == f"https://rushes.test/api/webhooks/replicate/{succeeded.prediction.attempt_id}"
    )
    assert submission.run.deadline_s == 1800.0


@pytest.mark.parametrize("echo", [True, False], ids=["webhook echoed", "by input and time"])
@pytest.mark.parametrize("kill_at", range(1, STEPS + 1))
async def test_killed_at_every_step_it_pays_once_and_ends(kill_at: int, echo: bool) -> None:
    world = World(echo=echo)
    generation = world.attempts.add()
    await world.settle(generation, kills=(kill_at,))
    assert world.provider.charges == 1
    assert world.provider.charges <= world.attempts.intents
    assert world.attempts.generations[generation].state == "succeeded"
    assert len(world.published(PredictionSucceeded)) == 1


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    kills=st.lists(st.integers(1, STEPS + 4), max_size=5),
    script=st.lists(
        st.sampled_from(["", "", "reset", "500_html", "lost", "unreached", "429_text", "402", "401"]),
        max_size=4,
    ),
    echo=st.booleans(),
)
def test_charges_never_exceed_intents(kills: list[int], script: list[str], echo: bool) -> None:
    async def live() -> None:
        world = World(echo=echo)
        generation = world.attempts.add()
        world.provider.script = list(script)
        await world.settle(generation, kills=tuple(kills))
        assert world.provider.charges <= world.attempts.intents
        assert world.provider.charges == 1  # the list shows what was bought: nothing is bought twice
        assert world.attempts.generations[generation].state == "succeeded"

    asyncio.run(live())


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    delays=st.lists(st.floats(0, 30), min_size=2, max_size=4),
    latency=st.floats(0, 15),
    script=st.sampled_from([[], ["reset"], ["lost"]]),
)
@example(delays=[0.0, 1.0], latency=8.0, script=[])  # the second searches while the first is still sending
def test_replicas_racing_for_one_generation_buy_it_once(
    delays: list[float], latency: float, script: list[str]
) -> None:
    async def live() -> None:
        world = World(reads=6)
        world.provider.script = list(script)
        world.provider.latency = latency
        generation = world.attempts.add()

        async def late(delay: float) -> None:
            await world.clock.sleep(delay)
            await run_generation(world.ports(), GenerationRequest(generation))

        await world.clock.run(*(late(delay) for delay in delays))
        await world.settle(generation)
        assert world.provider.charges == 1
        assert len(world.published(PredictionSucceeded)) == 1

    asyncio.run(live())


async def test_equal_inputs_side_by_side_are_distinguished_after_lost_answers() -> None:
    world = World(echo=False, webhooks=False)
    generations = [world.attempts.add() for _ in range(3)]
    world.provider.script = ["reset", "500_html", "reset"]
    for each in generations:
        assert not await world.deliver(each)
    for each in generations:
        await world.settle(each, kills=())
    assert world.provider.charges == 3
    owned = [world.attempts.generations[each].attempts[-1].prediction_id for each in generations]
    assert len(set(owned)) == 3


async def test_a_run_with_a_secret_that_the_provider_hides_is_found() -> None:
    world = World(echo=False, webhooks=False)
    world.attempts.secrets = ("api_key",)
    generation = world.attempts.add(input={"prompt": "a house", "api_key": "hush"})
    world.provider.script = ["reset"]
    assert not await world.deliver(generation)
    (bought,) = world.provider.runs.values()
    shown = {"prompt": "a house", "api_key": "This value was redacted"}
    world.provider.runs[bought.id] = replace(bought, input=shown)
    await world.settle(generation, kills=())
    assert world.provider.charges == 1
    assert world.provider.submissions[0].run.input["api_key"] == "hush"
    assert len(world.published(PredictionSucceeded)) == 1


async def test_a_stale_lease_sends_nothing() -> None:
    world = World()
    generation = world.attempts.add()
    ports = world.ports()
    (result,) = await world.clock.run(
        run_generation(ports, GenerationRequest(generation, lease_is_fresh=lambda: False))
    )
    assert isinstance(result, Unavailable)
    assert world.provider.charges == 0
    await world.settle(generation)
    assert world.provider.charges == 1


async def test_an_old_permission_sends_nothing() -> None:
    world = World()
    generation = world.attempts.add()
    begin = world.attempts.begin

    async def slow(generation_id: str):
        answer = await begin(generation_id)
        await world.clock.sleep(6.0)  # more than a quarter of the window of 20 s
        return answer

    world.attempts.begin = slow  # type: ignore[method-assign]
    assert not await world.deliver(generation)
    assert world.provider.charges == 0


async def test_catalog_away_after_the_purchase_is_called_until_it_has_recorded_it() -> None:
    world = World()
    generation = world.attempts.add()
    world.attempts.away = 20
    assert await world.deliver(generation)
    assert world.provider.charges == 1
    assert world.attempts.generations[generation].state == "succeeded"


async def test_a_refused_input_ends_the_generation_with_the_providers_text() -> None:
    world = World()
    generation = world.attempts.add()
    world.provider.script = ["422"]
    assert await world.deliver(generation)
    (error,) = world.attempts.generations[generation].errors
    assert "prompt is required" in error.message
    assert world.attempts.generations[generation].state == "failed"
    assert world.provider.charges == 0


@pytest.mark.parametrize(("fault", "wait"), [("429_header", 4.0), ("429_body", 9.0), ("429_text", 31.0)])
async def test_a_429_blocks_all_starts_for_its_wait(fault: str, wait: float) -> None:
    world = World()
    first, second = world.attempts.add(), world.attempts.add()
    world.provider.script = [fault]
    assert await world.deliver(first)
    refused_at = world.provider.starts[-1]
    await world.settle(second)
    assert world.provider.starts[1] - refused_at >= wait
    await world.settle(first)
    assert world.provider.charges == 2


@pytest.mark.parametrize("fault", ["401", "402"])
async def test_a_tripped_breaker_is_reported_once_and_reset_by_a_probe(fault: str) -> None:
    world = World()
    generations = [world.attempts.add() for _ in range(3)]
    world.provider.script = [fault, fault]
    assert await world.deliver(generations[0])
    result = (await world.clock.run(run_generation(world.ports(), GenerationRequest(generations[1]))))[0]
    assert isinstance(result, Limited)
    assert result.retry_after is not None
    assert world.attempts.intents == 1  # nothing is booked while the breaker is tripped
    for each in generations:
        await world.settle(each)
    assert world.operators.alarms == ["breaker_opened"]
    assert world.operators.notes.count("breaker_closed") == 1
    assert world.provider.charges == 3


async def test_a_tripped_breaker_does_not_keep_us_from_tracking() -> None:
    world = World()
    running, other = world.attempts.add(), world.attempts.add()
    assert not await world.deliver(running, kill_at=8)  # killed after recording
    assert world.attempts.generations[running].attempts[0].state is AttemptState.SUBMITTED
    world.provider.script = ["402"]
    assert await world.deliver(other)
    assert await world.deliver(running)
    assert world.attempts.generations[running].state == "succeeded"


@pytest.mark.parametrize(
    ("error", "attempts", "code"),
    [
        ("Director: unexpected error handling prediction (E6716)", 3, "E6716"),
        ("flagged as sensitive (E005) (uIJ6l3ruRD)", 1, "E005"),
        ("Prediction interrupted; please retry (code: PA)", 3, "PA"),
        ("CUDA out of memory", 1, "out_of_memory"),
    ],
)
async def test_errors_are_retried_by_their_code(error: str, attempts: int, code: str) -> None:
    world = World()
    generation = world.attempts.add()
    world.provider.ends = [Prediction("", "failed", error=error) for _ in range(3)]
    await world.settle(generation)
    assert world.provider.charges == attempts == world.attempts.intents
    assert {event.error.code for event in world.published(PredictionFailed)} == {code}


async def test_an_unknown_status_is_tracked_to_the_deadline_and_stopped() -> None:
    world = World(reads=0)
    generation = world.attempts.add()
    world.provider.ends = [Prediction("", "pondering") for _ in range(5000)]
    assert await world.deliver(generation)
    (stopped,) = world.published(PredictionCanceled)
    assert stopped.by_deadline
    assert world.provider.runs["p0"].status == "canceled"
    assert world.attempts.generations[generation].state == "failed"


async def test_what_cannot_even_be_stopped_is_given_up_after_the_deadline() -> None:
    world = World(reads=0)
    generation = world.attempts.add()
    world.provider.ends = [Prediction("", "pondering") for _ in range(5000)]

    async def refuses(_prediction_id: str) -> None:
        pass

    world.provider.cancel = refuses  # type: ignore[method-assign]
    assert await world.deliver(generation)
    (failed,) = world.published(PredictionFailed)
    assert failed.error.code == "deadline"
    assert "pondering" in failed.error.message
    (last,) = world.results.priced
    assert last is not None
    assert last.completed_at == world.provider.runs["p0"].created_at + timedelta(seconds=1860)  # type: ignore[operator]


@pytest.mark.parametrize("status", ["aborted", "canceled"])
async def test_ended_by_its_deadline(status: str) -> None:
    world = World()
    generation = world.attempts.add()
    world.provider.ends = [Prediction("", status)]
    assert await world.deliver(generation)
    (canceled,) = world.published(PredictionCanceled)
    assert canceled.by_deadline


async def test_a_deleted_prediction_fails_with_the_reason() -> None:
    world = World()
    generation = world.attempts.add()
    assert not await world.deliver(generation, kill_at=8)
    world.provider.runs.clear()
    assert await world.deliver(generation)
    (failed,) = world.published(PredictionFailed)
    assert failed.error.code == "gone"
    assert not failed.error.retryable


async def test_the_provider_away_while_tracking_hands_the_delivery_back() -> None:
    world = World()
    generation = world.attempts.add()
    assert not await world.deliver(generation, kill_at=8)
    world.provider.away = True
    assert not await world.deliver(generation)
    assert world.clock.monotonic() > 60
    world.provider.away = False
    await world.settle(generation)
    assert world.provider.charges == 1


async def test_cancel_stops_the_run_and_publishes_it() -> None:
    world = World()
    generation = world.attempts.add()
    assert not await world.deliver(generation, kill_at=8)
    attempt = world.attempts.generations[generation].attempts[0]
    world.attempts._set(type(attempt)(**{**attempt.__dict__, "cancel_requested": True}))
    await world.clock.run(cancel_generation(world.ports(), generation))
    (canceled,) = world.published(PredictionCanceled)
    assert not canceled.by_deadline


async def test_cancel_too_late_keeps_what_succeeded() -> None:
    world = World(reads=0)
    generation = world.attempts.add()
    assert not await world.deliver(generation, kill_at=8)
    await world.provider.get("p0")
    await world.clock.run(cancel_generation(world.ports(), generation))
    assert world.published(PredictionSucceeded)


async def test_cancel_of_an_attempt_that_may_be_submitted_comes_back() -> None:
    world = World()
    generation = world.attempts.add()
    assert not await world.deliver(generation, kill_at=5)
    (result,) = await world.clock.run(cancel_generation(world.ports(), generation))
    assert isinstance(result, Unavailable)


async def test_a_provider_that_lists_late_is_paid_once() -> None:
    """It gives no answer, takes the run up all the same, and lists it only after the window."""
    world = World()
    generation = world.attempts.add()
    world.provider.script = ["reset"]
    whole, appears = world.provider.created_since, world.clock.now() + timedelta(seconds=30)

    async def late(*given: Any) -> list[Prediction]:
        return await whole(*given) if world.clock.now() >= appears else []

    world.provider.created_since = late  # type: ignore[method-assign]
    await world.settle(generation)
    assert world.provider.charges == 1
    assert world.attempts.intents == 1
    assert world.published(PredictionSucceeded)


async def test_a_run_that_another_adopted_meanwhile_is_not_stopped() -> None:
    """Equal inputs and no webhooks: it belongs to the attempt that records it first."""
    world = World(echo=False, webhooks=False)
    one, two = world.attempts.add(), world.attempts.add()
    world.provider.script = ["lost"]
    assert not await world.deliver(one)
    world.clock.advance(16.0 - world.clock.monotonic())
    record = world.attempts.record_submitted

    async def slow(attempt_id: str, prediction_id: str) -> None:
        if (await world.attempts.get(attempt_id)).generation_id == two:
            await world.clock.sleep(30.0)
        await record(attempt_id, prediction_id)

    world.attempts.record_submitted = slow  # type: ignore[method-assign]
    _, taken = await world.clock.run(
        run_generation(world.ports(), GenerationRequest(one)),
        run_generation(world.ports(), GenerationRequest(two)),
    )
    assert isinstance(taken, Unavailable)
    assert not world.operators.alarms
    assert world.attempts.generations[one].state == "succeeded"
    await world.settle(two)
    assert world.attempts.generations[two].state == "succeeded"
    assert world.provider.charges == 2


@pytest.mark.parametrize("lost", [1, 2])
async def test_what_was_bought_more_than_an_hour_ago_is_not_bought_again(lost: int) -> None:
    """The provider has removed inputs and outputs by then: of two intents one has bought that run."""
    world = World(echo=False, webhooks=False)
    generations = [world.attempts.add() for _ in range(lost)]
    world.provider.script = ["reset", "lost"]
    for each in generations:
        assert not await world.deliver(each)
    assert world.provider.charges == 1
    world.provider.runs["p0"] = replace(
        world.provider.runs["p0"], status="succeeded", input={}, output=None, data_removed=True
    )
    world.clock.advance(3700.0)
    for each in generations:
        await world.settle(each)
    assert [event.error.code for event in world.published(PredictionFailed)] == ["gone"]
    assert world.provider.charges == lost
    assert len(world.published(PredictionSucceeded)) == lost - 1
