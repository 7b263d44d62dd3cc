"""The life of a generation under any sequence of commands and facts: doubled, late, and out of order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.core import generation_commands as gc
from catalog.core import generation_events as ge
from catalog.core.generation import AttemptState, Generation, OutputState, Stage
from catalog.core.generation_decide import MAX_REQUEUES, Step, decide, next_step
from catalog.core.generation_evolve import evolve, fold
from catalog.core.money import Account, campaign_account, day_account, postings
from catalog.core.values import Failure, FileFacts, Kind, Run
from servicekit.errors import AppError, Conflict, Precondition

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
RUN = Run("replicate", "rushes/instant", "", Kind.VIDEO, {"prompt": "x"}, estimate_micros=100)
CAP = 350
FACTS = FileFacts(Kind.VIDEO, "video/mp4", 7)
PASSING, FINAL = Failure("E6716", "passing", retryable=True), Failure("E005", "refused")


class Life:
    """A generation and the accounts it pays from, changed only by `decide` and `evolve`."""

    def __init__(self, cap: int | None = CAP) -> None:
        self.at = NOW
        self.cap = cap
        self.accounts: dict[str, Account] = defaultdict(Account)
        self.state: Generation | None = None
        self.do(gc.CreateGeneration(NOW, "gen_1", RUN, "cmp_1", "job_1", "scn_1"))

    @property
    def now(self) -> Generation:
        assert self.state is not None
        return self.state

    def do(self, command: gc.GenerationCommand) -> Sequence[ge.GenerationEvent]:
        events = decide(self.state, command)
        for event in events:
            for posting in postings(self.state, event):
                self.accounts[posting.account] = self.accounts[posting.account].post(posting)
            self.state = evolve(self.state, event)
        return events

    def begin(self, number: int = 0, held: str = "") -> Sequence[ge.GenerationEvent]:
        paid_by = [
            replace(self.accounts[name], cap=self.cap)
            for name in (campaign_account("cmp_1"), day_account(NOW))
        ]
        attempt_id = f"att_{number or len(self.now.attempts) + 1}"
        if any(each.id == attempt_id for each in self.now.attempts):
            return ()
        return self.do(gc.BeginAttempt(self.at, attempt_id, tuple(paid_by), held))

    def submit(self) -> str:
        (event,) = [event for event in self.begin() if isinstance(event, ge.AttemptIntended)]
        self.do(gc.RecordSubmitted(self.at, event.attempt_id, prediction(event.attempt_id)))
        return event.attempt_id

    def fetching(self, outputs: int = 1) -> str:
        attempt_id = self.submit()
        self.do(succeeded(attempt_id, outputs=outputs))
        assert self.now.stage is Stage.FETCHING
        return attempt_id


def prediction(attempt_id: str) -> str:
    return f"p-{attempt_id}"


def succeeded(attempt_id: str, *, outputs: int = 1, cost: int = 80) -> gc.RecordSucceeded:
    ends = NOW + timedelta(hours=1)
    return gc.RecordSucceeded(NOW, attempt_id, prediction(attempt_id), outputs, cost, ends)


def failed(attempt_id: str, failure: Failure = PASSING, cost: int = 80) -> gc.RecordFailed:
    return gc.RecordFailed(NOW, attempt_id, prediction(attempt_id), failure, cost)


def stored(attempt_id: str, index: int = 0, media: str = "med_1") -> gc.RecordStored:
    return gc.RecordStored(NOW, attempt_id, index, media, f"media/gen_1/{index}.mp4", FACTS)


def lost(attempt_id: str, index: int = 0, *, retryable: bool = True, round_: int = 9) -> gc.RecordLost:
    failure = Failure("truncated", "too short", retryable)
    return gc.RecordLost(NOW, attempt_id, index, failure, round_, NOW + timedelta(hours=1))


attempts = st.sampled_from(["att_1", "att_2", "att_3"])
costs = st.integers(0, RUN.estimate_micros)
failures = st.sampled_from([PASSING, FINAL, Failure("gone", "gone")])
facts = st.one_of(
    st.builds(lambda a: gc.RecordStarted(NOW, a, prediction(a)), attempts),
    st.builds(lambda a: gc.RecordSubmitted(NOW, a, prediction(a)), attempts),
    st.builds(lambda a, n, c: succeeded(a, outputs=n, cost=c), attempts, st.integers(1, 2), costs),
    st.builds(failed, attempts, failures, costs),
    st.builds(lambda a, c, d: gc.RecordCanceled(NOW, a, prediction(a), c, d), attempts, costs, st.booleans()),
    st.builds(stored, attempts, st.integers(0, 1)),
    st.builds(lambda a, i, r: lost(a, i, retryable=r), attempts, st.integers(0, 1), st.booleans()),
)
commands = st.one_of(
    st.builds(gc.CancelGeneration, st.just(NOW)),
    st.builds(gc.RequestAgain, st.just(NOW), st.booleans()),
    st.builds(
        lambda a, f: gc.ReleaseAttempt(NOW, a, PASSING, fail=f, retry_after=0.0), attempts, st.booleans()
    ),
)
begins = st.sampled_from(["begin", "begin", "held"])
requeues = st.just(gc.RequeueDownload(NOW, automatic=True))


def apply(life: Life, step: object) -> Sequence[ge.GenerationEvent]:
    if step in ("begin", "held"):
        life.at += timedelta(seconds=30)
        return life.begin(held="paused" if step == "held" else "")
    try:
        return life.do(step)  # type: ignore[arg-type]
    except AppError:  # an attempt that is none of its, or one that has another prediction: nothing changes
        return ()


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(begins, begins, facts, facts, facts, commands), max_size=30))
def test_what_is_final_stays_and_money_adds_up(steps: list[object]) -> None:
    life = Life()
    for step in steps:
        before = life.now
        events = apply(life, step)
        after = life.now
        if before.final:
            assert (after.stage, after.failure, after.finished_at) == (
                before.stage,
                before.failure,
                before.finished_at,
            )
        if before.stage in (Stage.COMPLETED, Stage.CANCELED):
            assert after.outputs == before.outputs
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
        assert (after.stage is Stage.COMPLETED) <= (len(after.stored) >= after.output_count > 0)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(begins, facts, commands, requeues), max_size=25), facts)
def test_a_fact_said_twice_is_said_once(steps: list[object], fact: gc.GenerationCommand) -> None:
    life = Life()
    for step in steps:
        apply(life, step)
    apply(life, fact)
    once = life.now
    assert apply(life, fact) == () or isinstance(fact, gc.RecordLost), "nothing happens the second time"
    assert life.now == once


def ended(how: str) -> Life:
    life = Life()
    if how == "canceled":
        one = life.submit()
        life.do(gc.CancelGeneration(NOW))
        life.do(gc.RecordCanceled(NOW, one, prediction(one), 10))
    elif how == "refused":
        life.do(failed(life.submit(), FINAL))
    else:
        one = life.fetching()
        life.do(stored(one) if how == "completed" else lost(one, retryable=False))
    assert life.now.final
    return life


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["canceled", "refused", "completed", "lost"]),
    facts.filter(lambda f: f.attempt_id == "att_1"),
)
def test_no_fact_changes_an_end(how: str, fact: gc.GenerationCommand) -> None:
    life = ended(how)
    before = life.now
    events = apply(life, fact)
    late = how == "lost" and isinstance(fact, gc.RecordStored)
    assert late or events == (), "only what was lost may come after all, and is kept for the requeue"
    assert life.now.stage is before.stage


@settings(max_examples=100, deadline=None)
@given(st.permutations([0, 1, 2, 3, 4, 5]))
def test_the_facts_of_a_success_in_any_order_complete_it(order: list[int]) -> None:
    life = Life()
    (intended,) = life.begin()
    assert isinstance(intended, ge.AttemptIntended)
    one = intended.attempt_id
    said = [
        gc.RecordSubmitted(NOW, one, prediction(one)),
        gc.RecordStarted(NOW, one, prediction(one)),
        succeeded(one, outputs=2),
        succeeded(one, outputs=2),
        stored(one, 0, "med_1"),
        stored(one, 1, "med_2"),
    ]
    for number in order:
        life.do(said[number])
    assert life.now.stage is Stage.COMPLETED
    assert [output.media_id for output in life.now.stored] == ["med_1", "med_2"]
    assert life.accounts[campaign_account("cmp_1")] == Account(spent=80, reserved=0)


def test_the_tables_are_the_fold_of_the_events() -> None:
    life = Life()
    told = list(decide(None, gc.CreateGeneration(NOW, "gen_1", RUN, "cmp_1", "job_1", "scn_1")))
    told += life.begin()
    for step in (gc.RecordSubmitted(NOW, "att_1", "p-att_1"), succeeded("att_1"), stored("att_1")):
        told += life.do(step)
    assert fold(None, told) == life.now


def test_a_second_begin_finds_the_intent_and_reconciles() -> None:
    life = Life()
    life.begin()
    assert [type(e) for e in life.begin(number=7)] == [ge.AttemptDoubted]
    assert next_step(life.now, NOW).step is Step.RECONCILE
    assert life.now.attempts[0].state is AttemptState.UNKNOWN
    assert life.begin(number=8) == ()


def test_submitted_is_followed_and_never_submitted_again() -> None:
    life = Life()
    life.submit()
    assert next_step(life.now, NOW).step is Step.FOLLOW
    assert life.begin(number=7) == ()


def test_over_the_cap_it_fails_for_that_reason() -> None:
    life = Life(cap=99)
    (ended,) = life.begin()
    assert isinstance(ended, ge.GenerationFailed)
    assert ended.failure.code == "budget"
    assert next_step(life.now, NOW).reason == "final"


def test_a_failed_paid_attempt_counts_and_the_next_waits_its_time() -> None:
    life = Life()
    one = life.submit()
    events = life.do(replace(failed(one), retry_after=30.0))
    (asked,) = [event for event in events if isinstance(event, ge.GenerationRequested)]
    assert (asked.round, asked.delay) == (2, 30.0)
    assert next_step(life.now, NOW).reason == "waiting"
    assert next_step(life.now, NOW + timedelta(seconds=31)).step is Step.SUBMIT
    assert life.accounts[campaign_account("cmp_1")] == Account(spent=80, reserved=0)


def test_three_attempts_and_no_more() -> None:
    life = Life(cap=None)
    for number in range(3):
        life.at = NOW + timedelta(minutes=number)
        life.do(failed(life.submit()))
    assert life.now.stage is Stage.FAILED
    assert life.now.failure == PASSING
    assert life.now.cost_micros == 240


def test_what_was_released_costs_nothing_and_does_not_count() -> None:
    life = Life()
    for _ in range(5):
        life.begin()
        life.do(gc.ReleaseAttempt(NOW, life.now.attempts[-1].id, PASSING))
    assert life.now.stage is Stage.REQUESTED
    assert life.now.submissions == 0
    assert life.accounts[campaign_account("cmp_1")] == Account()


def test_a_release_with_a_wait_is_asked_for_again_and_without_one_is_left_to_the_caller() -> None:
    life = Life()
    life.begin()
    waited = life.do(gc.ReleaseAttempt(NOW, "att_1", PASSING, retry_after=5.0))
    assert [e.delay for e in waited if isinstance(e, ge.GenerationRequested)] == [5.0]
    life.at = NOW + timedelta(seconds=6)
    life.begin()
    at_once = life.do(gc.ReleaseAttempt(NOW, "att_2", PASSING))
    assert not [e for e in at_once if isinstance(e, ge.GenerationRequested)]


def test_what_the_provider_has_cannot_be_released() -> None:
    life = Life()
    with pytest.raises(Conflict):
        life.do(gc.ReleaseAttempt(NOW, life.submit(), PASSING))


def test_the_provider_had_taken_what_was_released() -> None:
    life = Life()
    life.begin()
    life.do(gc.ReleaseAttempt(NOW, "att_1", PASSING))
    events = life.do(gc.RecordSubmitted(NOW, "att_1", "p-att_1"))
    assert [type(event) for event in events] == [ge.AttemptAdopted]
    assert life.accounts[campaign_account("cmp_1")] == Account(reserved=100)
    assert next_step(life.now, NOW).step is Step.FOLLOW


def test_cancel_before_anything_was_submitted_is_at_once() -> None:
    life = Life()
    life.do(gc.CancelGeneration(NOW))
    assert life.now.stage is Stage.CANCELED


def test_cancel_of_what_runs_waits_for_the_fact_that_decides() -> None:
    life = Life()
    one = life.submit()
    (asked,) = life.do(gc.CancelGeneration(NOW))
    assert isinstance(asked, ge.CancelRequested)
    assert life.do(gc.CancelGeneration(NOW)) == ()
    too_late = replace_life(life)
    too_late.do(succeeded(one))
    too_late.do(stored(one))
    assert too_late.now.stage is Stage.COMPLETED, "what succeeded is kept"
    life.do(gc.RecordCanceled(NOW, one, prediction(one), 30))
    assert life.now.stage is Stage.CANCELED
    assert life.now.cost_micros == 30


def replace_life(life: Life) -> Life:
    copy = Life()
    copy.state, copy.accounts = life.state, defaultdict(Account, life.accounts)
    return copy


def test_a_lost_output_is_asked_for_again_by_itself_while_it_may_live() -> None:
    life = Life()
    one = life.fetching()
    events = life.do(lost(one, round_=1))
    (ended,) = [event for event in events if isinstance(event, ge.GenerationFailed)]
    assert ended.requeue_at == NOW + timedelta(seconds=60)
    requeued, asked = life.do(gc.RequeueDownload(NOW, automatic=True))
    assert isinstance(requeued, ge.DownloadRequeued)
    assert isinstance(asked, ge.GenerationRequested)
    assert life.now.stage is Stage.FETCHING
    assert next_step(life.now, NOW).step is Step.FOLLOW
    assert life.do(lost(one, round_=1)) == (), "the round before does not count any more"
    life.do(lost(one, round_=2))
    assert life.now.requeue_at == NOW + timedelta(seconds=120)
    life.do(gc.RequeueDownload(NOW))
    life.do(stored(one))
    assert life.now.stage is Stage.COMPLETED
    assert len(life.now.attempts) == 1, "a requeue fetches; it does not pay"


def test_requeues_by_itself_end() -> None:
    life = Life()
    one = life.fetching()
    for round_ in range(1, MAX_REQUEUES + 2):
        life.do(lost(one, round_=life.now.round))
        if life.now.requeue_at is None:
            assert round_ == MAX_REQUEUES + 1
            return
        life.do(gc.RequeueDownload(NOW, automatic=True))
    raise AssertionError("for ever")


def test_a_refused_output_is_lost_for_good_but_an_operator_may_try() -> None:
    life = Life()
    one = life.fetching()
    life.do(lost(one, retryable=False))
    assert life.now.requeue_at is None
    assert life.now.output(0).state is OutputState.LOST  # type: ignore[union-attr]
    life.do(gc.RequeueDownload(NOW))
    assert life.now.stage is Stage.FETCHING
    life.do(failed(one, Failure("gone", "deleted")))
    assert life.now.stage is Stage.FAILED
    assert life.now.cost_micros == 80, "nothing is paid for it again"


def test_an_output_that_comes_after_all_is_kept_for_the_requeue() -> None:
    life = Life()
    one = life.fetching()
    life.do(lost(one))
    life.do(stored(one))
    assert life.now.stage is Stage.FAILED
    life.do(gc.RequeueDownload(NOW))
    assert life.now.stage is Stage.COMPLETED


def test_nothing_is_requeued_that_was_not_lost() -> None:
    life = Life()
    with pytest.raises(Precondition, match="has no lost output"):
        life.do(gc.RequeueDownload(NOW))


def test_a_held_job_submits_nothing_but_follows_what_runs() -> None:
    life = Life()
    assert life.begin(held="paused") == ()
    assert next_step(life.now, NOW, "paused").reason == "paused"
    life.submit()
    assert next_step(life.now, NOW, "paused").step is Step.FOLLOW
