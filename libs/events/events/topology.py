"""The streams of the log: it stores events of every entity that the contracts have events of."""

from __future__ import annotations

from events.contract import EVENT_TYPES
from servicekit.events.topology import StreamSpec, event_streams

ENTITIES = tuple(dict.fromkeys(name.partition(".")[0] for name in EVENT_TYPES))
"""The first tokens of every subject."""


def streams() -> tuple[StreamSpec, ...]:
    """The streams that every service writes to or reads from."""
    return event_streams(ENTITIES)
