"""The streams of the log: one for every entity that the contracts have events of."""

from __future__ import annotations

from events.contract import EVENT_TYPES

ENTITIES = tuple(dict.fromkeys(name.partition(".")[0] for name in EVENT_TYPES))
"""The first tokens of every subject."""
