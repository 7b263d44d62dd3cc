"""Deletion under any sequence of commands and facts: the books stay, and nothing that is gone comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import job_life as jobs
import pytest
from generation_life import (
    NOW,
    Life,
    apply,
    begins,
    commands,
    ended,
    facts,
    lost,
    requeues,
    stored,
    succeeded,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.core.budget.domain import Account
from catalog.core.generations.domain import commands as gc
from catalog.core.generations.domain import events as ge
from catalog.core.generations.domain.decide import NextStep, next_step
from catalog.core.generations.domain.model import OutputState, Stage
from catalog.core.jobs.domain import commands as jc
from catalog.core.jobs.domain import events as je
from catalog.core.jobs.domain.model import JobStatus
from servicekit.errors import NotFound, Precondition

LATER = NOW + timedelta(hours=3)
deletes = st.builds(gc.DeleteGeneration, st.just(NOW), st.sampled_from([None, 0, 1]))
steps = st.one_of(begins, facts, facts, commands, requeues, deletes)


def keys(events: object, kind: type[object]) -> list[str]:
    return [event.blob_key for event in events if isinstance(event, kind)]  # type: ignore[attr-defined]


@settings(max_examples=300, deadline=None)
@given(st.lists(steps, max_size=40))
def test_what_is_deleted_stays_deleted_and_the_books_stay(said: list[object]) -> None:
    life = Life()
    for step in said:
        before, books = life.now, dict(life.accounts)
        events = apply(life, step)
        after = life.now
        if isinstance(step, gc.DeleteGeneration):
            assert life.accounts == books, "money spent stays spent"
            assert after.attempts == before.attempts
            assert not events or (before.final and not before.open_attempts), "nothing that runs is deleted"
        gone = {each.index for each in before.outputs if each.state is OutputState.DELETED}
        assert gone <= {each.index for each in after.outputs if each.state is OutputState.DELETED}
        if before.deleted_at is not None:
            assert (after.deleted_at, after.outputs, after.stage) == (
                before.deleted_at,
                before.outputs,
                before.stage,
            )
            assert (after.stored, after.lost, after.requeue_at) == ((), (), None)
            assert not [event for event in events if isinstance(event, ge.OutputStored | ge.OutputDeleted)]
        for account in life.accounts.values():
            assert account.spent == after.cost_micros


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(["canceled", "refused", "completed", "lost"]), st.lists(facts, max_size=10))
def test_no_fact_brings_a_deleted_one_back(how: str, said: list[object]) -> None:
    life = ended(how)
    life.do(gc.DeleteGeneration(NOW))
    before = life.now
    for fact in said:
        apply(life, fact)
    assert replace(life.now, attempts=(), updated_at=NOW, last_event_at=NOW) == replace(
        before, attempts=(), updated_at=NOW, last_event_at=NOW
    )
    assert life.now.attempts == before.attempts or how == "canceled"


def test_all_its_media_go_and_then_itself() -> None:
    life = Life()
    one = life.fetching(2)
    life.do(stored(one, 0, "med_1"))
    life.do(stored(one, 1, "med_2"))
    events = life.do(gc.DeleteGeneration(LATER))
    assert [type(each) for each in events] == [ge.OutputDeleted, ge.OutputDeleted, ge.GenerationDeleted]
    assert keys(events, ge.OutputDeleted) == ["media/gen_1/0.mp4", "media/gen_1/1.mp4"]
    assert (life.now.deleted_at, life.now.stage) == (LATER, Stage.COMPLETED)
    assert next_step(life.now, LATER).step is NextStep.NOTHING
    with pytest.raises(NotFound, match="gen_1: it was deleted"):
        life.do(gc.DeleteGeneration(LATER))


def test_one_output_goes_alone_and_the_last_takes_it_along() -> None:
    life = Life()
    one = life.fetching(2)
    life.do(stored(one, 0, "med_1"))
    life.do(stored(one, 1, "med_2"))
    (gone,) = life.do(gc.DeleteGeneration(NOW, index=0))
    assert isinstance(gone, ge.OutputDeleted)
    with pytest.raises(NotFound, match="no stored output 0"):
        life.do(gc.DeleteGeneration(NOW, index=0))
    assert [type(each) for each in life.do(gc.DeleteGeneration(NOW, index=1))] == [
        ge.OutputDeleted,
        ge.GenerationDeleted,
    ]


def test_what_is_still_to_be_fetched_keeps_it_and_completes_it() -> None:
    life = Life()
    one = life.fetching(2)
    life.do(stored(one, 0))
    life.do(lost(one, 1))
    life.do(gc.DeleteGeneration(NOW, index=0))
    assert life.now.deleted_at is None
    life.do(gc.RequeueDownload(NOW))
    life.do(stored(one, 1, "med_2"))
    assert life.now.stage is Stage.COMPLETED
    assert [each.media_id for each in life.now.stored] == ["med_2"]


def test_bytes_that_come_late_are_removed_each_time() -> None:
    life = Life()
    one = life.fetching(2)
    life.do(lost(one, 0, retryable=False))
    life.do(gc.DeleteGeneration(NOW))
    for _ in range(2):
        events = life.do(stored(one, 1, "med_9"))
        assert keys(events, ge.OutputRefused) == ["media/gen_1/1.mp4"]
    assert [each.state for each in life.now.outputs] == [OutputState.DELETED]
    assert life.do(gc.RequeueDownload(NOW, automatic=True)) == ()


@pytest.mark.parametrize("way", ["requested", "running", "fetching", "needed"])
def test_what_runs_or_is_needed_is_refused_with_the_way_out(way: str) -> None:
    life = ended("completed") if way == "needed" else Life()
    if way == "running":
        life.submit()
    elif way == "fetching":
        life.fetching()
    with pytest.raises(Precondition, match="cancel"):
        life.do(gc.DeleteGeneration(NOW, needed_by="job_1" if way == "needed" else ""))
    assert life.now.deleted_at is None


def test_an_attempt_that_the_provider_had_after_all_is_waited_for() -> None:
    life = Life()
    (intended,) = life.begin()
    assert isinstance(intended, ge.AttemptIntended)
    life.do(gc.ReleaseAttempt(NOW, intended.attempt_id, None, fail=False, retry_after=0.0))
    life.do(gc.CancelGeneration(NOW))
    life.do(gc.RecordSubmitted(NOW, intended.attempt_id, "p-att_1"))
    assert life.now.final
    with pytest.raises(Precondition, match="still runs an attempt"):
        life.do(gc.DeleteGeneration(NOW))
    life.do(gc.RecordCanceled(NOW, intended.attempt_id, "p-att_1", 30))
    life.do(gc.DeleteGeneration(NOW))
    assert all(account == Account(spent=30) for account in books(life).values())


def test_a_cost_that_is_told_after_the_deletion_is_booked() -> None:
    life = Life()
    (intended,) = life.begin()
    assert isinstance(intended, ge.AttemptIntended)
    life.do(gc.ReleaseAttempt(NOW, intended.attempt_id, None, fail=False, retry_after=0.0))
    life.do(gc.CancelGeneration(NOW))
    life.do(gc.DeleteGeneration(NOW))
    life.do(succeeded(intended.attempt_id))
    assert all(account == Account(spent=80) for account in books(life).values())
    assert (life.now.stage, life.now.stored) == (Stage.CANCELED, ())


def books(life: Life) -> Mapping[str, Account]:
    assert life.accounts
    return life.accounts


# Jobs -------------------------------------------------------------------------------------------


def done() -> jobs.Life:
    life = jobs.Life().stitching()
    life.do(jobs.cut())
    return life


def test_a_job_whose_clip_is_deleted_keeps_its_cut_and_shows_no_clip() -> None:
    life = done()
    gone = jc.RecordRunDeleted(NOW, "gen_1", "media/gen_1/0.mp4")
    assert [type(each) for each in life.do(gone)] == [je.ClipDeleted]
    assert life.do(gone) == ()
    assert [(each.media_id, each.blob_key) for each in life.now.scenes] == [
        ("", ""),
        ("med_2", "media/gen_2/0.mp4"),
    ]
    assert not life.now.complete
    life.do(jc.RecordRunDeleted(NOW, "gen_3", "media/gen_3/0.mp4"))
    assert life.now.edit.music is not None
    assert life.now.edit.music.blob_key == ""
    assert (life.now.status, len(life.now.present_cuts)) == (JobStatus.COMPLETED, 1)
    assert life.do(jc.RecordRunDeleted(NOW, "gen_2", "media/gen_2/1.mp4")) == (), "an output beside the clip"


def test_cuts_go_once_and_the_job_stays() -> None:
    life = done()
    (gone,) = life.do(jc.DeleteCuts(LATER))
    assert gone == je.CutDeleted(LATER, 1, "cut", "poster")
    assert (life.now.status, life.now.present_cuts, life.now.version) == (JobStatus.COMPLETED, (), 1)
    with pytest.raises(NotFound, match="no cut"):
        life.do(jc.DeleteCuts(LATER))
    assert life.do(jobs.cut()) == (), "said again, it is not here again"


def test_a_cut_stays_while_its_job_runs() -> None:
    life = done()
    life.state = replace(life.now, status=JobStatus.STITCHING)  # its next version
    with pytest.raises(Precondition, match="job_1/cancel"):
        life.do(jc.DeleteCuts(NOW))
