"""A generation with its accounts, led through its life by hand: and decisions to choose from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from hypothesis import strategies as st

from catalog.core.budget.domain import Account, campaign_account, day_account
from catalog.core.generations.domain import events as ge
from catalog.core.generations.domain.attempts import (
    begin_attempt,
    next_step,
    record_canceled,
    record_failed,
    record_run_progress,
    record_started,
    record_submitted,
    record_succeeded,
    release_attempt,
)
from catalog.core.generations.domain.deletion import delete_generation
from catalog.core.generations.domain.events import Events
from catalog.core.generations.domain.evolve import evolve
from catalog.core.generations.domain.model import Generation, Stage
from catalog.core.generations.domain.outputs import record_fetch_progress, record_stored
from catalog.core.generations.domain.postings import postings
from catalog.core.generations.domain.recovery import count_loss, record_lost, requeue_download, warn_of_expiry
from catalog.core.generations.domain.requesting import (
    Decision,
    cancel_generation,
    create_generation,
    postpone_request,
    request_again,
)
from catalog.core.shared.domain import Error, Facts, MediaKind, RunSpec
from servicekit.errors import AppError

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
EXPIRES = NOW + timedelta(hours=1)
RUN = RunSpec("replicate", "rushes/instant", "", MediaKind.VIDEO, {"prompt": "x"}, estimate_micros=100)
CAP = 350
FACTS = Facts(MediaKind.VIDEO, "video/mp4", 7)
PASSING, FINAL = Error("E6716", "passing", retryable=True), Error("E005", "refused")
GONE = Error("gone", "deleted")


class Life:
    """A generation and the accounts it pays from, changed only by decisions and `evolve`."""

    def __init__(self, cap: int | None = CAP) -> None:
        self.at = NOW
        self.cap = cap
        self.accounts: dict[str, Account] = defaultdict(Account)
        self.state: Generation | None = None
        self.history: list[ge.GenerationEvent] = []
        self.happen(
            create_generation(NOW, "gen_1", RUN, campaign_id="cmp_1", job_id="job_1", scene_id="scn_1")
        )

    @property
    def now(self) -> Generation:
        assert self.state is not None
        return self.state

    def happen(self, events: Events) -> Events:
        for event in events:
            for posting in postings(self.state, event):
                self.accounts[posting.account] = self.accounts[posting.account].post(posting)
            self.state = evolve(self.state, event)
        self.history += events
        return events

    def do(self, decision: Decision, at: datetime | None = None) -> Events:
        return self.happen(decision(self.now, at or self.at))

    def begin(self, number: int = 0, blocked_by: str = "") -> Events:
        paid_by = [
            replace(self.accounts[name], cap=self.cap)
            for name in (campaign_account("cmp_1"), day_account(NOW))
        ]
        attempt_id = f"att_{number or len(self.now.attempts) + 1}"
        if any(each.id == attempt_id for each in self.now.attempts):
            return ()
        instruction = next_step(self.now, self.at, blocked_by)
        events, _ = begin_attempt(
            self.now, self.at, instruction, attempt_id=attempt_id, accounts=paid_by, max_attempts=3
        )
        return self.happen(events)

    def submit(self) -> str:
        (event,) = [event for event in self.begin() if isinstance(event, ge.AttemptIntended)]
        self.do(submitted(event.attempt_id))
        return event.attempt_id

    def fetching(self, outputs: int = 1) -> str:
        attempt_id = self.submit()
        self.do(succeeded(attempt_id, outputs=outputs))
        assert self.now.stage is Stage.FETCHING
        return attempt_id


def prediction(attempt_id: str) -> str:
    return f"p-{attempt_id}"


def _of(decision: Any, attempt_id: str, **arguments: Any) -> partial[Events]:
    given = {"attempt_id": attempt_id, "prediction_id": prediction(attempt_id), **arguments}
    return partial(decision, **given)


def submitted(attempt_id: str) -> partial[Events]:
    return _of(record_submitted, attempt_id)


def started(attempt_id: str) -> partial[Events]:
    return _of(record_started, attempt_id)


def succeeded(attempt_id: str, *, outputs: int = 1, cost: int = 80, **more: Any) -> partial[Events]:
    given = {"output_count": outputs, "cost_micros": cost, "expires_at": EXPIRES, **more}
    return _of(record_succeeded, attempt_id, **given)


def failed(attempt_id: str, error: Error = PASSING, cost: int = 80, **more: Any) -> partial[Events]:
    return _of(record_failed, attempt_id, error=error, cost_micros=cost, **{"max_attempts": 3, **more})


def canceled(attempt_id: str, cost: int, *, by_deadline: bool = False) -> partial[Events]:
    return _of(record_canceled, attempt_id, cost_micros=cost, by_deadline=by_deadline)


def released(
    attempt_id: str, error: Error = PASSING, *, fail: bool = False, retry_after: float = 0.0
) -> partial[Events]:
    return partial(release_attempt, attempt_id=attempt_id, error=error, fail=fail, retry_after=retry_after)


def stored(
    attempt_id: str, index: int = 0, media_id: str = "med_1", facts: Facts = FACTS, key: str = ""
) -> partial[Events]:
    return partial(
        record_stored,
        attempt_id=attempt_id,
        index=index,
        media_id=media_id,
        blob_key=key or f"media/gen_1/{index}.mp4",
        facts=facts,
    )


def lost(
    attempt_id: str,
    index: int = 0,
    *,
    retryable: bool = True,
    round_: int = 9,
    expires_at: datetime = EXPIRES,
    code: str = "truncated",
) -> partial[Events]:
    error = Error(code, "too short", retryable)
    return partial(
        record_lost, attempt_id=attempt_id, index=index, error=error, in_round=round_, expires_at=expires_at
    )


requeued_by_itself = partial(requeue_download, automatic=True)


def ended(how: str) -> Life:
    life = Life()
    if how == "canceled":
        one = life.submit()
        life.do(cancel_generation)
        life.do(canceled(one, 10))
    elif how == "refused":
        life.do(failed(life.submit(), FINAL))
    else:
        one = life.fetching()
        life.do(stored(one) if how == "completed" else lost(one, retryable=False))
    assert life.now.final
    return life


attempts = st.sampled_from(["att_1", "att_2", "att_3"])
costs = st.integers(0, RUN.estimate_micros)
errors = st.sampled_from([PASSING, FINAL, Error("gone", "gone")])
received = st.one_of(
    st.builds(started, attempts),
    st.builds(submitted, attempts),
    st.builds(lambda a, n, c: succeeded(a, outputs=n, cost=c), attempts, st.integers(1, 2), costs),
    st.builds(failed, attempts, errors, costs),
    st.builds(lambda a, c, d: canceled(a, c, by_deadline=d), attempts, costs, st.booleans()),
    st.builds(stored, attempts, st.integers(0, 1)),
    st.builds(lambda a, i, r: lost(a, i, retryable=r), attempts, st.integers(0, 1), st.booleans()),
)
"""What other services may report, in any order."""

requests = st.one_of(
    st.just(cancel_generation),
    st.builds(lambda stalled: partial(request_again, stalled=stalled), st.booleans()),
    st.builds(lambda a, f: released(a, fail=f), attempts, st.booleans()),
)
begins = st.sampled_from(["begin", "begin", "blocked"])
requeues = st.just(requeued_by_itself)
deletes = st.builds(lambda index: partial(delete_generation, index=index), st.sampled_from([None, 0, 1]))
marks = st.one_of(
    st.just(postpone_request),
    st.builds(lambda x: partial(record_run_progress, percent=x, message="x"), st.floats(0, 100)),
    st.builds(
        lambda percent: partial(record_fetch_progress, percent=percent, message="x"), st.floats(0, 100)
    ),
    st.builds(lambda index: partial(warn_of_expiry, index=index), st.integers(0, 1)),
    st.builds(lambda index: partial(count_loss, index=index), st.integers(0, 1)),
)
any_step = st.one_of(begins, received, received, requests, requeues, deletes, marks)


def apply(life: Life, step: Decision | str) -> Sequence[ge.GenerationEvent]:
    if isinstance(step, str):
        life.at += timedelta(seconds=30)
        return life.begin(blocked_by="paused" if step == "blocked" else "")
    try:
        return life.do(step, NOW)
    except AppError:  # an attempt that is none of its, or one that has another prediction: nothing changes
        return ()
