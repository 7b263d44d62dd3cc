"""The life of a job: from a draft to the cut, or to a reason; what is final stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from job_scenario import (
    IDS,
    MUSIC,
    MUSIC_ID,
    REFUSED,
    SCENES,
    JobScenario,
    approved,
    cut,
    stitch_failed,
    stored,
)

from catalog.core.budget.domain import Account
from catalog.core.jobs.domain import events as je
from catalog.core.jobs.domain.decide import (
    MAX_STITCHES,
    Decision,
    approve_job,
    cancel_job,
    fail_job,
    pause_job,
    record_generation_ended,
    record_plan,
    record_stitch_progress,
    repeat_planning,
    request_stitch_again,
    resume_job,
)
from catalog.core.jobs.domain.evolve import fold
from catalog.core.jobs.domain.model import JobStatus, Transition
from catalog.core.jobs.domain.request import EditRequest, make_edit
from catalog.core.shared.domain import Error
from servicekit.errors import AppError, Invalid, Precondition


@settings(max_examples=100, deadline=None)
@given(st.permutations([1, 2, 3]))
def test_whichever_comes_last_requests_the_cut_once(order: list[int]) -> None:
    job = JobScenario().approved()
    for number in order:
        job.do(stored(number))
        job.do(stored(number))
    requested = [event for event in job.history if isinstance(event, je.StitchRequested)]
    assert [(each.version, each.round) for each in requested] == [(1, 1)]
    assert job.now.edit.music is not None
    assert job.now.edit.music.blob_key == "media/gen_3/0.mp4"


DECISIONS: st.SearchStrategy[Decision] = st.one_of(
    st.sampled_from([1, 2, 3]).map(stored),
    st.sampled_from([1, 2]).map(cut),
    st.builds(lambda v, r: stitch_failed(v, retryable=r), st.sampled_from([1, 2]), st.booleans()),
    st.builds(
        lambda n: partial(record_generation_ended, generation_id=f"gen_{n}", error=REFUSED),
        st.sampled_from([1, 2, 3, 4]),
    ),
    st.builds(
        lambda version, percent: partial(
            record_stitch_progress, version=version, percent=percent, message="stitching"
        ),
        st.sampled_from([1, 2]),
        st.floats(0, 100),
    ),
    st.sampled_from([pause_job, resume_job, cancel_job, request_stitch_again, repeat_planning]),
    st.just(partial(record_plan, scenes=SCENES, planner="deterministic", music=MUSIC)),
    st.just(approved()),
    st.just(partial(fail_job, error=REFUSED)),
)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2), st.lists(DECISIONS, max_size=25))
def test_what_is_final_stays_as_it_is(begin: int, decisions: Sequence[Decision]) -> None:
    job = JobScenario()
    if begin:
        _ = job.approved() if begin == 1 else job.stitching()
    for decision in decisions:
        before = job.now
        try:
            job.do(decision)
        except AppError:
            assert job.now == before
        if before.final:
            assert job.now == before
        versions = [each.version for each in job.now.cuts]
        assert versions == sorted(set(versions))
        assert (job.now.status is JobStatus.COMPLETED) <= bool(versions)
    assert fold(None, job.history) == job.now


def test_the_cut_completes_it_and_an_older_version_does_not() -> None:
    job = JobScenario(music=None).stitching()
    assert job.do(cut(2)) == ()
    job.do(cut(1))
    assert job.now.status is JobStatus.COMPLETED
    assert job.do(stitch_failed()) == ()


def test_approval_needs_room_under_the_cap() -> None:
    job = JobScenario().planned()
    approve = partial(approve_job, generation_ids=IDS, music_generation_id=MUSIC_ID)
    with pytest.raises(Precondition, match=r"0\.30 cents, and 0\.20 are left") as refused:
        job.do(partial(approve, accounts=[Account(spent=500, reserved=500, cap=3000)]))
    assert refused.value.code == "budget"
    job.do(partial(approve, accounts=[Account(spent=500, reserved=500, cap=4000)]))
    assert [scene.generation_id for scene in job.now.scenes] == list(IDS)
    with pytest.raises(Precondition, match="rendering"):
        job.do(approved())


def test_a_scene_that_fails_for_good_fails_the_job_with_its_reason() -> None:
    job = JobScenario().approved()
    job.do(stored(1))
    job.do(partial(record_generation_ended, generation_id="gen_2", error=REFUSED))
    assert job.now.status is JobStatus.FAILED
    assert job.now.error == Error("E005", "scene 2: refused")
    assert job.now.scenes[0].blob_key, "what was made stays"


def test_a_cut_that_fails_is_tried_again_with_growing_waits_and_then_given_up() -> None:
    job = JobScenario().stitching()
    waits = []
    for _ in range(MAX_STITCHES):
        waits += [e.delay for e in job.do(stitch_failed()) if isinstance(e, je.StitchRequested)]
    assert waits == [2.0, 4.0]
    assert job.now.status is JobStatus.FAILED


def test_stalled_stitching_is_requested_with_the_next_round_and_version_unchanged() -> None:
    job = JobScenario().stitching()
    (again,) = job.do(request_stitch_again)
    assert isinstance(again, je.StitchRequested)
    assert (again.version, again.round, job.now.stalled_rounds) == (1, 2, 1)


def test_progress_of_the_cut_only_grows_and_shows_that_the_stitcher_lives() -> None:
    job = JobScenario().stitching()
    job.do(request_stitch_again)
    progress = partial(record_stitch_progress, version=1, message="encoding")
    job.do(partial(progress, percent=40.0))
    assert (job.now.percent, job.now.message, job.now.stalled_rounds) == (40.0, "encoding", 0)
    job.do(partial(progress, percent=30.0, message="older"))
    assert (job.now.percent, job.now.message) == (40.0, "encoding")
    assert job.do(partial(progress, version=2, percent=90.0)) == ()
    job.do(cut())
    assert job.do(partial(progress, percent=99.0)) == ()


@pytest.mark.parametrize(
    ("requested", "size"),
    [
        (EditRequest(), (1920, 1080)),
        (EditRequest(aspect="9:16"), (1080, 1920)),
        (EditRequest(aspect="1:1"), (1080, 1080)),
        (EditRequest(aspect="16:9", size="640x360"), (640, 360)),
        (EditRequest(aspect="4:3"), (1440, 1080)),
    ],
)
def test_the_size_of_a_cut(requested: EditRequest, size: tuple[int, int]) -> None:
    edit = make_edit(requested, 25.0)
    assert (edit.width, edit.height) == size


@pytest.mark.parametrize(
    ("requested", "field"),
    [
        (EditRequest(size="641x360"), "size"),
        (EditRequest(size="9999x9999"), "size"),
        (EditRequest(size="640x360", aspect="1:1"), "aspect"),
        (EditRequest(aspect="0:1"), "aspect"),
    ],
)
def test_a_size_that_cannot_be_names_its_field(requested: EditRequest, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        make_edit(requested, 25.0)
    assert refused.value.fields[0].field == field


def test_a_cross_fade_has_a_length() -> None:
    assert make_edit(EditRequest(transition=Transition.CROSSFADE), 25.0).transition_seconds == 0.5
    assert make_edit(replace(EditRequest(), transition_seconds=2.0), 25.0).transition_seconds == 0.0
