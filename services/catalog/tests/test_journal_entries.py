"""Entries of the journal by themselves: their stored names, and records folded from them in any order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from generation_life import NOW, Life, any_step, apply
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.adapters.journal.documents import EVENT_TYPES, entry_of, event_of
from catalog.core.budget.domain import Account
from catalog.core.generations.domain import events as ge
from catalog.core.generations.domain.postings import balance
from catalog.core.journal.domain.entry import Deletion, Entity, Entry, Snapshot, generation_entry, is_progress
from catalog.core.journal.domain.replay import Gap, Replay


def test_the_names_of_stored_events_stay() -> None:
    """Entries of years ago are read: a name may be added here, and none may go."""
    assert set(EVENT_TYPES) >= {
        "AttemptAdopted",
        "AttemptEnded",
        "AttemptIntended",
        "AttemptReconciliationStarted",
        "AttemptReleased",
        "AttemptSubmitted",
        "CancelRequested",
        "ClipDeleted",
        "ClipStored",
        "CutDeleted",
        "CutStored",
        "Deletion",
        "DownloadRequeued",
        "GenerationCanceled",
        "GenerationCompleted",
        "GenerationCreated",
        "GenerationDeleted",
        "GenerationFailed",
        "GenerationRequested",
        "JobApproved",
        "JobCanceled",
        "JobCompleted",
        "JobCreated",
        "JobFailed",
        "JobPaused",
        "JobPlanned",
        "JobResumed",
        "MusicDeleted",
        "MusicStored",
        "OutputDeleted",
        "OutputExpiryWarned",
        "OutputLossCounted",
        "OutputLost",
        "OutputRefused",
        "OutputStored",
        "OutputsAnnounced",
        "PlanningRepeated",
        "ProgressReported",
        "RequestPostponed",
        "ReturnedToQueue",
        "SceneFailed",
        "StitchFailed",
        "StitchProgressed",
        "StitchRequested",
        "TimelineCarriedOver",
    }


class JournaledLife(Life):
    """A life with the entries that it leaves in the journal."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        super().__init__()

    def happen(self, events: ge.Events) -> ge.Events:
        before = self.state
        super().happen(events)
        if events and not is_progress(events):
            self.state = replace(self.now, revision=self.now.revision + 1)
            self.entries.append(generation_entry(before, self.now, events))
        return events


def _life(steps: Sequence[Any]) -> JournaledLife:
    life = JournaledLife()
    for step in steps:
        apply(life, step)
    return life


lives = st.lists(any_step, max_size=30).map(_life)


@settings(max_examples=200, deadline=None)
@given(lives, st.randoms())
def test_entries_in_any_order_and_twice_make_the_same_record(life: JournaledLife, chance: Any) -> None:
    entries = [entry_of(event_of(entry).data) for entry in life.entries]
    assert entries == life.entries
    chance.shuffle(entries)
    replay = Replay()
    for entry in [*entries, *entries]:
        replay.add(entry)
    (generation,) = replay.records(Entity.GENERATION)
    assert replay.gaps == []
    assert generation.revision == life.now.revision
    reported_fields = {"percent", "message", "updated_at", "last_event_at", "stalled_rounds"}
    reported = is_progress(life.history[-1:])
    now = (
        replace(life.now, **{name: getattr(generation, name) for name in reported_fields})
        if reported
        else life.now
    )
    assert generation == now


@settings(max_examples=200, deadline=None)
@given(lives)
def test_the_balance_is_the_sum_of_the_postings(life: JournaledLife) -> None:
    accounts: dict[str, Account] = {}
    for posting in balance(life.now):
        accounts[posting.account] = accounts.get(posting.account, Account()).post(posting)
    assert {name: account for name, account in life.accounts.items() if account != Account()} == {
        name: account for name, account in accounts.items() if account != Account()
    }


@settings(max_examples=100, deadline=None)
@given(lives, st.data())
def test_a_gap_ends_with_the_next_snapshot(life: JournaledLife, data: st.DataObject) -> None:
    missing = data.draw(st.integers(0, len(life.entries) - 1))
    rest = [entry for number, entry in enumerate(life.entries) if number != missing]
    replay = Replay()
    for entry in rest:
        replay.add(entry)
    last = missing == len(life.entries) - 1
    assert replay.gaps == ([] if last else [Gap("gen_1", missing, missing + 2)])
    snapshot = Entry(Entity.GENERATION, "gen_1", 10_000, NOW, (Snapshot(NOW, life.now),), "job_1")
    replay.add(entry_of(event_of(snapshot).data))
    assert replay.gaps == []
    assert replay.records(Entity.GENERATION) == [life.now]
    assert [entry.revision for entry in replay.timelines] == [10_000]
    replay.add(Entry(Entity.GENERATION, "gen_1", 10_001, NOW, (Deletion(NOW),)))
    for entry in life.entries:
        replay.add(entry)
    assert replay.records(Entity.GENERATION) == []
