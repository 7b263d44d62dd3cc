"""A generation with its accounts, led through its life by hand: and steps to choose from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from catalog.core.budget.domain import Account, campaign_account, day_account, postings
from catalog.core.generations.domain import commands as gc
from catalog.core.generations.domain import events as ge
from catalog.core.generations.domain.decide import decide
from catalog.core.generations.domain.evolve import evolve
from catalog.core.generations.domain.model import Generation, Stage
from catalog.core.shared.domain import Error, Facts, MediaKind, RunSpec
from servicekit.errors import AppError

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
RUN = RunSpec("replicate", "rushes/instant", "", MediaKind.VIDEO, {"prompt": "x"}, estimate_micros=100)
CAP = 350
FACTS = Facts(MediaKind.VIDEO, "video/mp4", 7)
PASSING, FINAL = Error("E6716", "passing", retryable=True), Error("E005", "refused")


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


def failed(attempt_id: str, error: Error = PASSING, cost: int = 80) -> gc.RecordFailed:
    return gc.RecordFailed(NOW, attempt_id, prediction(attempt_id), error, cost)


def stored(attempt_id: str, index: int = 0, media: str = "med_1") -> gc.RecordStored:
    return gc.RecordStored(NOW, attempt_id, index, media, f"media/gen_1/{index}.mp4", FACTS)


def lost(attempt_id: str, index: int = 0, *, retryable: bool = True, round_: int = 9) -> gc.RecordLost:
    error = Error("truncated", "too short", retryable)
    return gc.RecordLost(NOW, attempt_id, index, error, round_, NOW + timedelta(hours=1))


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


attempts = st.sampled_from(["att_1", "att_2", "att_3"])
costs = st.integers(0, RUN.estimate_micros)
errors = st.sampled_from([PASSING, FINAL, Error("gone", "gone")])
facts = st.one_of(
    st.builds(lambda a: gc.RecordStarted(NOW, a, prediction(a)), attempts),
    st.builds(lambda a: gc.RecordSubmitted(NOW, a, prediction(a)), attempts),
    st.builds(lambda a, n, c: succeeded(a, outputs=n, cost=c), attempts, st.integers(1, 2), costs),
    st.builds(failed, attempts, errors, costs),
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
