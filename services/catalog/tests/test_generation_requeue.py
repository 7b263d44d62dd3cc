"""Lost outputs: requested again by themselves while they may come, by an operator at any time."""

from __future__ import annotations

from datetime import timedelta

import pytest
from generation_life import (
    EXPIRES,
    FACTS,
    GONE,
    NOW,
    Life,
    ended,
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
from catalog.core.generations.domain.model import OutputState, Stage, Status
from catalog.core.generations.domain.recovery import requeue_download, stalled_at
from catalog.core.generations.domain.requesting import cancel_generation
from catalog.core.jobs.domain import events as je
from catalog.core.shared.domain import Facts, MediaKind
from servicekit.errors import Precondition

PICTURE = Facts(MediaKind.IMAGE, "image/png", 5)


def test_a_lost_output_is_requested_again_by_itself_and_is_not_reported_as_failed() -> None:
    life = Life()
    one = life.fetching()
    events = life.do(lost(one, round_=1))
    assert [type(event) for event in events] == [ge.OutputLost]
    assert (life.now.status, life.now.error, life.now.finished_at) == (Status.PROCESSING, None, None)
    assert life.now.message == "output 0 is fetched again soon: too short"
    assert life.now.requeue_at == NOW + timedelta(seconds=60)
    requeued, requested = life.do(requeued_by_itself)
    assert isinstance(requeued, ge.DownloadRequeued)
    assert isinstance(requested, ge.GenerationRequested)
    assert (life.now.stage, life.now.requeue_at) == (Stage.FETCHING, None)
    assert next_step(life.now, NOW).step is NextStep.FOLLOW
    assert life.do(lost(one, round_=1)) == (), "the round before does not count any more"
    life.do(lost(one, round_=2))
    assert life.now.requeue_at == NOW + timedelta(seconds=120)
    life.do(requeue_download)
    life.do(stored(one))
    assert (life.now.stage, life.now.message) == (Stage.COMPLETED, "stored")
    assert len(life.now.attempts) == 1, "a requeue fetches; it does not pay"


def test_it_is_requested_again_until_it_expires_however_long_the_outage() -> None:
    life = Life()
    one = life.fetching()
    at, waits = NOW, []
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
    assert timedelta(0) < EXPIRES - at <= timedelta(seconds=15), "the last try is shortly before the end"
    assert len(waits) < 40
    assert life.now.error is not None
    assert (life.now.stage, life.now.error.code) == (Stage.FAILED, "truncated")


def test_what_waits_for_its_next_request_has_not_stalled() -> None:
    life = Life()
    one = life.fetching()
    for _ in range(4):
        life.do(lost(one, round_=life.now.round))
        minute = timedelta(minutes=1)
        assert life.now.requeue_at is not None
        assert stalled_at(life.now.last_event_at, life.now.stalled_rounds, minute) > life.now.requeue_at
        life.do(requeued_by_itself)


def test_what_is_paid_for_is_not_canceled_while_it_may_come() -> None:
    life = Life()
    life.do(lost(life.fetching()))
    assert life.do(cancel_generation) == ()


@pytest.mark.parametrize("left", [14.0, 0.0, -5.0])
def test_what_has_expired_or_is_about_to_is_not_requested_again(left: float) -> None:
    life = Life()
    one = life.fetching()
    life.do(lost(one, expires_at=NOW + timedelta(seconds=left)))
    assert (life.now.stage, life.now.requeue_at) == (Stage.FAILED, None)


def test_a_lost_output_that_is_reported_before_its_success_waits_for_that() -> None:
    life = Life()
    one = life.submit()
    life.do(lost(one))
    assert life.do(requeued_by_itself) == ()
    life.do(succeeded(one))
    assert (life.now.stage, life.now.requeue_at) == (Stage.FETCHING, NOW + timedelta(seconds=60))


# Several outputs ---------------------------------------------------------------------------------


def test_a_file_that_never_comes_costs_nothing_of_the_rest() -> None:
    life = Life()
    one = life.fetching(outputs=3)
    life.do(stored(one, 0, "med_1"))
    life.do(lost(one, 1, retryable=False))
    assert life.now.stage is Stage.FETCHING, "one is still under way"
    life.do(stored(one, 2, "med_3", PICTURE))
    assert (life.now.stage, life.now.error) == (Stage.COMPLETED, None)
    assert [each.media_id for each in life.now.stored] == ["med_1", "med_3"]
    assert life.now.message == "2 of 3 outputs are stored; output 1 is lost: too short"


def test_without_the_file_that_it_was_run_for_it_has_failed_and_shows_the_rest() -> None:
    life = Life()
    one = life.fetching(outputs=2)
    life.do(stored(one, 1, "med_2", PICTURE))
    life.do(lost(one, 0, retryable=False))
    assert life.now.error is not None
    assert (life.now.stage, life.now.error.code) == (Stage.FAILED, "truncated")
    assert life.now.error.message == "output 0 is lost: too short"
    assert [each.media_id for each in life.now.stored] == ["med_2"]


def test_the_rest_is_waited_for_three_minutes_when_the_file_that_it_was_run_for_is_stored() -> None:
    life = Life()
    one = life.fetching(outputs=2)
    life.do(lost(one, 1))
    life.do(stored(one, 0))
    waits = []
    while not life.now.final:
        assert life.now.requeue_at is not None
        waits.append((life.now.requeue_at - life.at).total_seconds())
        life.at = life.now.requeue_at
        (requeued, _) = life.do(requeued_by_itself)
        assert isinstance(requeued, ge.DownloadRequeued)
        assert requeued.indexes == (1,)
        life.do(lost(one, 1, round_=life.now.round))
    assert waits == [60, 120]
    assert (life.now.stage, life.now.error) == (Stage.COMPLETED, None)
    assert [each.index for each in life.now.lost] == [1]


def test_an_operator_requeues_what_a_completed_one_has_lost() -> None:
    life = Life()
    one = life.fetching(outputs=2)
    life.do(stored(one, 0))
    life.do(lost(one, 1, retryable=False))
    assert life.now.stage is Stage.COMPLETED
    assert life.do(requeued_by_itself) == ()
    life.do(requeue_download)
    assert life.now.stage is Stage.FETCHING
    life.do(stored(one, 1, "med_2"))
    assert (life.now.stage, life.now.message) == (Stage.COMPLETED, "stored")


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
        assert life.now.stage is Stage.FETCHING
        assert life.now.requeue_at == NOW + timedelta(seconds=60 * 2**number)
        life.do(requeued_by_itself)
    life.do(stored(one, 1 - dead))
    assert (life.now.stage, life.now.requeue_at) == (Stage.COMPLETED, None)
    assert [each.index for each in life.now.lost] == [dead]
    assert len(life.now.attempts) == 1


def test_a_job_gets_its_clip_though_a_file_beside_it_is_waited_for() -> None:
    life = Life()
    one = life.fetching(outputs=2)
    job = JobScenario().approved().now
    events = life.do(lost(one, 1))
    assert consequence(job, life.now, events) == (), "it may come"
    events = life.do(stored(one, 0))
    (clip,) = consequence(job, life.now, events)
    assert isinstance(clip, je.ClipStored)
    assert (life.now.stage, clip.media_id) == (Stage.FETCHING, "med_1")


def test_a_job_fails_when_its_clip_is_lost_for_good() -> None:
    life = Life()
    one = life.fetching(outputs=2)
    job = JobScenario().approved().now
    for event in (stored(one, 1, "med_2", PICTURE), lost(one, 0), requeued_by_itself):
        events = life.do(event)
        assert consequence(job, life.now, events) == (), "it may come"
    events = life.do(lost(one, 0, retryable=False))
    assert [type(event) for event in consequence(job, life.now, events)] == [je.SceneFailed, je.JobFailed]


def test_the_file_that_it_was_run_for_is_known_when_all_before_it_are_decided() -> None:
    life = Life()
    one = life.fetching(outputs=3)
    life.do(stored(one, 1, "med_2"))
    assert life.now.main is None, "output 0 may be another of that kind"
    life.do(stored(one, 0, "med_1", PICTURE))
    assert life.now.main is not None
    assert (life.now.stage, life.now.main.media_id) == (Stage.FETCHING, "med_2")


def test_of_files_of_all_other_kinds_the_first_is_what_it_was_run_for() -> None:
    life = Life()
    one = life.fetching(outputs=2)
    life.do(stored(one, 0, "med_1", PICTURE))
    assert life.now.main is None
    life.do(stored(one, 1, "med_2", PICTURE))
    assert life.now.main is not None
    assert (life.now.stage, life.now.main.media_id) == (Stage.COMPLETED, "med_1")


# Gone at the provider ----------------------------------------------------------------------------


def test_outputs_that_the_provider_has_no_longer_are_lost_and_not_forgotten() -> None:
    life = Life()
    one = life.fetching(outputs=3)
    life.do(lost(one, 1))
    life.do(requeue_download)
    life.do(stored(one, 0, "med_1", PICTURE))
    assert [each.state for each in life.now.outputs] == [OutputState.STORED, OutputState.PENDING]
    life.do(failed(one, GONE))
    assert (life.now.stage, life.now.requeue_at) == (Stage.FAILED, None)
    assert [(each.index, each.error) for each in life.now.lost] == [(1, GONE), (2, GONE)]
    life.do(requeue_download)
    life.do(failed(one, GONE))
    assert len(life.now.lost) == 2, "nor after the next requeue"


def test_what_waits_for_its_next_request_is_lost_when_the_provider_has_it_no_longer() -> None:
    life = Life()
    one = life.fetching()
    life.do(lost(one))
    life.do(failed(one, GONE))
    assert (life.now.stage, life.now.error, life.now.requeue_at) == (Stage.FAILED, GONE, None)


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


# An operator -------------------------------------------------------------------------------------


def test_a_refused_output_is_lost_for_good_but_an_operator_may_try() -> None:
    life = Life()
    one = life.fetching()
    life.do(lost(one, retryable=False))
    assert (life.now.stage, life.now.requeue_at) == (Stage.FAILED, None)
    assert life.now.output(0).state is OutputState.LOST  # type: ignore[union-attr]
    life.do(requeue_download)
    assert life.now.stage is Stage.FETCHING
    life.do(failed(one, GONE))
    assert life.now.stage is Stage.FAILED
    assert life.now.cost_micros == 80, "nothing is paid for it again"


def test_an_output_that_comes_after_all_is_found_by_the_requeue() -> None:
    life = Life()
    one = life.fetching()
    life.do(lost(one, retryable=False))
    life.do(stored(one))
    assert life.now.stage is Stage.FAILED
    life.do(requeue_download)
    assert life.now.stage is Stage.COMPLETED


def test_an_output_that_comes_after_all_is_shown_by_a_completed_one() -> None:
    life = Life()
    one = life.fetching(outputs=2)
    life.do(stored(one, 0, "med_1"))
    life.do(lost(one, 1, retryable=False))
    life.do(stored(one, 1, "med_2"))
    assert (life.now.stage, life.now.message, len(life.now.stored)) == (Stage.COMPLETED, "stored", 2)


def test_what_the_store_has_lost_is_fetched_again_while_the_provider_keeps_it() -> None:
    life = ended("completed")
    before = life.now
    _, requested = life.do(requeue_download)
    assert isinstance(requested, ge.GenerationRequested)
    assert next_step(life.now, NOW).step is NextStep.FOLLOW
    life.do(succeeded(life.now.winner))  # announced again, in the next round: the downloader sees to the rest
    assert (life.now.stage, life.now.outputs) == (Stage.COMPLETED, before.outputs)
    assert life.now.cost_micros == before.cost_micros
    with pytest.raises(Precondition, match="has no lost output"):
        life.do(requeue_download, EXPIRES)


def test_nothing_is_requeued_that_was_not_lost() -> None:
    life = Life()
    with pytest.raises(Precondition, match="has no lost output"):
        life.do(requeue_download)
    life.do(succeeded(life.submit()))
    with pytest.raises(Precondition, match="has no lost output"):
        life.do(requeue_download)
    assert FACTS.kind is MediaKind.VIDEO, "what the model of these tests makes"
