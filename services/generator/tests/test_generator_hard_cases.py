"""Generations that would hold a slot for ever, and answers that come when nobody waits for them any more."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from generator_world import World, event_id
from google.protobuf.timestamp_pb2 import Timestamp

from generator.adapters.runs.catalog_attempts import CatalogAttempts
from generator.core.inputs.domain.run_spec import RunSpec
from generator.core.models.domain.prices import Price, estimate
from generator.core.runs.cancel_generation import cancel_generation
from generator.core.runs.domain.attempt import AttemptState
from generator.core.runs.domain.events import (
    OUTPUTS_GONE,
    PredictionFailed,
    PredictionProgressed,
    PredictionRef,
    PredictionSucceeded,
)
from generator.core.runs.domain.prediction import Prediction
from generator.core.runs.domain.provider_errors import LONGEST_TEXT, Accepted, Error, classify_error
from generator.core.runs.domain.run_cost import run_cost
from generator.core.runs.handle_webhook import handle_webhook
from generator.edges.events import GenerationHandlers
from rushes.catalog.v1 import attempts_pb2
from rushes.events.v1 import events_pb2
from servicekit.errors import AppError, Invalid, Unauthenticated, Unavailable
from servicekit.events import Event
from servicekit.ids import new_id
from servicekit.testing import SimulatedClock


async def test_a_model_that_always_answers_500_leaves_its_slot_to_others() -> None:
    world = World()
    generation = world.attempts.add()
    world.provider.script = ["lost"] * 100
    record = world.attempts.generations[generation]
    waits = []
    for _ in range(30):
        acknowledged = await world.deliver(generation)
        if acknowledged:  # the slot is free, and catalog requests it again when the wait is over
            moment, _ = record.requests.pop()
            waits.append(moment - world.clock.monotonic())
            world.clock.advance(moment - world.clock.monotonic())
    assert waits[:3] == pytest.approx([10.0, 20.0, 40.0])
    assert max(waits) <= 600.0
    assert world.provider.charges == 0


@pytest.mark.parametrize("trouble", [Unavailable("the files are away"), Unauthenticated("no token")])
async def test_a_file_that_cannot_be_handed_over_holds_no_slot(trouble: AppError) -> None:
    world = World()
    generation = world.attempts.add()
    world.upload_error = trouble
    assert await world.deliver(generation)
    record = world.attempts.generations[generation]
    assert (len(record.requests), record.state) == (1, "requested")
    assert world.operators.alarms == (["breaker_opened"] if isinstance(trouble, Unauthenticated) else [])
    world.upload_error = None
    world.clock.advance(record.requests[0][0] - world.clock.monotonic())
    assert await world.deliver(generation, round_=2)
    assert world.published(PredictionSucceeded)
    assert world.provider.charges == 1


async def test_a_refused_token_ends_no_request_wherever_it_shows() -> None:
    world = World()
    generation = world.attempts.add()
    assert not await world.deliver(generation, kill_at=5)  # it may have been submitted: the list is read

    async def created_since(_moment: object, _keep: object = None) -> list[Prediction]:
        raise Unauthenticated("GET /v1/predictions: 401")

    world.provider.created_since = created_since  # type: ignore[method-assign]
    message = events_pb2.GenerationRequested(generation_id=generation, round=2)
    handling = GenerationHandlers(world.ports()).requested(
        Event(id="x", type="generation.requested", key="x", data=message.SerializeToString())
    )
    (result,) = await world.clock.run(handling)
    assert isinstance(result, Unavailable)
    assert result.retry_after == 30.0
    assert world.operators.alarms == ["breaker_opened"]


async def test_an_event_that_holds_no_message_is_refused_and_not_tried_again() -> None:
    world = World()
    handlers = GenerationHandlers(world.ports())
    for handle in (handlers.requested, handlers.fetch_requested, handlers.cancel_requested):
        (result,) = await world.clock.run(handle(Event(id="x", type="a.b", key="x", data=b"\xff")))
        assert isinstance(result, Invalid)


async def test_a_webhook_for_an_attempt_that_was_given_up_brings_its_outputs_home() -> None:
    world = World()
    generation = world.attempts.add()
    world.provider.script = ["lost", "lost"]
    while len(world.attempts.generations[generation].attempts) < 2:
        await world.deliver(generation)
    first = world.attempts.generations[generation].attempts[0]
    assert first.state is AttemptState.FAILED
    body = {
        "id": "late",
        "status": "succeeded",
        "output": "https://x.test/a.mp4",
        "started_at": "2026-01-01T00:00:00Z",
    }
    (is_new,) = await world.clock.run(handle_webhook(world.ports(), first.id, json.dumps(body).encode()))
    assert is_new is True
    (succeeded,) = world.published(PredictionSucceeded)
    assert succeeded.prediction.attempt_id == first.id
    (is_new,) = await world.clock.run(handle_webhook(world.ports(), first.id, json.dumps(body).encode()))
    assert is_new is False


async def test_a_poller_that_is_handed_the_final_prediction_does_not_read_it() -> None:
    world = World()
    generation = world.attempts.add()
    world.handed_over["p0"] = Prediction("p0", "succeeded", "https://x.test/handed.mp4")
    world.provider.away = True  # reading would fail; creating and being handed it do not
    assert await world.deliver(generation)
    (succeeded,) = world.published(PredictionSucceeded)
    assert succeeded.addresses == ("https://x.test/handed.mp4",)


async def test_an_output_that_no_message_can_carry_fails_with_its_cost() -> None:
    world = World()
    world.largest_event = 5_000
    world.provider.ends = [Prediction("", "succeeded", "data:image/png;base64," + "A" * 10_000)]
    assert await world.deliver(world.attempts.add())
    (failed,) = world.published(PredictionFailed)
    assert (failed.error.code, failed.cost_micros) == ("output_too_large", 1000)


def test_that_outputs_are_gone_is_published_in_each_round_and_other_ends_once() -> None:
    def ids(error: Error) -> set[str]:
        return {event_id(PredictionFailed(PredictionRef("g", "a", "p", round=n), error)) for n in (1, 2)}

    assert len(ids(OUTPUTS_GONE)) == 2
    assert len(ids(classify_error("E005"))) == 1
    assert (
        len({event_id(PredictionProgressed(PredictionRef("g", "a", "p", round=n), 5, "x")) for n in (1, 2)})
        == 1
    )


def test_an_error_text_of_any_length_fits_into_an_event() -> None:
    assert len(classify_error("x" * 10**7).message) == LONGEST_TEXT


@pytest.mark.parametrize("seconds", [1e308, 1e300])
def test_a_run_of_endless_length_has_a_price_that_an_account_can_hold(seconds: float) -> None:
    price = Price("x", per_second=100_000)
    assert estimate(price, model="x", parameters=None, given={"duration": seconds}).micros < 2**63
    metrics = {"video_output_duration_seconds": seconds}
    assert run_cost(price, Prediction("p", "succeeded", metrics=metrics)) < 2**63


@pytest.mark.parametrize("how", ["webhook", "cancel"])
async def test_what_no_request_led_to_is_published_in_the_round_requested_last(how: str) -> None:
    """Else catalog and downloader would take it for something of a round that is over."""
    world = World()
    generation = world.attempts.add()
    (answer,) = await world.clock.run(world.attempts.begin(generation))
    assert answer.attempt is not None
    outcome = await world.provider.create(
        RunSpec("rushes/camera-move"),
        webhook=f"https://rushes.test/api/webhooks/replicate/{answer.attempt.id}",
        timeout=5.0,
    )
    assert isinstance(outcome, Accepted)
    await world.attempts.record_submitted(answer.attempt.id, outcome.prediction.id)
    world.attempts.generations[generation].rounds = 4
    if how == "cancel":
        for _ in range(3):
            await world.provider.get(outcome.prediction.id)
        await world.clock.run(cancel_generation(world.ports(), generation))
    else:
        body = {"id": outcome.prediction.id, "status": "succeeded", "output": "https://x.test/a.mp4"}
        await world.clock.run(handle_webhook(world.ports(), answer.attempt.id, json.dumps(body).encode()))
    (event,) = world.published(PredictionSucceeded)
    assert event.prediction.round == 4
    assert list(world.events) == [f"{generation}:{answer.attempt.id}:succeeded:4"]


async def test_a_list_that_may_not_be_read_trips_the_breaker_until_it_may() -> None:
    """Else one intent after another would be submitted, and nobody could find out what they bought."""
    world = World()
    lost, other = world.attempts.add(), world.attempts.add()
    world.provider.script = ["reset"]
    await world.deliver(lost)
    world.provider.unlisted = True

    async def request(generation_id: str, round_: int) -> Exception | None:
        message = events_pb2.GenerationRequested(generation_id=generation_id, round=round_)
        event = Event(id="x", type="generation.requested", key="x", data=message.SerializeToString())
        (result,) = await world.clock.run(GenerationHandlers(world.ports()).requested(event))
        world.clock.advance(31.0)
        return result

    for _ in range(3):
        assert isinstance(await request(lost, 2), Unavailable)
        assert isinstance(await request(other, 1), Unavailable), "a probe reads the list before it submits"
    assert world.operators.alarms == ["breaker_opened"]
    assert world.provider.charges == 1

    world.provider.unlisted = False
    assert await request(lost, 2) is None
    assert await request(other, 1) is None
    assert world.provider.charges == 2
    assert len(world.published(PredictionSucceeded)) == 2
    assert "breaker_closed" in world.operators.notes


@pytest.mark.parametrize("apart", [-3600, 0, 3600])
async def test_the_age_of_an_intent_comes_from_catalog_whatever_our_clock_shows(apart: float) -> None:
    """Else one whose clock is ahead would search for a submission that is still on its way, and buy again."""
    clock = SimulatedClock()
    intended = Timestamp()
    intended.FromDatetime(clock.now() + timedelta(seconds=apart))

    class Stub:
        async def BeginAttempt(self, request: object) -> attempts_pb2.BeginAttemptResponse:  # noqa: N802
            attempt = attempts_pb2.Attempt(id=new_id("attempt"), intended_at=intended)
            step = attempts_pb2.NEXT_STEP_RECONCILE
            return attempts_pb2.BeginAttemptResponse(next_step=step, attempt=attempt, intent_age_s=7.0)

    answer = await CatalogAttempts(Stub(), None, clock).begin(new_id("generation"))
    assert answer.attempt is not None
    assert clock.now() - answer.attempt.intended_at == timedelta(seconds=7)
