"""The life of a job: from a draft to the cut, or to a reason; what is final stays."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from job_life import BAD, IDS, MUSIC, MUSIC_ID, NOW, SCENES, Life, cut, stitch_failed, stored

from catalog.core.budget.domain import Account
from catalog.core.jobs.domain import commands as jc
from catalog.core.jobs.domain import events as je
from catalog.core.jobs.domain.decide import MAX_STITCHES
from catalog.core.jobs.domain.evolve import fold
from catalog.core.jobs.domain.model import JobStatus, Transition
from catalog.core.jobs.domain.request import EditRequest, make_edit
from catalog.core.shared.domain import Error
from servicekit.errors import AppError, Invalid, Precondition


@settings(max_examples=100, deadline=None)
@given(st.permutations([1, 2, 3]))
def test_whichever_comes_last_asks_for_the_cut_once(order: list[int]) -> None:
    life = Life().approved()
    for number in order:
        life.do(stored(number))
        life.do(stored(number))
    asked = [event for event in life.told if isinstance(event, je.StitchRequested)]
    assert [(each.version, each.round) for each in asked] == [(1, 1)]
    assert life.now.edit.music is not None
    assert life.now.edit.music.blob_key == "media/gen_3/0.mp4"


COMMANDS: st.SearchStrategy[jc.JobCommand] = st.one_of(
    st.sampled_from([1, 2, 3]).map(stored),
    st.sampled_from([1, 2]).map(cut),
    st.builds(lambda v, r: stitch_failed(v, retryable=r), st.sampled_from([1, 2]), st.booleans()),
    st.builds(lambda n: jc.RecordRunEnded(NOW, f"gen_{n}", BAD), st.sampled_from([1, 2, 3, 4])),
    st.sampled_from(
        [
            jc.PauseJob(NOW),
            jc.ResumeJob(NOW),
            jc.CancelJob(NOW),
            jc.RequestStitchAgain(NOW),
            jc.PlanAgain(NOW),
        ]
    ),
    st.just(jc.PlanJob(NOW, SCENES, "deterministic", MUSIC)),
    st.just(jc.ApproveJob(NOW, IDS, MUSIC_ID)),
    st.just(jc.FailJob(NOW, BAD)),
)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2), st.lists(COMMANDS, max_size=25))
def test_what_is_final_stays_as_it_is(begin: int, commands: list[jc.JobCommand]) -> None:
    life = Life()
    if begin:
        _ = life.approved() if begin == 1 else life.stitching()
    for command in commands:
        before = life.now
        try:
            life.do(command)
        except AppError:
            assert life.now == before
        if before.final:
            assert life.now == before
        versions = [each.version for each in life.now.cuts]
        assert versions == sorted(set(versions))
        assert (life.now.status is JobStatus.COMPLETED) <= bool(versions)
    assert fold(None, life.told) == life.now


def test_the_cut_completes_it_and_an_older_version_does_not() -> None:
    life = Life(music=None).stitching()
    assert life.do(cut(2)) == ()
    life.do(cut(1))
    assert life.now.status is JobStatus.COMPLETED
    assert life.do(stitch_failed()) == ()


def test_approval_needs_room_under_the_cap() -> None:
    life = Life().planned()
    with pytest.raises(Precondition, match=r"0\.30 cents, and 0\.20 are left") as refused:
        life.do(jc.ApproveJob(NOW, IDS, MUSIC_ID, (Account(spent=500, reserved=500, cap=3000),)))
    assert refused.value.code == "budget"
    life.do(jc.ApproveJob(NOW, IDS, MUSIC_ID, (Account(spent=500, reserved=500, cap=4000),)))
    assert [scene.generation_id for scene in life.now.scenes] == list(IDS)
    with pytest.raises(Precondition, match="rendering"):
        life.do(jc.ApproveJob(NOW, IDS, MUSIC_ID))


def test_a_scene_that_fails_for_good_fails_the_job_with_its_reason() -> None:
    life = Life().approved()
    life.do(stored(1))
    life.do(jc.RecordRunEnded(NOW, "gen_2", BAD))
    assert life.now.status is JobStatus.FAILED
    assert life.now.error == Error("E005", "scene 2: refused")
    assert life.now.scenes[0].blob_key, "what was made stays"


def test_a_cut_that_fails_is_tried_again_with_growing_waits_and_then_given_up() -> None:
    life = Life().stitching()
    waits = []
    for _ in range(MAX_STITCHES):
        waits += [e.delay for e in life.do(stitch_failed()) if isinstance(e, je.StitchRequested)]
    assert waits == [2.0, 4.0]
    assert life.now.status is JobStatus.FAILED


def test_silent_stitching_is_asked_for_with_the_next_round_and_version_unchanged() -> None:
    life = Life().stitching()
    (again,) = life.do(jc.RequestStitchAgain(NOW))
    assert isinstance(again, je.StitchRequested)
    assert (again.version, again.round, life.now.stalled_rounds) == (1, 2, 1)


@pytest.mark.parametrize(
    ("asked", "size"),
    [
        (EditRequest(), (1920, 1080)),
        (EditRequest(aspect="9:16"), (1080, 1920)),
        (EditRequest(aspect="1:1"), (1080, 1080)),
        (EditRequest(aspect="16:9", size="640x360"), (640, 360)),
        (EditRequest(aspect="4:3"), (1440, 1080)),
    ],
)
def test_the_size_of_a_cut(asked: EditRequest, size: tuple[int, int]) -> None:
    edit = make_edit(asked, 25.0)
    assert (edit.width, edit.height) == size


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (EditRequest(size="641x360"), "size"),
        (EditRequest(size="9999x9999"), "size"),
        (EditRequest(size="640x360", aspect="1:1"), "aspect"),
        (EditRequest(aspect="0:1"), "aspect"),
    ],
)
def test_a_size_that_cannot_be_names_its_field(asked: EditRequest, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        make_edit(asked, 25.0)
    assert refused.value.fields[0].field == field


def test_a_cross_fade_has_a_length() -> None:
    assert make_edit(EditRequest(transition=Transition.CROSSFADE), 25.0).transition_seconds == 0.5
    assert make_edit(replace(EditRequest(), transition_seconds=2.0), 25.0).transition_seconds == 0.0
