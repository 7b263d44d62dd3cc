"""Lost outputs: asked for again by themselves while they may live, by an operator at any time."""

from __future__ import annotations

from datetime import timedelta

import pytest
from generation_life import (
    NOW,
    Life,
    failed,
    lost,
    stored,
)

from catalog.core import generation_commands as gc
from catalog.core import generation_events as ge
from catalog.core.generation import OutputState, Stage
from catalog.core.generation_decide import MAX_REQUEUES, Step, next_step
from catalog.core.values import Failure
from servicekit.errors import Precondition


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
