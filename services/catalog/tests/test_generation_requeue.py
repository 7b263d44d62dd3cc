"""Lost outputs: requested again by themselves while they may live, by an operator at any time."""

from __future__ import annotations

from datetime import timedelta

import pytest
from generation_life import (
    GONE,
    NOW,
    Life,
    failed,
    lost,
    requeued_by_itself,
    stored,
    succeeded,
)
from job_scenario import JobScenario

from catalog.core.generations.apply import consequence
from catalog.core.generations.domain import events as ge
from catalog.core.generations.domain.attempts import NextStep, next_step
from catalog.core.generations.domain.model import OutputState, Stage
from catalog.core.generations.domain.recovery import requeue_download
from catalog.core.jobs.domain import events as je
from catalog.core.shared.domain import Error
from servicekit.errors import Precondition


def test_a_lost_output_is_requested_again_by_itself_while_it_may_live() -> None:
    life = Life()
    one = life.fetching()
    events = life.do(lost(one, round_=1))
    (ended,) = [event for event in events if isinstance(event, ge.GenerationFailed)]
    assert ended.requeue_at == NOW + timedelta(seconds=60)
    requeued, requested = life.do(requeued_by_itself)
    assert isinstance(requeued, ge.DownloadRequeued)
    assert isinstance(requested, ge.GenerationRequested)
    assert life.now.stage is Stage.FETCHING
    assert next_step(life.now, NOW).step is NextStep.FOLLOW
    assert life.do(lost(one, round_=1)) == (), "the round before does not count any more"
    life.do(lost(one, round_=2))
    assert life.now.requeue_at == NOW + timedelta(seconds=120)
    life.do(requeue_download)
    life.do(stored(one))
    assert life.now.stage is Stage.COMPLETED
    assert len(life.now.attempts) == 1, "a requeue fetches; it does not pay"


def test_it_is_requested_again_until_it_expires_however_long_the_outage() -> None:
    life = Life()
    one = life.fetching()
    ends, at, waits = NOW + timedelta(hours=1), NOW, []
    while True:
        life.do(lost(one, round_=life.now.round), at)
        if life.now.requeue_at is None:
            break
        waits.append((life.now.requeue_at - at).total_seconds())
        at = life.now.requeue_at
        life.do(requeued_by_itself, at)
        at += timedelta(seconds=5)  # until it is given up again
    assert waits[:5] == [60, 120, 240, 300, 300]
    assert max(waits) == 300, "whenever the outage ends, no more than five minutes are lost"
    assert timedelta(0) < ends - at <= timedelta(seconds=15), "the last try is shortly before the end"
    assert len(waits) < 40


@pytest.mark.parametrize("left", [14.0, 0.0, -5.0])
def test_what_has_expired_or_is_about_to_is_not_requested_again(left: float) -> None:
    life = Life()
    one = life.fetching()
    life.do(lost(one, expires_at=NOW + timedelta(seconds=left)))
    assert life.now.requeue_at is None


def test_outputs_that_the_provider_has_no_longer_are_lost_and_not_forgotten() -> None:
    life = Life()
    one = life.fetching(outputs=3)
    life.do(stored(one, 0))
    life.do(lost(one, 1))
    life.do(requeue_download)
    assert [each.state for each in life.now.outputs] == [OutputState.STORED, OutputState.PENDING]
    life.do(failed(one, Error("gone", "deleted", retryable=True)))
    assert life.now.requeue_at is None
    assert [(each.index, each.error) for each in life.now.lost] == [
        (1, GONE),
        (2, GONE),
    ]
    life.do(requeue_download)
    life.do(failed(one, GONE))
    assert len(life.now.lost) == 2, "nor after the next requeue"


def test_a_second_lost_output_is_lost_too() -> None:
    life = Life()
    one = life.fetching(outputs=2)
    life.do(lost(one, 1))
    before = life.now
    life.do(lost(one, 0))
    assert [each.index for each in life.now.lost] == [0, 1]
    assert (life.now.stage, life.now.error, life.now.requeue_at) == (
        before.stage,
        before.error,
        before.requeue_at,
    )


@pytest.mark.parametrize("stored_first", [True, False])
def test_stored_outputs_are_recorded_though_their_run_was_reported_gone_first(stored_first: bool) -> None:
    life = Life()
    one = life.submit()
    life.do(failed(one, GONE))
    assert life.now.stage is Stage.FAILED
    late = [succeeded(one), stored(one)]
    for event in reversed(late) if stored_first else late:
        life.do(event)
    assert (life.now.stage, life.now.error) == (Stage.COMPLETED, None)
    assert [each.media_id for each in life.now.stored] == ["med_1"]
    assert life.now.cost_micros == 80, "it is booked once"
    assert next_step(life.now, NOW).step is NextStep.NOTHING


def test_of_a_run_that_was_reported_gone_first_what_is_missing_is_requested() -> None:
    life = Life()
    one = life.submit()
    life.do(failed(one, GONE))
    life.do(succeeded(one))
    assert (life.now.stage, life.now.finished_at) == (Stage.FETCHING, None)
    assert next_step(life.now, NOW).step is NextStep.FOLLOW
    life.do(failed(one, GONE))
    assert life.now.stage is Stage.FAILED
    assert [each.error for each in life.now.lost] == [GONE]


@pytest.mark.parametrize("dead", [0, 1])
@pytest.mark.parametrize("dead_first", [True, False])
def test_an_output_that_may_come_is_requested_again_beside_one_that_never_does(
    dead: int, dead_first: bool
) -> None:
    life = Life()
    one = life.fetching(outputs=2)
    for number in range(3):  # each time that they are requested
        for index in (dead, 1 - dead) if dead_first else (1 - dead, dead):
            life.do(lost(one, index, retryable=index != dead))
        assert life.now.stage is Stage.FAILED
        assert life.now.requeue_at == NOW + timedelta(seconds=60 * 2**number)
        life.do(requeued_by_itself)
    life.do(stored(one, 1 - dead))
    life.do(lost(one, dead, retryable=False))
    assert (life.now.stage, life.now.requeue_at) == (Stage.FAILED, None)
    assert [each.state for each in life.now.outputs].count(OutputState.STORED) == 1
    assert len(life.now.attempts) == 1


def test_a_job_fails_for_an_output_that_never_comes_while_others_are_requested() -> None:
    life = Life()
    one = life.fetching(outputs=2)
    job = JobScenario().approved().now
    assert consequence(job, life.now, life.do(lost(one, 0))) == (), "it may come"
    life.do(requeued_by_itself)
    events = life.do(lost(one, 1, retryable=False))
    of_job = consequence(job, life.now, events)
    assert [type(event) for event in of_job] == [je.SceneFailed, je.JobFailed]
    life.do(lost(one, 0))
    assert life.now.requeue_at is not None


def test_a_refused_output_is_lost_for_good_but_an_operator_may_try() -> None:
    life = Life()
    one = life.fetching()
    life.do(lost(one, retryable=False))
    assert life.now.requeue_at is None
    assert life.now.output(0).state is OutputState.LOST  # type: ignore[union-attr]
    life.do(requeue_download)
    assert life.now.stage is Stage.FETCHING
    life.do(failed(one, GONE))
    assert life.now.stage is Stage.FAILED
    assert life.now.cost_micros == 80, "nothing is paid for it again"


def test_an_output_that_comes_after_all_is_found_by_the_requeue() -> None:
    life = Life()
    one = life.fetching()
    life.do(lost(one))
    life.do(stored(one))
    assert life.now.stage is Stage.FAILED
    life.do(requeue_download)
    assert life.now.stage is Stage.COMPLETED


def test_nothing_is_requeued_that_was_not_lost() -> None:
    life = Life()
    with pytest.raises(Precondition, match="has no lost output"):
        life.do(requeue_download)
