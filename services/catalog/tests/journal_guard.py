"""Fails a test in which a transaction writes to the row of a record and adds no entry to the journal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Delete, Engine, Insert, Update, event

from catalog.adapters.db import tables as t
from catalog.adapters.unit_of_work import RECORD_TABLES
from catalog.core.journal.domain.entry import Entity
from servicekit.ids import prefixes

ENTITY_OF = {
    **{table: entity for entity, table in RECORD_TABLES.items()},
    t.asset_tags: Entity.ASSET,
    t.scenes: Entity.JOB,
    t.cuts: Entity.JOB,
    t.attempts: Entity.GENERATION,
    t.outputs: Entity.GENERATION,
    t.media: Entity.GENERATION,
    t.accounts: Entity.GENERATION,
}
"""The tables that the journal can fill, and the kind of record whose entries do it."""

NOT_JOURNALED = {
    t.outbox: "its messages are the entries, and what follows from them: the reconciler requests it again",
    t.inbox: "an event that is applied twice changes nothing",
    t.journal: "it is made of the entries",
    t.system: "its entry is written with the first snapshots",
}
PROGRESS = {"percent", "message", "updated_at", "last_event_at", "stalled_rounds", "stalled_at"}
"""Columns of generations and jobs that change every second: the next entry has them."""
LAST_USE = {"last_used_at"}
"""Column of API keys that changes every minute; a rebuilt key has it as of its last entry."""


class JournalGuard:
    def __init__(self) -> None:
        self.problems: list[str] = []
        self._written: dict[int, list[tuple[Entity, frozenset[str], str]]] = {}
        self._savepoints: dict[int, int] = {}

    def executed(self, connection: Any, clause: Any, multiple: Any, params: Any, _options: Any) -> None:
        rows = multiple or ([params] if params else [])
        if isinstance(clause, Insert) and clause.table is t.outbox:
            entries = [row for row in rows if row["type"].startswith("journal.")]
            keys = frozenset(row["key"] for row in entries)
            written = self._written.get(id(connection), [])
            entities = {row["type"].partition(".")[2] for row in entries}
            self._written[id(connection)] = [
                each for each in written if not (each[1] & keys or (not each[1] and each[0] in entities))
            ]
        if not isinstance(clause, Insert | Update | Delete):
            return
        if clause.table is t.system and "rebuilt_at" in clause.compile().params:
            self._written.pop(id(connection), None)  # all of this came from the journal
        if clause.table not in ENTITY_OF:
            return
        entity = ENTITY_OF[clause.table]
        for row in rows or [dict(clause.compile().params)]:
            if self._is_exempt(clause, row):
                continue
            ids = frozenset(
                value
                for value in row.values()
                if isinstance(value, str) and value.startswith(f"{prefixes()[entity]}_")
            )
            self._written.setdefault(id(connection), []).append((entity, ids, str(clause)))

    def _is_exempt(self, clause: Any, values: dict[str, Any]) -> bool:
        if clause.table is t.accounts:  # who locks an account makes its row
            return not (values.get("spent_micros") or values.get("reserved_micros"))
        if not isinstance(clause, Update):
            return False
        changed = {name for name in values if name in clause.table.c} - {"id"}
        if changed == {"revision"}:  # of all records, when the journal begins with snapshots of them
            return True
        return changed <= (LAST_USE if clause.table is t.api_keys else PROGRESS)

    def driven(self, connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement == "SAVEPOINT member":
            self._savepoints[id(connection)] = len(self._written.get(id(connection), []))
        elif statement == "ROLLBACK TO member":
            del self._written.get(id(connection), [])[self._savepoints[id(connection)] :]

    def rolled_back(self, connection: Any) -> None:
        self._written.pop(id(connection), None)

    def committed(self, connection: Any) -> None:
        for _, ids, statement in self._written.pop(id(connection), []):
            self.problems.append(f"no entry for {', '.join(ids) or 'a record'}: {statement}")


@contextmanager
def journal_guard() -> Iterator[JournalGuard]:
    guard = JournalGuard()
    listeners = (
        ("before_execute", guard.executed),
        ("before_cursor_execute", guard.driven),
        ("rollback", guard.rolled_back),
        ("commit", guard.committed),
    )
    for name, listener in listeners:
        event.listen(Engine, name, listener)
    try:
        yield guard
    finally:
        for name, listener in listeners:
            event.remove(Engine, name, listener)
