"""Makes the records of a journal again: the fold of its entries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from catalog.core.generations.domain.evolve import evolve as evolve_generation
from catalog.core.jobs.domain.evolve import evolve as evolve_job
from catalog.core.journal.domain.entry import Deletion, Entity, Entry, Snapshot, TimelineCarriedOver

_EVOLVE: dict[Entity, Callable[[Any, Any], Any]] = {
    Entity.GENERATION: evolve_generation,
    Entity.JOB: evolve_job,
}


@dataclass(frozen=True)
class Gap:
    """A record that is known up to a revision only: the entry of the next one is missing, later ones are not.

    Args:
        next_revision: of the first entry behind the gap.
    """

    record_id: str
    revision: int
    next_revision: int


class Replay:
    """The records after the entries that were added.

    Entries of one record may come twice, and out of order: a replica that hangs while it publishes may go on
    after another has taken its turn. Those that come too early wait for the ones before them.
    """

    def __init__(self) -> None:
        self._records: dict[Entity, dict[str, Any]] = {entity: {} for entity in Entity}
        self._revisions: dict[str, int] = {}
        """By record, deleted ones too: of the last entry that was applied."""
        self._early: dict[str, dict[int, Entry]] = defaultdict(dict)
        self._timelines: dict[str, list[Entry]] = defaultdict(list)
        """By record, the entries that belong to the timeline of a job."""

    def add(self, entry: Entry) -> None:
        early = self._early.get(entry.record_id)
        if not self._follows(entry):
            if entry.revision > self._revision(entry.record_id):
                self._early[entry.record_id][entry.revision] = entry
            return
        self._apply(entry)
        if early:
            self._apply_early(early)
            if not early:
                del self._early[entry.record_id]

    def records(self, entity: Entity) -> list[Any]:
        """The records of a kind, in the order in which they were made."""
        return list(self._records[entity].values())

    @property
    def timelines(self) -> list[Entry]:
        """The entries that belong to the timeline of a job, in their order."""
        entries = (entry for entries in self._timelines.values() for entry in entries)
        return sorted(entries, key=lambda entry: entry.place)

    @property
    def gaps(self) -> list[Gap]:
        """The records of which entries are missing."""
        return [
            Gap(record_id, self._revision(record_id), min(early))
            for record_id, early in self._early.items()
            if early
        ]

    def _revision(self, record_id: str) -> int:
        return self._revisions.get(record_id, 0)

    def _follows(self, entry: Entry) -> bool:
        """Whether it can be applied now."""
        known = self._revision(entry.record_id)
        return entry.revision == known + 1 or (entry.stands_alone and entry.revision > known)

    def _apply_early(self, early: dict[int, Entry]) -> None:
        for revision in sorted(early):
            entry = early[revision]
            if self._follows(entry):
                self._apply(entry)
            if revision <= self._revision(entry.record_id):
                del early[revision]

    def _apply(self, entry: Entry) -> None:
        records = self._records[entry.entity]
        state = records.get(entry.record_id)
        if entry.progress is not None and state is not None:
            state = replace(state, **vars(entry.progress))
        for event in entry.events:
            match event:
                case Snapshot():
                    state = event.record
                case Deletion():
                    state = None
                case TimelineCarriedOver():
                    pass
                case _:
                    state = _EVOLVE[entry.entity](state, event)
        self._revisions[entry.record_id] = entry.revision
        if entry.stands_alone:
            self._timelines.pop(entry.record_id, None)
        if entry.job_id:
            self._timelines[entry.record_id].append(entry)
        if state is None:
            records.pop(entry.record_id, None)
        else:
            records[entry.record_id] = replace(state, revision=entry.revision)
