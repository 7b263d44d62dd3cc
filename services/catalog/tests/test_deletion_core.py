"""Deletion under any sequence of requests and events: the books stay, and nothing comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from generation_life import (
    NOW,
    Life,
    any_step,
    apply,
    canceled,
    ended,
    lost,
    received,
    released,
    requeued_by_itself,
    stored,
    submitted,
    succeeded,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from job_scenario import JobScenario, cut

from catalog.core.budget.domain import Account
from catalog.core.generations.domain import events as ge
from catalog.core.generations.domain.attempts import NextStep, next_step
from catalog.core.generations.domain.deletion import delete_generation
from catalog.core.generations.domain.model import OutputState, Stage
from catalog.core.generations.domain.recovery import requeue_download
from catalog.core.generations.domain.requesting import cancel_generation
from catalog.core.jobs.domain import events as je
from catalog.core.jobs.domain.decide import Decision, delete_cuts, record_output_deleted
from catalog.core.jobs.domain.model import JobStatus
from servicekit.errors import NotFound, Precondition

LATER = NOW + timedelta(hours=3)


def keys(events: object, kind: type[object]) -> list[str]:
    return [event.blob_key for event in events if isinstance(event, kind)]  # type: ignore[attr-defined]


@settings(max_examples=300, deadline=None)
@given(st.lists(any_step, max_size=40))
def test_what_is_deleted_stays_deleted_and_the_books_stay(steps: list[Any]) -> None:
    life = Life()
    for step in steps:
        before, books = life.now, dict(life.accounts)
        events = apply(life, step)
        after = life.now
        if getattr(step, "func", None) is delete_generation:
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


def test_who_deletes_one_that_waits_for_a_lost_output_is_not_sent_to_a_cancel_that_does_nothing() -> None:
    life = Life()
    life.do(lost(life.fetching()))
    assert life.do(cancel_generation, NOW) == ()
    with pytest.raises(Precondition, match="wait until its outputs are stored") as refused:
        life.do(delete_generation, NOW)
    assert "/cancel" not in refused.value.message


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(["canceled", "refused", "completed", "lost"]), st.lists(received, max_size=10))
def test_no_event_brings_a_deleted_one_back(how: str, events: list[Any]) -> None:
    life = ended(how)
    life.do(delete_generation, NOW)
    before = life.now
    for event in events:
        apply(life, event)
    assert replace(life.now, attempts=(), updated_at=NOW, last_event_at=NOW) == replace(
        before, attempts=(), updated_at=NOW, last_event_at=NOW
    )
    assert life.now.attempts == before.attempts or how == "canceled"


def test_all_its_media_go_and_then_itself() -> None:
    life = Life()
    one = life.fetching(2)
    life.do(stored(one, 0, "med_1"))
    life.do(stored(one, 1, "med_2"))
    events = life.do(delete_generation, LATER)
    assert [type(each) for each in events] == [ge.OutputDeleted, ge.OutputDeleted, ge.GenerationDeleted]
    assert keys(events, ge.OutputDeleted) == ["media/gen_1/0.mp4", "media/gen_1/1.mp4"]
    assert (life.now.deleted_at, life.now.stage) == (LATER, Stage.COMPLETED)
    assert next_step(life.now, LATER).step is NextStep.NOTHING
    with pytest.raises(NotFound, match="gen_1: it was deleted"):
        life.do(delete_generation, LATER)


def test_one_output_goes_alone_and_the_last_takes_it_along() -> None:
    life = Life()
    one = life.fetching(2)
    life.do(stored(one, 0, "med_1"))
    life.do(stored(one, 1, "med_2"))
    (gone,) = life.do(partial(delete_generation, index=0))
    assert isinstance(gone, ge.OutputDeleted)
    with pytest.raises(NotFound, match="no stored output 0"):
        life.do(partial(delete_generation, index=0))
    assert [type(each) for each in life.do(partial(delete_generation, index=1))] == [
        ge.OutputDeleted,
        ge.GenerationDeleted,
    ]


def test_what_is_still_to_be_fetched_keeps_it_and_completes_it() -> None:
    life = Life()
    one = life.fetching(2)
    life.do(stored(one, 0))
    life.do(lost(one, 1, retryable=False))
    life.do(partial(delete_generation, index=0))
    assert life.now.deleted_at is None
    life.do(requeue_download)
    life.do(stored(one, 1, "med_2"))
    assert life.now.stage is Stage.COMPLETED
    assert [each.media_id for each in life.now.stored] == ["med_2"]


def test_bytes_that_come_late_are_removed_each_time() -> None:
    life = Life()
    one = life.fetching(2)
    life.do(lost(one, 0, retryable=False))
    life.do(lost(one, 1, retryable=False))
    life.do(delete_generation, NOW)
    for _ in range(2):
        events = life.do(stored(one, 1, "med_9"))
        assert keys(events, ge.OutputRefused) == ["media/gen_1/1.mp4"]
    assert [each.state for each in life.now.outputs] == [OutputState.DELETED] * 2
    assert life.do(requeued_by_itself) == ()


@pytest.mark.parametrize("way", ["requested", "running", "fetching", "needed"])
def test_what_runs_or_is_needed_is_refused_with_the_way_out(way: str) -> None:
    life = ended("completed") if way == "needed" else Life()
    if way == "running":
        life.submit()
    elif way == "fetching":
        life.fetching()
    with pytest.raises(Precondition, match="cancel"):
        life.do(partial(delete_generation, needed_by="job_1" if way == "needed" else ""))
    assert life.now.deleted_at is None


def test_an_attempt_that_the_provider_had_after_all_is_waited_for() -> None:
    life = Life()
    (intended,) = life.begin()
    assert isinstance(intended, ge.AttemptIntended)
    life.do(released(intended.attempt_id))
    life.do(cancel_generation)
    life.do(submitted(intended.attempt_id))
    assert life.now.final
    with pytest.raises(Precondition, match="still runs an attempt"):
        life.do(delete_generation, NOW)
    life.do(canceled(intended.attempt_id, 30))
    life.do(delete_generation, NOW)
    assert all(account == Account(spent=30) for account in books(life).values())


def test_a_cost_that_is_reported_after_the_deletion_is_booked() -> None:
    life = Life()
    (intended,) = life.begin()
    assert isinstance(intended, ge.AttemptIntended)
    life.do(released(intended.attempt_id))
    life.do(cancel_generation)
    life.do(delete_generation, NOW)
    life.do(succeeded(intended.attempt_id))
    assert all(account == Account(spent=80) for account in books(life).values())
    assert (life.now.stage, life.now.stored) == (Stage.CANCELED, ())


def books(life: Life) -> Mapping[str, Account]:
    assert life.accounts
    return life.accounts


# Jobs -------------------------------------------------------------------------------------------


def completed_job() -> JobScenario:
    job = JobScenario().stitching()
    job.do(cut())
    return job


def deleted(number: int, index: int = 0) -> Decision:
    key = f"media/gen_{number}/{index}.mp4"
    return partial(record_output_deleted, generation_id=f"gen_{number}", blob_key=key)


def test_a_job_keeps_its_cut_when_a_clip_is_deleted_and_shows_no_clip() -> None:
    job = completed_job()
    assert [type(each) for each in job.do(deleted(1))] == [je.ClipDeleted]
    assert job.do(deleted(1)) == ()
    assert [(each.media_id, each.blob_key) for each in job.now.scenes] == [
        ("", ""),
        ("med_2", "media/gen_2/0.mp4"),
    ]
    assert job.now.missing_generations == {"gen_1"}
    job.do(deleted(3))
    assert job.now.music is not None
    assert job.now.music.blob_key == ""
    assert (job.now.status, len(job.now.present_cuts)) == (JobStatus.COMPLETED, 1)
    assert job.do(deleted(2, index=1)) == (), "an output beside the clip"


def test_cuts_go_once_and_the_job_stays() -> None:
    job = completed_job()
    (gone,) = job.do(delete_cuts, LATER)
    assert gone == je.CutDeleted(LATER, 1, "cut", "thumb")
    assert (job.now.status, job.now.present_cuts, job.now.version) == (JobStatus.COMPLETED, (), 1)
    with pytest.raises(NotFound, match="no cut"):
        job.do(delete_cuts)
    assert job.do(cut()) == (), "reported again, it is not here again"


def test_a_cut_stays_while_its_job_runs() -> None:
    job = completed_job()
    job.state = replace(job.now, status=JobStatus.STITCHING)  # its next version
    with pytest.raises(Precondition, match="job_1/cancel"):
        job.do(delete_cuts)
