"""Writes the entries of the journal as JSON documents, and reads them.

The names of events and of their fields are stored for ever. A field that is added needs a default; a change
after which older documents cannot be read needs a new `FORM`, and brings a snapshot of every record.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec

from catalog.core.generations.domain.events import GenerationEvent
from catalog.core.jobs.domain.events import JobEvent
from catalog.core.journal.domain.entry import (
    RECORD_TYPES,
    Deletion,
    Entity,
    Entry,
    Snapshot,
    TimelineCarriedOver,
)
from servicekit.errors import Invalid
from servicekit.events import Event, StreamSpec

FORM = 1
"""The form of the documents. The catalog begins a journal of another form with snapshots."""

JOURNAL = StreamSpec("JOURNAL", ("journal.>",), max_age=None)
"""The stream of entries: it has every change of every record since the first start, and drops none."""

EVENT_TYPES: dict[str, type[Any]] = {
    cls.__name__: cls
    for cls in (
        *GenerationEvent.__subclasses__(),
        *JobEvent.__subclasses__(),
        Deletion,
        TimelineCarriedOver,
    )
}
_SNAPSHOT = Snapshot.__name__


_DECODER = msgspec.json.Decoder(Entry)


def event_of(entry: Entry) -> Event:
    """The entry as the event log takes it."""
    body = msgspec.json.encode({**vars(entry), "events": _documents(entry.events)})
    return Event(id=entry.id, type=f"journal.{entry.entity}", key=entry.record_id, data=body, time=entry.at)


def entry_of(data: bytes) -> Entry:
    """The entry of a message of the log.

    Raises:
        Invalid: it is none, or of a form that is not read any more.
    """
    try:
        entry = _DECODER.decode(data)
        return replace(entry, events=load_events(entry.entity, entry.events))
    except (msgspec.MsgspecError, KeyError) as error:
        raise Invalid(f"an entry of the journal cannot be read: {error}") from error


def dump_events(events: Iterable[Any]) -> list[dict[str, Any]]:
    documents: list[dict[str, Any]] = msgspec.to_builtins(_documents(events))
    return documents


def _documents(events: Iterable[Any]) -> list[dict[str, Any]]:
    """What msgspec makes the documents of."""
    return [{"type": type(event).__name__, **vars(event)} for event in events]


def load_events(entity: Entity, documents: Sequence[Mapping[str, Any]]) -> tuple[Any, ...]:
    """The events that `dump_events` wrote.

    Raises:
        KeyError, msgspec.ValidationError: one is of no type that is known, or of another form.
    """
    return tuple(_load(entity, document) for document in documents)


def _load(entity: Entity, document: Mapping[str, Any]) -> Any:
    if document["type"] == _SNAPSHOT:
        record = msgspec.convert(document["record"], RECORD_TYPES[entity])
        return Snapshot(msgspec.convert(document["at"], datetime), record)
    return msgspec.convert(document, EVENT_TYPES[document["type"]])
