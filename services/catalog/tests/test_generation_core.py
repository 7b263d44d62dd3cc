"""The life of a generation under any sequence of requests and events: doubled, late, and out of order."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from functools import partial

import pytest
from generation_life import (
    CAP,
    NOW,
    PASSING,
    Life,
    any_step,
    apply,
    begins,
    canceled,
    ended,
    failed,
    received,
    released,
    requests,
    requeues,
    started,
    stored,
    submitted,
    succeeded,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.core.budget.domain import Account, campaign_account
from catalog.core.generations.domain import events as ge
from catalog.core.generations.domain.attempts import NextStep, begin_attempt, next_step
from catalog.core.generations.domain.events import Events
from catalog.core.generations.domain.evolve import fold
from catalog.core.generations.domain.model import AttemptState, Stage
from catalog.core.generations.domain.outputs import record_stored
from catalog.core.generations.domain.recovery import record_lost
from catalog.core.generations.domain.requesting import Decision, cancel_generation
from catalog.core.shared.domain import Error
from servicekit.errors import Conflict


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(begins, begins, received, received, received, requests), max_size=30))
def test_what_is_final_stays_and_money_adds_up(steps: list[Decision | str]) -> None:
    life = Life()
    for step in steps:
        before = life.now
        events = apply(life, step)
        after = life.now
        was_gone = any(each.error is not None and each.error.code == "gone" for each in before.attempts)
        late = was_gone and any(isinstance(event, ge.OutputsAnnounced) for event in events)
        if before.final and not late:  # an older event, received after `gone`: docs/architecture.md, Lives
            assert (after.stage, after.error, after.finished_at) == (
                before.stage,
                before.error,
                before.finished_at,
            )
        if before.stage is Stage.CANCELED or (before.stage is Stage.COMPLETED and not before.lost):
            assert after.outputs == before.outputs
        assert not after.final or after.requeue_at is None, "an end that is not the end"
        adopted = any(isinstance(e, ge.AttemptAdopted) for e in events)
        for account in life.accounts.values():
            assert account.reserved >= 0
            assert account.spent == after.cost_micros
            assert account.reserved == sum(each.reserved_micros for each in after.open_attempts)
        for event in events:
            if isinstance(event, ge.AttemptIntended):
                assert not before.open_attempts, "a second submission beside an open one"
                spent = life.accounts[campaign_account("cmp_1")]
                assert spent.spent + spent.reserved <= CAP
        assert len(after.open_attempts) <= 1 or adopted or len(before.open_attempts) > 1
        assert after.submissions <= 3 or adopted or before.submissions > 3
        media = [output.media_id for output in after.stored]
        assert len(media) == len(set(media)) or len(media) == 2  # the same made-up id for both outputs
        if after.stage is Stage.COMPLETED:
            assert after.main is not None
            assert len(after.stored) + len(after.lost) >= after.output_count > 0
            assert not [output for output in after.outputs if output.undecided]


@settings(max_examples=200, deadline=None)
@given(st.lists(any_step, max_size=40))
def test_nothing_has_ended_that_will_be_requested_again_by_itself(steps: list[Decision | str]) -> None:
    life = Life()
    for step in steps:
        apply(life, step)
        now = life.now
        assert not now.final or now.requeue_at is None
        if now.stage in (Stage.COMPLETED, Stage.FAILED) and now.winner:
            assert not [output for output in now.outputs if output.undecided]
        if now.stage is Stage.FETCHING:
            assert next_step(now, life.at).step is NextStep.FOLLOW


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(begins, received, requests, requeues), max_size=25), received)
def test_an_event_received_twice_changes_nothing_the_second_time(
    steps: list[Decision | str], event: partial[Events]
) -> None:
    life = Life()
    for step in steps:
        apply(life, step)
    apply(life, event)
    once = life.now
    assert apply(life, event) == () or event.func is record_lost
    assert life.now == once


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["canceled", "refused", "completed", "lost"]),
    received.filter(lambda event: event.keywords["attempt_id"] == "att_1"),
)
def test_no_event_changes_an_end(how: str, event: partial[Events]) -> None:
    life = ended(how)
    before = life.now
    events = apply(life, event)
    late = how == "lost" and event.func is record_stored
    assert late or events == (), "only what was lost may come after all, and is kept for the requeue"
    assert life.now.stage is before.stage


@settings(max_examples=100, deadline=None)
@given(st.permutations([0, 1, 2, 3, 4, 5]))
def test_the_events_of_a_success_in_any_order_complete_it(order: list[int]) -> None:
    life = Life()
    (intended,) = life.begin()
    assert isinstance(intended, ge.AttemptIntended)
    one = intended.attempt_id
    events = [
        submitted(one),
        started(one),
        succeeded(one, outputs=2),
        succeeded(one, outputs=2),
        stored(one, 0, "med_1"),
        stored(one, 1, "med_2"),
    ]
    for number in order:
        life.do(events[number])
    assert life.now.stage is Stage.COMPLETED
    assert [output.media_id for output in life.now.stored] == ["med_1", "med_2"]
    assert life.accounts[campaign_account("cmp_1")] == Account(spent=80, reserved=0)


def test_the_tables_are_the_fold_of_the_events() -> None:
    life = Life()
    life.begin()
    for event in (submitted("att_1"), succeeded("att_1"), stored("att_1")):
        life.do(event)
    assert fold(None, life.history) == life.now


def test_a_second_begin_finds_the_intent_and_reconciles() -> None:
    life = Life()
    life.begin()
    assert [type(e) for e in life.begin(number=7)] == [ge.AttemptReconciliationStarted]
    assert next_step(life.now, NOW).step is NextStep.RECONCILE
    assert life.now.attempts[0].state is AttemptState.UNKNOWN
    assert life.begin(number=8) == ()


def test_submitted_is_followed_and_never_submitted_again() -> None:
    life = Life()
    life.submit()
    assert next_step(life.now, NOW).step is NextStep.FOLLOW
    assert life.begin(number=7) == ()


def test_over_the_cap_it_fails_for_that_reason() -> None:
    life = Life(cap=99)
    (ended,) = life.begin()
    assert isinstance(ended, ge.GenerationFailed)
    assert ended.error.code == "budget"
    assert next_step(life.now, NOW).reason == "final"


def test_a_failed_paid_attempt_counts_and_the_next_waits_its_time() -> None:
    life = Life()
    one = life.submit()
    events = life.do(failed(one, retry_after=30.0))
    (again,) = [event for event in events if isinstance(event, ge.GenerationRequested)]
    assert (again.round, again.delay) == (2, 30.0)
    assert next_step(life.now, NOW).reason == "waiting"
    assert next_step(life.now, NOW + timedelta(seconds=31)).step is NextStep.SUBMIT
    assert life.accounts[campaign_account("cmp_1")] == Account(spent=80, reserved=0)


def test_three_attempts_and_no_more() -> None:
    life = Life(cap=None)
    for number in range(3):
        life.at = NOW + timedelta(minutes=number)
        life.do(failed(life.submit()))
    assert life.now.stage is Stage.FAILED
    assert life.now.error == PASSING
    assert life.now.cost_micros == 240


def test_no_attempt_is_begun_beyond_the_limit() -> None:
    life = Life()
    now = life.now
    (ended,), answer = begin_attempt(
        now, NOW, next_step(now, NOW), attempt_id="att_1", accounts=(), max_attempts=0
    )
    assert isinstance(ended, ge.GenerationFailed)
    assert (answer.step, answer.reason) == (NextStep.NOTHING, "attempts")


def test_what_was_released_costs_nothing_and_does_not_count() -> None:
    life = Life()
    for _ in range(5):
        life.begin()
        life.do(released(life.now.attempts[-1].id))
    assert life.now.stage is Stage.REQUESTED
    assert life.now.submissions == 0
    assert life.accounts[campaign_account("cmp_1")] == Account()


def test_a_release_with_a_wait_is_requested_again_and_without_one_is_left_to_the_caller() -> None:
    life = Life()
    life.begin()
    waited = life.do(released("att_1", retry_after=5.0))
    assert [e.delay for e in waited if isinstance(e, ge.GenerationRequested)] == [5.0]
    life.at = NOW + timedelta(seconds=6)
    life.begin()
    at_once = life.do(released("att_2"))
    assert not [e for e in at_once if isinstance(e, ge.GenerationRequested)]


def test_what_the_provider_has_cannot_be_released() -> None:
    life = Life()
    with pytest.raises(Conflict):
        life.do(released(life.submit()))


def test_the_provider_had_taken_what_was_released() -> None:
    life = Life()
    life.begin()
    life.do(released("att_1"))
    events = life.do(submitted("att_1"))
    assert [type(event) for event in events] == [ge.AttemptAdopted]
    assert life.accounts[campaign_account("cmp_1")] == Account(reserved=100)
    assert next_step(life.now, NOW).step is NextStep.FOLLOW


def test_cancel_before_anything_was_submitted_is_at_once() -> None:
    life = Life()
    life.do(cancel_generation)
    assert life.now.stage is Stage.CANCELED


def test_cancel_of_what_runs_waits_for_the_event_that_decides() -> None:
    life = Life()
    one = life.submit()
    (requested,) = life.do(cancel_generation)
    assert isinstance(requested, ge.CancelRequested)
    assert life.do(cancel_generation) == ()
    too_late = replace_life(life)
    too_late.do(succeeded(one))
    too_late.do(stored(one))
    assert too_late.now.stage is Stage.COMPLETED, "what succeeded is kept"
    life.do(canceled(one, 30))
    assert life.now.stage is Stage.CANCELED
    assert life.now.cost_micros == 30


def test_the_end_of_its_time_is_an_error_unless_somebody_wanted_it_stopped() -> None:
    life, stopped = Life(), Life()
    one = life.submit()
    life.do(canceled(one, 30, by_deadline=True))
    assert life.now.error is not None
    assert (life.now.stage, life.now.error.code, life.now.cost_micros) == (Stage.FAILED, "deadline", 30)
    assert life.now.attempts[0].state is AttemptState.FAILED
    stopped.submit()
    stopped.do(cancel_generation)
    stopped.do(canceled(one, 30, by_deadline=True))
    assert (stopped.now.stage, stopped.now.error) == (Stage.CANCELED, None)


@pytest.mark.parametrize(("most", "runs"), [(0, 1), (1, 2), (2, 3), (9, 3), (None, 3)])
def test_a_code_may_allow_fewer_retries_than_there_are_attempts(most: int | None, runs: int) -> None:
    life = Life()
    while not life.now.final:
        life.at += timedelta(hours=1)
        one = life.submit()
        life.do(failed(one, cost=1, most_retries=most))
    assert life.now.submissions == runs


def test_only_errors_with_the_same_code_count_against_its_retries() -> None:
    life = Life()
    life.do(failed(life.submit(), cost=1))
    for _ in range(2):
        assert not life.now.final
        life.at += timedelta(hours=1)
        upload = Error("E9825", "upload failed", retryable=True)
        life.do(failed(life.submit(), upload, cost=1, most_retries=1, max_attempts=9))
    assert (life.now.stage, life.now.submissions) == (Stage.FAILED, 3)


def replace_life(life: Life) -> Life:
    copy = Life()
    copy.state, copy.accounts = life.state, defaultdict(Account, life.accounts)
    return copy


def test_a_paused_job_submits_nothing_but_follows_what_runs() -> None:
    life = Life()
    assert life.begin(blocked_by="paused") == ()
    assert next_step(life.now, NOW, "paused").reason == "paused"
    life.submit()
    assert next_step(life.now, NOW, "paused").step is NextStep.FOLLOW
