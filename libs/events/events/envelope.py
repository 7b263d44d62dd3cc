"""Makes of a message the event to publish: its id, its subject, and the records it refers to."""

from __future__ import annotations

from google.protobuf.message import Message

from events.contract import event_type
from servicekit.events import Event

_REFS = ("job", "generation", "campaign")
"""Live events are filtered by these records: a field `<name>_id` of the message, or of its `prediction`."""


def envelope(message: Message) -> Event:
    """The event that carries the message.

    Raises:
        KeyError: the contracts do not call the message an event.
        ValueError: a field that its id or key is made of is empty.
    """
    rules = event_type(message)
    return Event(
        id=rules.id.render(message),
        type=rules.name,
        key=rules.key.render(message),
        data=message.SerializeToString(),
        refs=_refs(message),
    )


def _refs(message: Message) -> dict[str, str]:
    fields = message.DESCRIPTOR.fields_by_name
    source = message.prediction if "prediction" in fields else message  # type: ignore[attr-defined]
    found = {name: str(getattr(source, f"{name}_id", "")) for name in _REFS}
    return {name: value for name, value in found.items() if value}
